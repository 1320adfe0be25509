"""``sqlite_full_load.py PATH SECONDS``: writes as fast as it can for so long, beside readers and streams all the time.

Prints the rows acknowledged, the streams read and the largest size of the WAL in bytes. By hand, for a minute:
``python tests/faults/programs/sqlite_full_load.py /tmp/load.db 60``. Takes 100 MB of disk.
"""

import asyncio
import itertools
import sys
import time
from contextlib import aclosing

import perfkit

TABLE = "CREATE TABLE t (n INTEGER PRIMARY KEY, filling)"
WRITE = "INSERT OR REPLACE INTO t VALUES (?, ?)"
ROWS = 40_000  # over and over, so that the file doesn't grow for a minute
FILLING = bytes(1000)


async def main(path, seconds):
    until = time.monotonic() + seconds
    numbers = itertools.cycle(range(ROWS))
    written = streamed = largest = 0

    async def write(db):
        nonlocal written
        while time.monotonic() < until:
            await db.execute(WRITE, (next(numbers), FILLING))
            written += 1

    async def read(db):
        while time.monotonic() < until:
            await db.fetch_value("SELECT filling FROM t WHERE n = ?", (written % ROWS,))

    async def stream(db):
        nonlocal streamed
        while time.monotonic() < until:
            async with aclosing(db.stream("SELECT n, filling FROM t LIMIT 3000")) as rows:
                async for _ in rows:
                    pass
            streamed += 1

    async def watch(db):
        nonlocal largest
        while time.monotonic() < until:
            largest = max(largest, db.stats().wal_bytes)
            await asyncio.sleep(0.01)

    async with perfkit.AsyncDatabase(path, migrations=[TABLE]) as db:
        tasks = [write] * 50 + [read] * 4 + [stream] * 2 + [watch]
        await asyncio.gather(*(task(db) for task in tasks))
        largest = max(largest, db.stats().wal_bytes)
    print(written, streamed, largest)


asyncio.run(main(sys.argv[1], float(sys.argv[2])))
