"""Fork, at each line read, a child that writes to a database without end, until it is killed.

Arguments: the database, the durability. A line is a file's name, for the numbers of acknowledged units, eight bytes
each; the first unit's number; and the kind of database. Prints the pid of each child, and when it has gone, how.
"""

import asyncio
import faulthandler
import os
import signal
import sys

from sqlite_units import numbered, opened, write_in_tasks, write_in_threads


def work(path, durability, file, first, kind):
    signal.alarm(30)  # should nobody kill it
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    db = opened(kind, path, durability)

    def acknowledge(unit):
        os.write(fd, unit.to_bytes(8, "little"))

    if kind == "AsyncDatabase":
        asyncio.run(write_in_tasks(db, numbered(first), acknowledge))
    for thread in write_in_threads(db, numbered(first), acknowledge):
        thread.join()


def main(path, durability):
    faulthandler.dump_traceback_later(120, exit=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            work(path, durability, *line.split())
            os._exit(1)
        print(pid)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status))


main(*sys.argv[1:])
