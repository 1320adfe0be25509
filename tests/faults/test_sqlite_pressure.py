"""More than is good for a database: the WAL and the queue stay bounded, and nobody pays for another's mistake."""

import asyncio
import contextvars
import sqlite3
import threading
from contextlib import aclosing, closing

import pytest

import perfkit
from perfkit import errors

TABLE = "CREATE TABLE t (n INTEGER PRIMARY KEY, filling)"
INSERT = "INSERT INTO t (n, filling) VALUES (?, ?)"
COUNT = "SELECT count(*) FROM t"
MOST = 64_000_000  # bytes of WAL
FILLING = bytes(2000)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


def rows_in(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(COUNT).fetchone()[0]


@pytest.mark.parametrize("durability", ["process", "power"])
def test_the_wal_stays_small_beside_readers(path, durability):
    """Readers all the time, of which some read for long; no moment is without one."""
    total = 40_000  # rows: more than the WAL may hold
    is_over = False
    largest = 0

    async def write(db, numbers):
        nonlocal largest
        for n in numbers:
            await db.execute(INSERT, (n, FILLING))
            if not n % 100:
                largest = max(largest, db.stats().wal_bytes)

    async def read(db):
        while not is_over:
            await db.fetch_value("SELECT filling FROM t WHERE n = 1")

    async def read_for_long(db):
        while not is_over:
            async with aclosing(db.stream("SELECT n FROM t LIMIT 3000")) as rows:
                async for _ in rows:
                    pass

    async def main():
        nonlocal is_over
        async with perfkit.AsyncDatabase(path, durability=durability, migrations=[TABLE]) as db:
            readers = [asyncio.create_task(reading(db)) for reading in [read] * 4 + [read_for_long] * 2]
            numbers = iter(range(total))
            await asyncio.gather(*(write(db, numbers) for _ in range(100)))
            is_over = True
            await asyncio.gather(*readers)
            await db.maintain()
            assert db.stats().wal_bytes == 0

    asyncio.run(main())
    assert 0 < largest <= MOST
    assert rows_in(path) == total


def test_the_wal_stays_small_at_full_load(path, start):
    """A short form of what the program does for a minute, by hand."""
    rows, streams, largest = map(int, start("sqlite_full_load", path, 3).end().split())
    assert rows
    assert streams
    assert 0 < largest <= MOST
    assert rows_in(path) == min(rows, 40_000)


def test_a_stream_that_keeps_the_wal_growing_is_ended(path, eventually):
    with perfkit.Database(path, migrations=[TABLE]) as db:
        db.executemany(INSERT, [(n, FILLING) for n in range(3000)])
        stream = db.stream("SELECT n FROM t", max_age=0.5)
        next(stream)
        n = 3000
        while db.stats().streams or db.stats().wal_bytes < 2_000_000:
            db.executemany(INSERT, [(n + more, FILLING) for more in range(500)])
            n += 500
        with pytest.raises(errors.StreamExpired):
            list(stream)
        db.maintain()
        eventually(lambda: db.stats().wal_bytes == 0)
        assert db.fetch_value(COUNT) == n


def test_ten_thousand_callers_wait_for_a_hundred_places(path):
    total, places = 10_000, 100

    async def main():
        async with perfkit.AsyncDatabase(path, migrations=[TABLE], max_pending=places) as db:
            await db.open()
            most = 0
            acknowledged = []

            async def insert(n):
                nonlocal most
                await db.execute(INSERT, (n, None))
                acknowledged.append(n)
                most = max(most, db.stats().pending)

            async with db.transaction(None):
                outside = [asyncio.get_running_loop().create_task(insert(n), context=context) for n in range(total)]
                for _ in range(5):
                    await asyncio.sleep(0)
                assert db.stats().pending == places
                assert db.stats().waits == total - places
            await asyncio.gather(*outside)
            assert most <= places
            assert acknowledged == list(range(total)), "who came first was not served first"

    context = contextvars.copy_context()  # outside of the transaction
    asyncio.run(main())
    assert rows_in(path) == total


def test_a_thousand_threads_wait_for_ten_places(path):
    with perfkit.Database(path, migrations=[TABLE], max_pending=10) as db:
        entered, leave = threading.Event(), threading.Event()

        def hold(connection):
            entered.set()
            assert leave.wait(20)

        holder = threading.Thread(target=db.run, args=[hold])
        holder.start()
        assert entered.wait(20)
        threads = [threading.Thread(target=db.execute, args=[INSERT, (n, None)]) for n in range(200)]
        for thread in threads:
            thread.start()
        assert db.stats().pending <= 10
        leave.set()
        for thread in [holder, *threads]:
            thread.join(30)
        assert db.stats().waits
    assert rows_in(path) == 200


BAD = {
    "a constraint": (INSERT, (0, None)),
    "its own rollback": ("INSERT OR ROLLBACK INTO t (n) VALUES (?)", (0,)),
    "a commit that fails": ("INSERT INTO child VALUES (?)", (-1,)),
    "no such table": ("INSERT INTO nowhere VALUES (?)", (0,)),
    "a value there is no column for": (INSERT, (2000, object())),
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_of_a_thousand_fails_alone(path, kind):
    schema = f"{TABLE}; CREATE TABLE child (t REFERENCES t DEFERRABLE INITIALLY DEFERRED)"

    async def main():
        async with perfkit.AsyncDatabase(path, migrations=[schema], pragmas={"foreign_keys": 1}) as db:
            await db.execute(INSERT, (0, None))
            calls = [db.execute(INSERT, (n, None)) for n in range(1, 1000)]
            calls.insert(500, db.execute(*BAD[kind]))
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(outcomes.pop(500), sqlite3.Error)
            assert [outcome.lastrowid for outcome in outcomes] == list(range(1, 1000))
            assert db.stats().max_batch > 100, "hardly any shared a commit: it proves little"

    asyncio.run(main())
    assert rows_in(path) == 1000


async def stream(db):
    async for _ in db.stream("SELECT n FROM t"):
        pass


async def read(db):
    await db.fetch_value(COUNT)


async def change(db):
    async with db.transaction() as tx:
        await tx.execute("UPDATE t SET filling = 1 WHERE n = 0")


async def lend(db):
    async with db.connection() as conn:
        await conn.execute_fetchall(COUNT)


def test_closing_while_all_kinds_of_calls_are_under_way(path):
    """Each of them ends, with a result or told that it is closed; what was acknowledged is there."""
    acknowledged = []

    async def write(db, first):
        for n in range(first, first + 1000):
            await db.execute(INSERT, (n, None))
            acknowledged.append(n)

    async def again_and_again(call, db):
        while True:
            await call(db)

    async def main():
        db = perfkit.AsyncDatabase(path, migrations=[TABLE])
        await db.executemany(INSERT, [(n, None) for n in range(5000)])
        calls = [again_and_again(call, db) for call in (stream, stream, read, change, lend)]
        calls += [write(db, 1_000_000 * number) for number in range(1, 5)]
        tasks = [asyncio.create_task(call) for call in calls]
        while len(acknowledged) < 500:
            await asyncio.sleep(0)
        await db.aclose()
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        closed = errors.DatabaseClosed, errors.PoolClosed
        assert all(outcome is None or isinstance(outcome, closed) for outcome in outcomes), outcomes

    asyncio.run(main())
    assert rows_in(path) == 5000 + len(acknowledged)
