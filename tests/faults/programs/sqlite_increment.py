"""Write to one database, as several processes do at once.

Arguments: the database, our name, how many tasks or threads, how many increments each. Prints "ready", waits for a
line, works, and prints how often it found the database locked.
"""

import asyncio
import faulthandler
import sys
import threading

import perfkit

SCHEMA = ["CREATE TABLE counts (name TEXT PRIMARY KEY, n INTEGER); CREATE TABLE t (name, n, UNIQUE (name, n))"]
ROW = "INSERT INTO t VALUES (?, ?)"
BUMP = "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1"
SEEN = "SELECT n FROM counts WHERE name = 'total'"
SET = "INSERT OR REPLACE INTO counts VALUES ('total', ?)"


def read_and_write(connection):
    """What fails in a transaction that began as a reading one."""
    row = connection.execute(SEEN).fetchone()
    connection.execute(SET, (1 + (row[0] if row else 0),))


async def with_tasks(db, name, tasks, times):
    async def work(task):
        for number in range(times):
            await db.execute(ROW, (name, task * times + number))
            if number % 5 == 4:
                async with db.transaction(60) as tx:
                    n = await tx.fetch_value(SEEN) or 0
                    await tx.execute(SET, (n + 1,))
            else:
                await db.run(read_and_write)
            await db.execute(BUMP, (name,))
            assert await db.fetch_value(SEEN) > number

    async with db:
        await asyncio.gather(*(work(task) for task in range(tasks)))


def with_threads(db, name, threads, times):
    def work(thread):
        for number in range(times):
            db.execute(ROW, (name, thread * times + number))
            db.run(read_and_write)
            db.execute(BUMP, (name,))

    workers = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    db.close()


def main(path, name, count, times):
    faulthandler.dump_traceback_later(120, exit=True)
    is_async = name.startswith("async")
    db = (perfkit.AsyncDatabase if is_async else perfkit.Database)(path, migrations=SCHEMA, busy_timeout=60)
    print("ready")
    sys.stdin.readline()
    if is_async:
        asyncio.run(with_tasks(db, name, int(count), int(times)))
    else:
        with_threads(db, name, int(count), int(times))
    print(db.stats().busy_retries)


main(*sys.argv[1:])
