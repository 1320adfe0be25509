"""Edit a file as told, line by line, holding its lock in between.

Arguments: the file. ``edit N`` announces "asking", enters an edit and sets n to N, then prints "held"; ``leave`` ends
the edit and prints "left"; ``try SECONDS`` prints "had" or "timeout" for an edit that changes nothing, waiting at most
so long.
"""

import faulthandler
import sys
from contextlib import ExitStack

import perfkit


def held(path, number):
    print("asking")
    with ExitStack() as stack:
        document = stack.enter_context(perfkit.StateFile(path, default=dict, durability="process").edit())
        document["n"] = int(number)
        print("held")
        return stack.pop_all()


def tried(path, seconds):
    try:
        with perfkit.StateFile(path, default=dict, durability="process", timeout=float(seconds)).edit():
            return "had"
    except perfkit.errors.StateFileTimeout:
        return "timeout"


def main(path):
    faulthandler.dump_traceback_later(60, exit=True)
    inside = ExitStack()
    print("ready")
    for line in sys.stdin:
        match line.split():
            case ["edit", number]:
                inside = held(path, number)
            case ["leave"]:
                inside.close()
                print("left")
            case ["try", seconds]:
                print(tried(path, seconds))


main(*sys.argv[1:])
