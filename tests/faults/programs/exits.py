"""End the program in the middle of something; what it leaves and whether it ends at all is looked at from outside.

Arguments: how, the file. Prints "there" when it is where it wants to be, and then ends.
"""

import asyncio
import faulthandler
import signal
import sys
import threading
from functools import partial

import perfkit


def make(kind, path, **options):
    return kind(path, default=dict, durability="process", **options)


def never():
    threading.Event().wait()


async def edit_for_ever(state, then=lambda: None):
    async with state.edit() as document:
        document["n"] = 1
        print("there")
        asyncio.get_running_loop().call_soon(then)
        await asyncio.Event().wait()


def loop_closed_inside_an_edit(path):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # it will say that a task is pending: so it is
    task = loop.create_task(edit_for_ever(make(perfkit.AsyncStateFile, path)))
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()
    return task  # it lives until the interpreter takes everything down


def exit_inside_an_async_edit(path):
    async def main():
        state = make(perfkit.AsyncStateFile, path)
        async with state.edit() as document:
            document["n"] = 1
            print("there")
            sys.exit()

    asyncio.run(main())


def interrupt_inside_an_async_edit(path):
    interrupt = partial(signal.raise_signal, signal.SIGINT)
    try:
        asyncio.run(edit_for_ever(make(perfkit.AsyncStateFile, path), interrupt))
    except KeyboardInterrupt:
        return


def exit_inside_an_edit(path):
    with make(perfkit.StateFile, path).edit() as document:
        document["n"] = 1
        print("there")
        sys.exit()


def exit_while_a_worker_works(path):
    """The function that runs in a worker thread never ends."""

    async def main():
        entered = threading.Event()

        def stuck(document):
            entered.set()
            never()

        task = asyncio.create_task(make(perfkit.AsyncStateFile, path).update(stuck))
        await asyncio.to_thread(entered.wait)
        print("there")
        task.cancel()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    loop.run_until_complete(main())
    loop.close()


def exit_while_daemon_threads_wait(path):
    state = make(perfkit.StateFile, path, timeout=None)
    with state.edit():
        for work in (lambda: state.update(lambda document: None), lambda: state.save({})):
            threading.Thread(target=work, daemon=True).start()
        print("there")
        sys.exit()


def main(how, path):
    faulthandler.dump_traceback_later(30, exit=True)
    return globals()[how](path)


kept = main(*sys.argv[1:])
