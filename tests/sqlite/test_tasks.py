"""`AsyncDatabase` where tasks come in: sharing commits, cancellation, backpressure, loops."""

import asyncio
import sqlite3
import threading

import pytest

import perfkit
from perfkit import errors

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, x, UNIQUE (x))"
INSERT = "INSERT INTO t (x) VALUES (?)"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "app.db"


def numbers(path):
    connection = sqlite3.connect(path)
    try:
        return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]
    finally:
        connection.close()


async def opened(path, **options):
    db = perfkit.AsyncDatabase(path, **options)
    await db.execute(TABLE)
    return db


class Held:
    """The writer, kept busy until it is let go."""

    def __init__(self, db):
        self._db = db
        self._release = threading.Event()
        self._running = asyncio.Event()

    async def __aenter__(self):
        loop = asyncio.get_running_loop()

        def hold(_):
            loop.call_soon_threadsafe(self._running.set)
            assert self._release.wait(20)

        self._task = asyncio.create_task(self._db.run(hold))
        await self._running.wait()
        return self

    async def __aexit__(self, *_):
        self._release.set()
        await self._task


async def turns(n=5):
    for _ in range(n):
        await asyncio.sleep(0)


def test_what_waits_is_committed_together(path):
    async def main():
        async with await opened(path) as db:
            async with Held(db):
                tasks = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(500)]
                await turns()
            results = await asyncio.gather(*tasks)
            assert [result.lastrowid for result in results] == list(range(1, 501)), "not in order"
            assert db.stats().max_batch == 500

    asyncio.run(main())
    assert numbers(path) == list(range(500))


def test_a_batch_has_a_bound(path):
    async def main():
        async with await opened(path, max_batch=10) as db:
            async with Held(db):
                tasks = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(35)]
                await turns()
            await asyncio.gather(*tasks)
            assert db.stats().max_batch == 10

    asyncio.run(main())


def bad_ones(db):
    async def fail(connection):
        raise AssertionError("not reached")

    def half(connection):
        connection.execute(INSERT, ("half",))
        raise LookupError("half")

    return {
        "constraint": lambda: db.execute(INSERT, (0,)),
        "syntax": lambda: db.execute("SELEC"),
        "many": lambda: db.executemany(INSERT, [("m",), (0,)]),
        "unit": lambda: db.run(half),
        "transaction": lambda: db.execute("COMMIT"),
        "rollback": lambda: db.execute("INSERT OR ROLLBACK INTO t (x) VALUES (0)"),
        "deferred": lambda: db.execute("INSERT INTO child VALUES (9999)"),
        "parameters": lambda: db.execute(INSERT, (1, 2)),
        "type": lambda: db.execute(INSERT, (object(),)),
    }


@pytest.mark.parametrize("kind", list(bad_ones(None)))
def test_one_that_fails_fails_alone(path, kind):
    async def main():
        async with await opened(path, pragmas={"foreign_keys": 1}) as db:
            await db.execute("CREATE TABLE child (t REFERENCES t DEFERRABLE INITIALLY DEFERRED)")
            await db.execute(INSERT, (0,))
            async with Held(db):
                before = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(1, 50)]
                await turns()
                bad = asyncio.create_task(bad_ones(db)[kind]())
                await turns()
                after = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(50, 100)]
                await turns()
            results = await asyncio.gather(*before, *after)
            assert len(results) == 99
            with pytest.raises((sqlite3.Error, LookupError)):
                await bad

    asyncio.run(main())
    assert numbers(path) == list(range(100))


def test_cancelled_before_it_began_it_never_happens(path):
    async def main():
        async with await opened(path) as db:
            async with Held(db):
                tasks = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(10)]
                await turns()
                for task in tasks[::2]:
                    task.cancel()
                await turns()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert [isinstance(outcome, asyncio.CancelledError) for outcome in outcomes] == [True, False] * 5

    asyncio.run(main())
    assert numbers(path) == [1, 3, 5, 7, 9]


def test_cancelled_later_it_happens_whole(path):
    async def main():
        async with await opened(path) as db:
            async with Held(db) as held:
                held._task.cancel()
                await turns()
                held._release.set()
                with pytest.raises(asyncio.CancelledError):
                    await held._task
                held._task = asyncio.create_task(db.flush())
            await db.execute(INSERT, (1,))

    asyncio.run(main())
    assert numbers(path) == [1]


def test_submitters_wait_when_the_queue_is_full(path):
    async def main():
        async with await opened(path, max_pending=10, max_batch=3) as db:
            async with Held(db):
                tasks = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(100)]
                await turns()
                assert db.stats().pending == 10
                assert db.stats().waits == 90
                for task in tasks[5:15]:
                    task.cancel()
                await turns()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes) == 10

    asyncio.run(main())
    assert numbers(path) == [*range(5), *range(15, 100)]


def test_places_of_the_cancelled_go_to_who_waits(path):
    async def main():
        async with await opened(path, max_pending=1) as db:
            async with Held(db):
                queued = asyncio.create_task(db.execute(INSERT, (1,)))
                await turns()
                waiting = [asyncio.create_task(db.execute(INSERT, (n,))) for n in (2, 3, 4)]
                await turns()
                for task in (queued, waiting[1]):
                    task.cancel()
                await turns()
            await asyncio.wait_for(asyncio.wait(waiting), 20)
            assert [task.cancelled() for task in waiting] == [False, True, False]

    asyncio.run(main())
    assert numbers(path) == [2, 4]


def test_closing_carries_out_what_was_accepted(path):
    async def main():
        db = await opened(path, max_pending=50)
        async with Held(db):
            tasks = [asyncio.create_task(db.execute(INSERT, (n,))) for n in range(60)]
            await turns()
            closing = asyncio.create_task(db.aclose())
            await turns()
        await closing
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[50:]] == [errors.DatabaseClosed] * 10
        assert not any(isinstance(outcome, Exception) for outcome in outcomes[:50])
        await db.aclose()

    asyncio.run(main())
    assert numbers(path) == list(range(50))


def test_many_may_open_it_at_once(path):
    async def main():
        db = perfkit.AsyncDatabase(path, migrations=[TABLE])
        await asyncio.gather(*(db.execute(INSERT, (n,)) for n in range(20)), db.open(), db.open())
        assert await db.fetch_value("SELECT count(*) FROM t") == 20
        await db.aclose()

    asyncio.run(main())


def test_what_fails_to_open_fails_for_all_and_may_be_tried_again(path):
    async def main():
        path.write_text("hello " * 1000)
        db = perfkit.AsyncDatabase(path, migrations=[TABLE])
        outcomes = await asyncio.gather(*(db.execute(INSERT, (n,)) for n in range(5)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [errors.DatabaseCorrupt] * 5
        path.unlink()
        await db.execute(INSERT, (1,))
        await db.aclose()

    asyncio.run(main())


def test_another_loop_is_refused(path):
    async def main():
        async with await opened(path) as db:

            def elsewhere():
                async def use():
                    for call in (
                        lambda: db.execute(INSERT, (1,)),
                        lambda: db.fetch_all("SELECT 1"),
                        db.flush,
                        db.aclose,
                    ):
                        with pytest.raises(errors.DatabaseLoopError, match="in each loop"):
                            await call()

                asyncio.run(use())

            await asyncio.to_thread(elsewhere)
            await db.execute(INSERT, (2,))

    asyncio.run(main())
    assert numbers(path) == [2]


def test_a_loop_that_is_closed_is_followed_by_another(path):
    db = perfkit.AsyncDatabase(path)
    asyncio.run(db.execute(TABLE))
    for n in range(3):
        asyncio.run(db.execute(INSERT, (n,)))
    assert asyncio.run(db.fetch_value("SELECT count(*) FROM t")) == 3
    asyncio.run(db.aclose())
    assert numbers(path) == [0, 1, 2]


def test_a_cancelled_query_is_interrupted(path, eventually):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    async def main():
        async with await opened(path, readers=1) as db:
            task = asyncio.create_task(db.fetch_value(endless))
            while not db.stats().oldest_reader:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await db.fetch_value("SELECT 5") == 5

    asyncio.run(main())


def test_nobody_waits_for_somebody_elses_long_query(path):
    long = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    async def main():
        async with await opened(path, readers=2) as db:
            slow = asyncio.create_task(db.fetch_value(long))
            await turns()
            for n in range(20):
                assert await asyncio.wait_for(db.fetch_value("SELECT ?", (n,)), 10) == n
            slow.cancel()
            await asyncio.wait([slow])

    asyncio.run(main())


def test_a_cancelled_transaction_is_rolled_back(path):
    async def main():
        async with await opened(path) as db:

            async def block():
                async with db.transaction() as tx:
                    await tx.execute(INSERT, (1,))
                    await asyncio.sleep(60)

            task = asyncio.create_task(block())
            while not db.stats().transactions:
                await turns()
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await db.execute(INSERT, (2,))

    asyncio.run(main())
    assert numbers(path) == [2]


def test_a_transaction_waits_for_its_turn_no_longer_than_it_may(path):
    async def main():
        async with await opened(path) as db, Held(db):
            with pytest.raises(errors.TransactionTimeout):
                async with db.transaction(0.02):
                    raise AssertionError("entered")
            waiting = asyncio.create_task(db.transaction().__aenter__())
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(main())


def test_transactions_take_turns(path):
    async def main():
        async with await opened(path) as db:
            await db.execute(INSERT, (0,))

            async def add():
                async with db.transaction() as tx:
                    n = await tx.fetch_value("SELECT x FROM t")
                    await asyncio.sleep(0)
                    await tx.execute("UPDATE t SET x = ?", (n + 1,))

            await asyncio.gather(*(add() for _ in range(50)))
            assert await db.fetch_value("SELECT x FROM t") == 50

    asyncio.run(main())


def test_a_task_made_inside_of_a_transaction_may_write_once_it_is_over(path):
    async def main():
        async with await opened(path) as db:

            async def later():
                await over.wait()
                await db.execute(INSERT, (2,))

            over = asyncio.Event()
            async with db.transaction() as tx:
                await tx.execute(INSERT, (1,))
                task = asyncio.create_task(later())
                await turns()
            over.set()
            await task

    asyncio.run(main())
    assert numbers(path) == [1, 2]


def test_a_transaction_left_by_a_closed_loop_is_rolled_back(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])

    async def leave():
        tx = await db.transaction(None).__aenter__()
        await tx.execute(INSERT, (1,))

    asyncio.run(leave())
    asyncio.run(db.execute(INSERT, (2,)))
    asyncio.run(db.aclose())
    assert numbers(path) == [2]


def test_a_dropped_database_is_closed(path, eventually):
    async def main():
        db = await opened(path)
        await db.execute(INSERT, (1,))
        thread = db._writer.thread
        del db
        return thread

    thread = asyncio.run(main())
    eventually(lambda: not thread.is_alive())
    assert numbers(path) == [1]


def test_streams_beside_everything(path):
    async def main():
        async with await opened(path) as db:
            await db.executemany(INSERT, [(n,) for n in range(5000)])

            async def read():
                return [row["x"] async for row in db.stream("SELECT x FROM t ORDER BY x LIMIT 5000")]

            async def write():
                for n in range(5000, 5200):
                    await db.execute(INSERT, (n,))

            *read_by_all, _ = await asyncio.gather(*(read() for _ in range(10)), write())
            assert read_by_all == [list(range(5000))] * 10
            async for row in db.stream("SELECT x FROM t"):
                assert row["x"] == 0
                break

    asyncio.run(main())


def test_the_twins_name_each_other(path):
    db = perfkit.AsyncDatabase(path)
    with pytest.raises(TypeError, match=r"perfkit\.Database"), db:
        pass
    with pytest.raises(TypeError, match="async with"), db.transaction():
        pass

    async def enter():
        async with perfkit.Database(path):
            pass

    with pytest.raises(TypeError, match=r"perfkit\.AsyncDatabase"):
        asyncio.run(enter())
