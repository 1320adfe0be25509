"""Increment one counter, and one of our own, from several threads or tasks.

Arguments: the file, the way (edit, update, async-edit, async-update), our name, how many threads, how many increments
each. Prints "ready", waits for a line, works, ends.
"""

import asyncio
import faulthandler
import sys
import threading

import perfkit


def bump(name):
    def change(document):
        document["total"] = document.get("total", 0) + 1
        document[name] = document.get(name, 0) + 1
        return document["total"]

    return change


def with_threads(state, way, change, threads, times):
    def work():
        for _ in range(times):
            if way == "update":
                state.update(change)
                continue
            with state.edit() as document:
                change(document)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


async def with_tasks(state, way, change, tasks, times):
    async def work():
        for _ in range(times):
            if way == "async-update":
                await state.update(change)
                continue
            async with state.edit() as document:
                change(document)
                await asyncio.sleep(0)

    await asyncio.gather(*(work() for _ in range(tasks)))


def main(path, way, name, threads, times):
    faulthandler.dump_traceback_later(60, exit=True)
    kind = perfkit.AsyncStateFile if way.startswith("async") else perfkit.StateFile
    state = kind(path, default=dict, durability="process", timeout=60)
    print("ready")
    sys.stdin.readline()
    if way.startswith("async"):
        asyncio.run(with_tasks(state, way, bump(name), int(threads), int(times)))
    else:
        with_threads(state, way, bump(name), int(threads), int(times))


main(*sys.argv[1:])
