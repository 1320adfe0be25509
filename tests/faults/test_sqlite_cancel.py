"""Cancellation at every moment of every operation: before it begins it never happens, later it happens whole or not at
all, and nothing is held up by it.

An operation is cancelled after no turn of the event loop, after one, after two, later in growing steps, until it is
over before it is cancelled; what the writer's thread does meanwhile is where it happens to be.
"""

import asyncio
import contextvars
import gc
import itertools
import random
import sqlite3
import sys
from contextlib import aclosing, closing
from pathlib import Path

import pytest

import perfkit

sys.path.insert(0, str(Path(__file__).with_name("programs")))

from sqlite_units import TABLE, WAYS, execute, executemany, hide, returning, run, transaction, units_in

PATIENCE = 20  # seconds; nothing here takes them unless it hangs
LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) SELECT i FROM n"


async def fetch_all(db, unit):
    await db.fetch_all(LONG)


async def stream(db, unit):
    async with aclosing(db.stream(LONG)) as rows:
        async for _ in rows:
            pass


async def connection(db, unit):
    async with db.connection() as conn, conn.execute(LONG) as cursor:
        await cursor.fetchmany(100)


async def leave_open(db, unit):
    async with db.connection() as conn:
        conn.row_factory = None
        await conn.execute("BEGIN")
        await conn.execute(f"{LONG}, rows")


async def flush(db, unit):
    await db.flush()


async def maintain(db, unit):
    await db.maintain()


async def backup(db, unit):
    await db.backup(f"{db.path}.copy", replace=True)


WRITES = [execute, executemany, run, transaction, returning, hide]
OTHERS = [fetch_all, stream, connection, leave_open, flush, maintain, backup]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


def run_in_loop(main):
    """Run a coroutine in a loop of its own, in which nothing may go wrong unheard, now or when it is collected."""
    complaints = []

    async def supervised():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async with asyncio.timeout(3 * PATIENCE):
            await main

    asyncio.run(supervised())
    gc.collect()
    assert complaints == []


def units(path):
    with closing(sqlite3.connect(path)) as connection:
        return units_in(connection)


async def cancelled_after(turns, operation):
    """Cancel it after so many turns; tell whether it came to its end all the same."""
    task = asyncio.ensure_future(operation)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await asyncio.wait_for(asyncio.shield(task), PATIENCE)
    except asyncio.CancelledError:
        assert task.cancelled()
        return False
    return True


@pytest.mark.parametrize("operation", WRITES + OTHERS)
def test_at_every_turn(path, operation):
    async def main():
        async with perfkit.AsyncDatabase(path) as db:
            await db.execute(TABLE)
            number, in_a_row = itertools.count(), 0
            acknowledged = set()
            while in_a_row < 3:
                unit = next(number)
                turns = unit if unit < 40 else int(40 * 1.1 ** (unit - 40))
                in_a_row = in_a_row + 1 if await cancelled_after(turns, operation(db, unit)) else 0
                acknowledged |= {unit} if in_a_row and operation in WRITES else set()
                assert db.stats().pending <= 2  # what is left to be dropped
                await asyncio.wait_for(execute(db, -unit - 1), PATIENCE)
                acknowledged.add(-unit - 1)
            assert db._engine.sessions == set()
            async with db.connection() as conn:
                assert (conn.in_transaction, conn.row_factory) == (False, sqlite3.Row)
            await db.maintain()
            assert db.stats().wal_bytes == 0, "somebody reads from it still"
        assert acknowledged <= units(path)

    run_in_loop(main())


def test_what_had_not_begun_never_happens(path):
    """The writer is another task's for as long as its transaction is open."""

    async def main():
        async with perfkit.AsyncDatabase(path) as db:
            await db.execute(TABLE)
            outside = contextvars.copy_context()
            async with db.transaction(None):
                tasks = [outside.run(asyncio.ensure_future, way(db, unit)) for unit, way in enumerate(WRITES * 10)]
                for _ in range(5):
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {asyncio.CancelledError}
        assert units(path) == set()

    run_in_loop(main())


def test_a_thousand_at_random(path):
    """What was acknowledged is there; what is there beyond it was cancelled when it had begun; nothing is torn."""
    acknowledged, cancelled = set(), set()

    async def one(db, unit):
        try:
            await WAYS[unit % len(WAYS)](db, unit)
        except asyncio.CancelledError:
            cancelled.add(unit)
            raise
        acknowledged.add(unit)

    async def main():
        async with perfkit.AsyncDatabase(path, max_pending=20) as db:
            await db.execute(TABLE)
            numbers = itertools.count()
            cancels = 0
            while cancels < 1000:
                tasks = [asyncio.create_task(one(db, next(numbers))) for _ in range(40)]
                for task in random.sample(tasks, 25):
                    for _ in range(random.choice([0, 0, 1, 3])):
                        await asyncio.sleep(0)
                    cancels += task.cancel()
                await asyncio.wait_for(asyncio.wait(tasks), PATIENCE)
            await asyncio.wait_for(db.flush(), PATIENCE)
            assert db.stats().pending == 0
            assert db.stats().waits, "nobody had to wait for room"

    run_in_loop(main())
    there = units(path)
    assert acknowledged <= there
    assert there - acknowledged <= cancelled
    assert len(cancelled - there) > 100


def test_an_open_that_is_cancelled_may_be_tried_again(path):
    async def main():
        for turns in range(20):
            db = perfkit.AsyncDatabase(path)
            await cancelled_after(turns, db.open())
            await asyncio.wait_for(db.execute(TABLE), PATIENCE)
            await asyncio.wait_for(db.aclose(), PATIENCE)

    run_in_loop(main())


def test_a_close_that_is_cancelled_closes_all_the_same(path, eventually):
    async def main():
        for turns in range(20):
            db = perfkit.AsyncDatabase(path)
            await db.execute(TABLE)
            tasks = [asyncio.create_task(execute(db, turns * 100 + n)) for n in range(50)]
            await asyncio.sleep(0)
            await cancelled_after(turns, db.aclose())
            outcomes = await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
            assert outcomes == [None] * 50
            await asyncio.wait_for(db.aclose(), PATIENCE)

    run_in_loop(main())
    assert units(path) == {turns * 100 + n for turns in range(20) for n in range(50)}
