"""Rewrite files at the same size in every way there is, knowing nothing of perfkit, and announce each number written.

Arguments: the board, the pauses between bursts in seconds (comma-separated), and way=path for each file. The board is a
file of 8-byte integers: number i is the last number that is wholly written to the i-th file; the one after them all is
1 at the end.
"""

import faulthandler
import mmap
import os
import sys
import time
from pathlib import Path

BURST = 40


def content(number):
    """The number stands at both ends: a reader that sees two different ones has caught a write half done."""
    return b'{"first": "%012d", "between": "%s", "last": "%012d"}' % (number, b"x" * 40, number)


def replace(path, number, stamp=None):
    beside = path + ".foreign"
    Path(beside).write_bytes(content(number))
    if stamp is not None:
        os.utime(beside, ns=stamp)
    os.replace(beside, path)
    return number


def in_place(path, number, stamp=None):
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, content(number), 0)
    if stamp is not None:
        os.utime(fd, ns=stamp)
    os.close(fd)
    return number


def old_stamp(path):
    seen = os.stat(path)
    return seen.st_atime_ns, seen.st_mtime_ns


WAYS = {
    "replace": replace,
    "in-place": in_place,
    # rsync -t, cp -p, tar: the modification time is what it was
    "replace-keeping-time": lambda path, number: replace(path, number, old_stamp(path)),
    "in-place-keeping-time": lambda path, number: in_place(path, number, old_stamp(path)),
    # A, B, C: where the inode of A is free again, C gets it, and has A's number, size and time
    "replace-twice": lambda path, number: replace(path, replace(path, number, old_stamp(path)) + 1, old_stamp(path)),
}


def main(board_path, pauses, *files):
    faulthandler.dump_traceback_later(60, exit=True)
    ways = [(WAYS[way], path) for way, path in (file.split("=", 1) for file in files)]
    with open(board_path, "r+b") as file:
        board = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
    for pause in map(float, pauses.split(",")):
        for _ in range(BURST):
            for slot, (write, path) in enumerate(ways):
                board[slot] = write(path, board[slot] + 1)  # eight aligned bytes: stored at once
        time.sleep(pause)
    board[len(ways)] = 1


main(*sys.argv[1:])
