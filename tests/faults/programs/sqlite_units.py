"""Writing in units, each of which says in every row how many rows it has: so a torn one is seen.

For the programs beside it, which say what becomes of them meanwhile, and for the tests that look at what is left.
"""

import asyncio
import contextlib
import itertools
import threading

import perfkit

TABLE = "CREATE TABLE IF NOT EXISTS rows (unit INTEGER, size INTEGER, filling BLOB)"
INSERT = "INSERT INTO rows VALUES (?, ?, ?)"
FILLING = bytes(100)


async def execute(db, unit):
    await db.execute(INSERT, (unit, 1, FILLING))


async def executemany(db, unit):
    await db.executemany(INSERT, [(unit, 3, FILLING)] * 3)


async def run(db, unit):
    def insert(connection):
        for _ in range(2):
            connection.execute(INSERT, (unit, 2, FILLING))

    await db.run(insert)


async def transaction(db, unit):
    async with db.transaction(30) as tx:
        await tx.execute(INSERT, (unit, 2, FILLING))
        await asyncio.sleep(0)
        await tx.execute(INSERT, (unit, 2, FILLING))


async def returning(db, unit):
    await db.execute(f"{INSERT} RETURNING unit", (unit, 1, FILLING))


async def hide(db, unit):
    """Write after an attempt that would have all that is written from now on go to a temporary table."""
    with contextlib.suppress(perfkit.errors.TransactionRefused):
        await db.execute("CREATE TEMP TABLE rows (unit, size, filling)")
    await execute(db, unit)


WAYS = [execute, executemany, run, execute, executemany, run, execute, transaction, returning, hide]


async def write_in_tasks(db, numbers, acknowledge, tasks=12):
    """Have tasks write one unit after another, and acknowledge each."""
    await db.execute(TABLE)

    async def write():
        for unit in numbers:
            await WAYS[unit % len(WAYS)](db, unit)
            acknowledge(unit)

    await asyncio.gather(*(write() for _ in range(tasks)))


def write_in_threads(db, numbers, acknowledge, threads=6):
    """Have threads do so; returns without waiting for them."""
    db.execute(TABLE)
    lock = threading.Lock()

    def pair(unit):
        def insert(connection):
            for _ in range(2):
                connection.execute(INSERT, (unit, 2, FILLING))

        return insert

    def write():
        while True:
            with lock:
                unit = next(numbers)
            if unit % 2:
                db.execute(INSERT, (unit, 1, FILLING))
            else:
                db.run(pair(unit))
            acknowledge(unit)

    started = [threading.Thread(target=write, daemon=True) for _ in range(threads)]
    for thread in started:
        thread.start()
    return started


def numbered(start):
    return itertools.count(int(start))


def units_in(connection):
    """Return the units that are there; a torn one, or a file that isn't sound, is an AssertionError."""
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    torn = "SELECT unit, count(*), max(size) FROM rows GROUP BY unit HAVING count(*) != max(size)"
    assert connection.execute(torn).fetchall() == []
    return {unit for (unit,) in connection.execute("SELECT DISTINCT unit FROM rows")}


def opened(kind, path, durability, **options):
    return getattr(perfkit, kind)(path, durability=durability, **options)
