"""Write to a database under limits that pytest had better not have itself.

Arguments: the database; the size in bytes that files may grow to. For each line, a number of bytes: inserts a row of so
many while others insert small ones, and prints "ok" or the error's class, and how many of the others were acknowledged.
"limit N" sets another limit.
"""

import asyncio
import faulthandler
import resource
import sqlite3
import sys

import perfkit

TABLE = "CREATE TABLE IF NOT EXISTS t (x)"
INSERT = "INSERT INTO t VALUES (?)"


def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))  # Python ignores SIGXFSZ: EFBIG


async def beside_others(db, size):
    calls = [db.execute(INSERT, (bytes(size if number == 10 else 10),)) for number in range(20)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    big = outcomes.pop(10)
    for outcome in outcomes:
        assert not isinstance(outcome, BaseException) or isinstance(outcome, sqlite3.Error), outcome
    name = type(big).__name__ if isinstance(big, BaseException) else "ok"
    return f"{name} {sum(not isinstance(outcome, BaseException) for outcome in outcomes)}"


async def main(path, size):
    async with perfkit.AsyncDatabase(path) as db:
        await db.execute(TABLE)
        limit(size)
        print("ready")
        while words := (await asyncio.to_thread(sys.stdin.readline)).split():
            if words[0] == "limit":
                limit(words[1])
            else:
                print(await beside_others(db, int(words[0])))


faulthandler.dump_traceback_later(60, exit=True)
asyncio.run(main(*sys.argv[1:]))
