"""Try operations on a state file under limits that pytest had better not have itself.

Arguments: the file; the size in bytes that files may grow to, or "any"; the user id to become, or "same".
For each line ``operation bytes`` prints "ok" or the error's class and number.
"""

import asyncio
import faulthandler
import os
import resource
import sys
import tempfile

import perfkit


def grow(size):
    return lambda document: document.update(n=document.get("n", 0) + 1, padding="x" * size)


def edit(state, size):
    with state.edit() as document:
        grow(size)(document)


async def async_edit(state, size):
    async with state.edit() as document:
        grow(size)(document)


OPERATIONS = {
    "view": lambda state, size: state.view(),
    "load": lambda state, size: state.load(),
    "snapshot": lambda state, size: state.snapshot(),
    "read_json": lambda state, size: perfkit.read_json(state.path),
    "edit": edit,
    "update": lambda state, size: state.update(grow(size)),
    "save": lambda state, size: state.save({"n": 0, "padding": "x" * size}),
    "async-view": lambda state, size: state.view(),
    "async-edit": async_edit,
    "async-update": lambda state, size: state.update(grow(size)),
    "async-save": lambda state, size: state.save({"n": 0, "padding": "x" * size}),
}


async def awaited(operation, path, size):
    await OPERATIONS[operation](perfkit.AsyncStateFile(path, default=dict), size)


def attempt(path, operation, size):
    try:
        if operation.startswith("async"):
            asyncio.run(awaited(operation, path, size))
        else:
            OPERATIONS[operation](perfkit.StateFile(path, default=dict), size)
    except OSError as error:
        return f"{type(error).__name__} {error.errno}"
    return "ok"


def load_everything():
    """Use every operation once: whom we are about to become may not be allowed to read our modules."""
    with tempfile.TemporaryDirectory() as scratch:
        for operation in OPERATIONS:
            attempt(os.path.join(scratch, "scratch.json"), operation, 0)


def main(path, limit, user):
    faulthandler.dump_traceback_later(60, exit=True)
    load_everything()
    if limit != "any":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))  # Python ignores SIGXFSZ: EFBIG it is
    if user != "same":
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
    print("ready")
    for line in sys.stdin:
        operation, size = line.split()
        print(attempt(path, operation, int(size)))


main(*sys.argv[1:])
