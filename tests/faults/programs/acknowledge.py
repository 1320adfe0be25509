"""Change a file and acknowledge each change in the fsync shim's own list of events, so that the order of all can be
seen.

Arguments: the file. Each line is ``operation durability number``; the operation sets ``n`` to the number, and prints
"ok" or the number of the OSError. ``group`` has some threads count up to the number, each under its own name. ``fail
WHAT`` is for the shim.
"""

import asyncio
import faulthandler
import os
import sys
import threading

import perfkit


def acknowledge(name, number):
    """The change has returned: from here on it must survive."""
    with open(os.path.join(os.environ["FSYNC_SHIM"], "events"), "a") as events:
        events.write(f"acknowledged\t{name}\t{number}\n")


def setter(name, number):
    return lambda document: document.update({name: number})


def edit(state, number):
    with state.edit() as document:
        document["n"] = number


async def async_edit(state, number):
    async with state.edit() as document:
        document["n"] = number


OPERATIONS = {
    "edit": edit,
    "update": lambda state, number: state.update(setter("n", number)),
    "save": lambda state, number: state.save({"n": number}),
    "delete": lambda state, number: state.delete(),
    "async-edit": async_edit,
    "async-update": lambda state, number: state.update(setter("n", number)),
    "async-save": lambda state, number: state.save({"n": number}),
    "async-delete": lambda state, number: state.delete(),
}


def group(state, number):
    def count(name):
        for reached in range(1, number + 1):
            state.update(setter(name, reached))
            acknowledge(name, reached)

    threads = [threading.Thread(target=count, args=[f"thread {i}"]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run(states, operation, durability, number):
    state = states["async" if operation.startswith("async") else "threads", durability]
    outcome = OPERATIONS[operation](state, number)
    if asyncio.iscoroutine(outcome):
        asyncio.run(outcome)
    acknowledge("n", number)


def main(path):
    faulthandler.dump_traceback_later(60, exit=True)
    kinds = {"threads": perfkit.StateFile, "async": perfkit.AsyncStateFile}
    states = {
        (kind, durability): kinds[kind](path, default=dict, durability=durability)
        for kind in kinds
        for durability in ("process", "power")
    }
    for line in sys.stdin:
        outcome = "ok"
        match line.split():
            case ["fail", what]:
                os.environ["FSYNC_SHIM_FAIL"] = what
            case ["group", durability, number]:
                group(states["threads", durability], int(number))
            case [operation, durability, number]:
                try:
                    run(states, operation, durability, int(number))
                except OSError as error:
                    outcome = error.errno
        print(outcome)


main(*sys.argv[1:])
