"""End the program with a database open; what it leaves, and whether it ends at all, is looked at from outside.

Arguments: how, the database. Prints the numbers of the rows that were acknowledged, and then ends.
"""

import asyncio
import contextlib
import faulthandler
import os
import sys
import threading

import perfkit

TABLE = "CREATE TABLE t (n)"
INSERT = "INSERT INTO t VALUES (?)"


def acknowledge(n):
    os.write(1, f"{n}\n".encode())  # at once: threads print at the same time


def insert(db, n):
    db.execute(INSERT, (n,))
    acknowledge(n)


def insert_until_closed(db, *numbers):
    with contextlib.suppress(perfkit.errors.DatabaseClosed):  # the interpreter is ending
        for n in numbers:
            insert(db, n)


async def ainsert(db, n):
    await db.execute(INSERT, (n,))
    acknowledge(n)


def threads(path):
    db = perfkit.Database(path, migrations=[TABLE])
    insert(db, 1)
    return db


def threads_that_write(path):
    db = perfkit.Database(path, migrations=[TABLE])
    for number in range(1, 5):
        numbers = range(number * 10_000, number * 10_000 + 1000)
        threading.Thread(target=insert_until_closed, args=[db, *numbers], daemon=True).start()
    insert(db, 1)


def an_open_transaction(path):
    db = perfkit.Database(path, migrations=[TABLE])
    insert(db, 1)
    tx = db.transaction(None).__enter__()
    tx.execute(INSERT, (2,))
    return db, tx


def an_open_stream(path):
    db = perfkit.Database(path, migrations=[TABLE])
    db.executemany(INSERT, [(0,)] * 5000)
    insert(db, 1)
    stream = db.stream("SELECT n FROM t")
    next(stream)
    return db, stream


def lent_to_a_thread(path):
    db = perfkit.Database(path, migrations=[TABLE])
    insert(db, 1)
    lent = db.connection()
    lent.__enter__().execute("SELECT * FROM t").fetchall()
    return db, lent


def the_loop_is_closed(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])

    async def main():
        await asyncio.gather(*(ainsert(db, n) for n in range(50)))

    asyncio.run(main())
    return db


def the_loop_is_closed_in_the_middle(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # it will say that tasks are pending: so they are

    async def main():
        await db.open()
        tasks = [asyncio.ensure_future(ainsert(db, n)) for n in range(500)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return tasks

    tasks = loop.run_until_complete(main())
    loop.close()
    return db, tasks


def lent_to_a_task(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])
    loop = asyncio.new_event_loop()

    async def main():
        await ainsert(db, 1)
        lent = db.connection()
        conn = await lent.__aenter__()
        await conn.execute_fetchall("SELECT * FROM t")
        async with db.connection() as other:  # this one is idle when the loop is closed
            await other.execute_fetchall("SELECT * FROM t")
        return lent, conn

    lent = loop.run_until_complete(main())
    loop.close()
    return db, lent


def streamed_to_a_task(path):
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)

    async def main():
        await db.executemany(INSERT, [(0,)] * 5000)
        await ainsert(db, 1)
        rows = db.stream("SELECT n FROM t")
        await anext(rows)
        return rows

    rows = loop.run_until_complete(main())
    loop.close()
    return db, rows


def accepted_and_not_awaited(path):
    """What waits in the queue when the interpreter ends is committed by its end."""
    db = perfkit.Database(path, migrations=[TABLE])
    insert(db, 1)
    entered = threading.Event()

    def hold(connection):
        entered.set()
        connection.execute("SELECT 1").fetchall()

    threading.Thread(target=lambda: db.run(hold), daemon=True).start()
    entered.wait()
    for n in range(2, 40):
        threading.Thread(target=insert_until_closed, args=[db, n], daemon=True).start()
    sys.exit()


def main(how, path):
    faulthandler.dump_traceback_later(40, exit=True)
    return globals()[how](path)


kept = main(*sys.argv[1:])
