"""Fork, at each line read, a child that changes a file without end, acknowledging each change on a pipe, until it is
killed.

Arguments: the pipe's descriptor, the file, the durability, the way (edit, update, naive). Prints the pid of each child;
when the child has gone, prints how. Forking is what makes a hundred rounds quick: perfkit is imported once.
"""

import faulthandler
import json
import os
import signal
import sys

import perfkit

PADDING = "x" * 20_000  # so that writing takes a while


def changes(path, durability, way):
    """Return a function that makes the number in the file one higher and returns it."""
    state = perfkit.StateFile(path, durability=durability)

    def bump(document):
        document["n"] += 1
        document["padding"] = PADDING
        document["again"] = document["n"]
        return document["n"]

    def edit():
        with state.edit() as document:
            return bump(document)

    def naive():
        with open(path) as file:
            document = json.load(file)
        with open(path, "w") as file:
            json.dump(document | {"n": bump(document)}, file)
        return document["n"]

    return {"edit": edit, "update": lambda: state.update(bump), "naive": naive}[way]


def work(acknowledgements, change):
    signal.alarm(30)  # should nobody kill it
    while True:
        number = change()
        os.write(acknowledgements, number.to_bytes(8, "little"))


def main(acknowledgements, path, durability, way):
    faulthandler.dump_traceback_later(60, exit=True)
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(int(acknowledgements), changes(path, durability, way))
        print(pid)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status))


main(*sys.argv[1:])
