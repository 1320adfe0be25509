"""Interrupt the main thread at random moments of its updates and edits, while other threads update the same file.

Arguments: the file, how many interrupts. Prints, as JSON, what was acknowledged to each thread, and how many interrupts
    struck.
"""

import faulthandler
import json
import random
import signal
import sys
import threading
import time

import perfkit

armed = threading.Event()


def strike(signal_number, frame):
    if armed.is_set():
        armed.clear()
        raise KeyboardInterrupt


def bump(name):
    def change(document):
        document[name] = document.get(name, 0) + 1

    return change


def neighbour(state, name, acknowledged, stop):
    while not stop.is_set():
        state.update(bump(name))
        acknowledged[name] += 1


def change_until_struck(state, acknowledged):
    """Update and edit until an interrupt comes, of which there is one while this runs."""
    try:
        armed.set()
        while armed.is_set():
            state.update(bump("main"))
            acknowledged["main"] += 1
            with state.edit() as document:
                bump("main")(document)
            acknowledged["main"] += 1
    except KeyboardInterrupt:
        return


def aim(main_thread, stop, struck):
    while not stop.is_set():
        time.sleep(random.uniform(0, 0.01))
        if armed.is_set():
            signal.pthread_kill(main_thread, signal.SIGUSR1)


def main(path, interrupts):
    faulthandler.dump_traceback_later(60, exit=True)
    signal.signal(signal.SIGUSR1, strike)
    state = perfkit.StateFile(path, default=dict, durability="process", timeout=20)
    acknowledged = dict.fromkeys(["main", "one", "two"], 0)
    stop = threading.Event()
    threads = [threading.Thread(target=neighbour, args=[state, name, acknowledged, stop]) for name in ("one", "two")]
    threads.append(threading.Thread(target=aim, args=[threading.get_ident(), stop, armed]))
    for thread in threads:
        thread.start()
    for _ in range(int(interrupts)):
        change_until_struck(state, acknowledged)
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(acknowledged))
    print(interrupts)


main(*sys.argv[1:])
