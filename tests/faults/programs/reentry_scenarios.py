"""Finalisers and signal handlers that use a state file in the middle of whatever their thread does with it.

One function a scenario; what is wrong is an AssertionError, and what waits for itself ends by the watchdog of `main`:
nobody here has a timeout that would help. Arguments: the scenario's name, a file's path.
"""

import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
import time

import perfkit
from perfkit.errors import StateFileLockError

STRIKES = 300


class Figures:
    """How often something inside was let in or refused."""

    def __init__(self):
        self.done = self.refused = 0

    def count(self, change):
        try:
            change()
        except StateFileLockError:
            self.refused += 1
        else:
            self.done += 1

    @property
    def all(self):
        return self.done + self.refused


def state_of(path):
    return perfkit.StateFile(path, default=lambda: {"n": 0}, durability="process", timeout=None)


def bump(document):
    document["n"] += 1
    return document["n"]


def edit(state):
    with state.edit() as document:
        bump(document)


def update(state):
    state.update(bump)


class Dying:
    """Does something when the collector comes by."""

    def __init__(self, last_words):
        self.me = self
        self.last_words = last_words

    def __del__(self):
        self.last_words()


def with_eager_collectors(rounds):
    """Yield numbers while the collector runs as soon as there is one thing to look at, or a few: each other moments."""
    before = gc.get_threshold()
    for threshold in (1, 2, 3, 5, 7):
        gc.set_threshold(threshold)
        yield from range(rounds)
    gc.set_threshold(*before)
    gc.collect()


def finalisers_that_change_the_file(path):
    figures, state = Figures(), state_of(path)
    for change in (update, edit):
        for _ in with_eager_collectors(STRIKES):
            Dying(lambda change=change: figures.count(lambda: change(state)))
            change(state)
    assert figures.all == 10 * STRIKES
    assert state.view() == {"n": 10 * STRIKES + figures.done}


def finalisers_that_begin_to_use_a_file(path):
    """Each with an object of its own, a few files together, as sessions that save themselves."""
    figures = Figures()
    for number in with_eager_collectors(STRIKES):
        mine = state_of(f"{path}-{number % 20}")
        Dying(lambda mine=mine: figures.count(lambda: update(mine)))
        update(mine)
    total = sum(state_of(f"{path}-{number}").view()["n"] for number in range(20))
    assert figures.all == 5 * STRIKES
    assert total == 5 * STRIKES + figures.done


def finalisers_that_read(path):
    """More files than are remembered, so that some are added and dropped each time."""
    paths = many_files(path)
    read = []
    for number in with_eager_collectors(3 * len(paths)):
        Dying(lambda number=number: read.append(perfkit.read_json(paths[number * 7 % len(paths)])))
        assert perfkit.read_json(paths[number % len(paths)]) == []
    assert read == [[]] * 15 * len(paths)


def handlers_that_change_the_file_at_any_moment(path):
    figures, state, mine = Figures(), state_of(path), 0
    for change in (update, edit):
        with struck_again_and_again(lambda change=change: figures.count(lambda: change(state))):
            until = figures.all + STRIKES
            while figures.all < until:
                change(state)
                mine += 1
    assert figures.done
    assert state.view() == {"n": mine + figures.done}


def handlers_that_read_at_any_moment(path):
    paths, read = many_files(path), []
    with struck_again_and_again(lambda: read.append(perfkit.read_json(paths[len(read) * 7 % len(paths)]))):
        while len(read) < STRIKES:
            for each in paths:
                assert perfkit.read_json(each) == []
    assert read == [[]] * len(read)


def many_files(path):
    paths = [f"{path}-{number}" for number in range(300)]
    for each in paths:
        with open(each, "w") as file:
            file.write("[]")
    perfkit.read_json(paths[0])  # the first use imports, which is not to be interrupted
    return paths


@contextlib.contextmanager
def struck_again_and_again(work):
    """Have ``work()`` done by a signal handler, once a millisecond, but not inside itself."""

    def strike(*_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        work()
        signal.setitimer(signal.ITIMER_REAL, 0.001)

    signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def a_handler_while_its_thread_waits_for_the_lock(path):
    """One that changes the file is refused, and the call that it interrupted goes on."""
    for change in (edit, update, lambda state: state.save({"n": 1}), lambda state: state.delete()):
        for within in (edit, update):
            struck_while_waiting(path, change, within)


def struck_while_waiting(path, change, within):
    state, figures = state_of(path), Figures()
    state.save({"n": 0})
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with state.edit():
            inside.set()
            assert leave.wait(30)

    def strike(*_):
        figures.count(lambda: within(state))
        leave.set()

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    signal.signal(signal.SIGUSR1, strike)
    aim = threading.Thread(target=strike_main_thread_in_line, args=[path])
    aim.start()
    change(state)
    thread.join()
    aim.join()
    assert (figures.refused, figures.done) == (1, 0)
    assert change not in (edit, update) or state.view() == {"n": 1}


def strike_main_thread_in_line(path):
    from perfkit.statefile.lock import lock_for

    while len(lock_for(path)._line._queue) < 2:
        time.sleep(0.001)
    time.sleep(0.01)  # it may not have begun to wait
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


def a_handler_while_its_thread_follows_another(path):
    """It waits in a group that somebody else leads: an update is refused, an edit waits for that other."""
    for within, refused in [(update, 1), (edit, 0)]:
        struck_while_following(path, within, refused)


def struck_while_following(path, within, refused):
    state, figures = state_of(path), Figures()
    state.save({"n": 0})
    inside, leave = threading.Event(), threading.Event()

    def hold_up(document):
        inside.set()
        assert leave.wait(30)
        bump(document)

    def strike(*_):
        threading.Timer(0.01, leave.set).start()
        figures.count(lambda: within(state))

    def aim():
        while not state._group.waiting:
            time.sleep(0.001)
        time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    signal.signal(signal.SIGUSR1, strike)
    threads = [threading.Thread(target=state.update, args=[hold_up]), threading.Thread(target=aim)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    state.update(bump)
    for thread in threads:
        thread.join()
    assert (figures.refused, figures.done) == (refused, 1 - refused)
    assert state.view() == {"n": 2 + figures.done}


def an_edit_left_by_another_thread_or_forgotten(path):
    """The thread that began it is not held to be in it for ever."""
    state = state_of(path)
    block = state.edit()
    bump(block.__enter__())
    leaving = threading.Thread(target=block.__exit__, args=[None, None, None])
    leaving.start()
    leaving.join()
    forgotten = state.edit()
    forgotten.__enter__()
    del forgotten
    gc.collect()
    edit(state)
    update(state)
    assert state.view() == {"n": 3}


def main(scenario, path):
    faulthandler.dump_traceback_later(30, exit=True)
    globals()[scenario](os.path.abspath(path))


if __name__ == "__main__":
    main(*sys.argv[1:])
