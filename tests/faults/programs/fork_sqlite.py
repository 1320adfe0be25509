"""What forking may do to databases, one function a scenario; what is wrong is an AssertionError.

Arguments: the scenario's name, the file. Here and not in pytest's process, because that has threads of its own.
"""

import asyncio
import faulthandler
import gc
import multiprocessing
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import warnings

from fork_scenarios import forked, reap

import perfkit
from perfkit.errors import DatabaseClosed, DatabaseForked

TABLE = "CREATE TABLE t (n)"
INSERT = "INSERT INTO t VALUES (?)"
COUNT = "SELECT count(*) FROM t"


def refused(call):
    try:
        call()
    except DatabaseForked as error:
        assert "in the child" in str(error)  # noqa: PT017 (a program without pytest)
        return
    raise AssertionError("it was not refused")


def refuses_everything(db):
    for call in (
        lambda: db.execute(INSERT, (1,)),
        lambda: db.executemany(INSERT, [(1,)]),
        lambda: db.run(lambda connection: None),
        lambda: db.fetch_value(COUNT),
        lambda: list(db.stream(COUNT)),
        lambda: db.transaction().__enter__(),
        lambda: db.connection().__enter__(),
        lambda: db.backup(db.path + ".copy"),
        db.flush,
        db.maintain,
        db.open,
    ):
        refused(call)
    db.stats()
    db.close()
    refused(db.flush)


def in_the_middle_of_a_transaction(path):
    """The child calls the transaction that it was forked in, leaves it, and is told at once."""
    db = perfkit.Database(path, migrations=[TABLE])
    block = db.transaction()
    tx = block.__enter__()
    tx.execute(INSERT, (1,))

    def child():
        refused(lambda: tx.execute(INSERT, (2,)))
        refused(lambda: tx.fetch_value(COUNT))
        refused(lambda: block.__exit__(None, None, None))

    for _ in range(10):
        reap(forked(child))
    block.__exit__(None, None, None)
    assert db.fetch_value(COUNT) == 1
    db.close()


def use_another(path):
    with perfkit.Database(path) as own:
        own.execute(INSERT, (2,))
        assert own.fetch_value(COUNT) == 2


def everything_open(path):
    """A stream, a transaction and a lent connection are open while it forks; the child drops them all."""
    db = perfkit.Database(path, migrations=[TABLE])
    db.executemany(INSERT, [(0,)] * 5000)
    stream = db.stream("SELECT n FROM t")
    next(stream)
    lent = db.connection()
    conn = lent.__enter__()
    things = [db, stream, lent, conn]

    def child():
        refuses_everything(things[0])
        things.clear()
        gc.collect()

    with db.transaction() as tx:
        tx.execute(INSERT, (1,))
        del db, stream, lent, conn
        reap(forked(child))
    db, stream, lent, conn = things
    assert len(list(stream)) == 4999
    assert conn.execute(COUNT).fetchone()[0] == 5001
    lent.__exit__(None, None, None)
    db.execute(INSERT, (2,))
    db.close()


def the_child_opens_the_file_anew(path):
    db = perfkit.Database(path, migrations=[TABLE])
    db.execute(INSERT, (1,))

    def child():
        refuses_everything(db)
        use_another(path)

    reap(forked(child))
    db.execute(INSERT, (3,))
    assert db.fetch_value(COUNT) == 3
    db.close()


def the_child_ends_as_programs_do(path):
    """With finalisers and all."""
    db = perfkit.Database(path, migrations=[TABLE])
    db.execute(INSERT, (1,))
    faulthandler.cancel_dump_traceback_later()  # at its end the child would wait for a thread of the parent's
    signal.alarm(30)
    pid = os.fork()
    if pid == 0:
        sys.exit()
    reap(pid)
    assert os.path.exists(path + "-wal"), "the child closed the parent's database"
    db.execute(INSERT, (2,))
    assert db.fetch_value(COUNT) == 2
    db.close()


def in_a_loop(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])

    async def refuses():
        for call in (
            lambda: db.execute(INSERT, (1,)),
            lambda: db.fetch_value(COUNT),
            lambda: db.backup(path + ".copy"),
            lambda: anext(db.stream(COUNT)),
            db.flush,
            db.open,
        ):
            try:
                await call()
            except DatabaseForked:
                continue
            raise AssertionError("it was not refused")
        await db.aclose()

    async def parent():
        await db.execute(INSERT, (1,))
        async with db.connection() as conn, db.stream(COUNT) as rows:
            reap(forked(lambda: asyncio.run(refuses())))
            await conn.execute_fetchall(COUNT)
            assert [row[0] async for row in rows] == [1]
        await db.execute(INSERT, (2,))
        assert await db.fetch_value(COUNT) == 2
        await db.aclose()

    asyncio.run(parent())


def another_loop_in_the_child(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])
    loop = asyncio.new_event_loop()

    async def lend():
        async with db.connection() as conn:
            await conn.execute_fetchall(COUNT)

    loop.run_until_complete(lend())

    def child():
        async def use():
            try:
                await db.execute(INSERT, (1,))
            except DatabaseForked:
                return
            raise AssertionError("it was not refused")

        asyncio.run(use())
        gc.collect()

    reap(forked(child))
    loop.run_until_complete(lend())
    loop.run_until_complete(db.aclose())
    loop.close()


def multiprocessing_workers(path):
    """Each makes a database of its own, beside the parent's that it inherits."""
    with perfkit.Database(path, migrations=[TABLE], busy_timeout=60) as db:
        db.execute(INSERT, (0,))

        def work():
            refused(db.flush)
            with perfkit.Database(path, busy_timeout=60) as own:
                for n in range(20):
                    own.execute(INSERT, (n,))

        workers = [multiprocessing.get_context("fork").Process(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
            db.execute(INSERT, (0,))
        for worker in workers:
            worker.join(30)
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert db.fetch_value(COUNT) == 1 + 4 + 4 * 20


def forks_at_any_moment(path):
    """While threads of the parent are anywhere in it."""
    db = perfkit.Database(path, migrations=[TABLE])
    done = [0] * 4
    stop = threading.Event()

    def hammer(number):
        while not stop.is_set():
            db.execute(INSERT, (number,))
            db.fetch_value(COUNT)
            done[number] += 1

    threads = [threading.Thread(target=hammer, args=[number]) for number in range(4)]
    db.open()
    for thread in threads:
        thread.start()
    pids = []
    for _ in range(30):
        time.sleep(random.uniform(0, 0.01))
        pids.append(forked(lambda: refuses_everything(db)))
    for pid in pids:
        reap(pid)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert db.fetch_value(COUNT) == sum(done)
    db.close()
    try:
        db.flush()
    except DatabaseClosed:
        return
    raise AssertionError("it was not closed")


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        everything_open,
        in_the_middle_of_a_transaction,
        the_child_opens_the_file_anew,
        the_child_ends_as_programs_do,
        in_a_loop,
        another_loop_in_the_child,
        multiprocessing_workers,
        forks_at_any_moment,
    )
}

if __name__ == "__main__":
    faulthandler.dump_traceback_later(60, exit=True)
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads: they are the subject
    SCENARIOS[sys.argv[1]](sys.argv[2])
    check = sqlite3.connect(sys.argv[2])
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()
