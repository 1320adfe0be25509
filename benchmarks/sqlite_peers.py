"""Ways of writing to SQLite and reading from it, each opened where it is first used: connections survive no fork.

As a program (``sqlite_peers.py WAY PATH DURABILITY TASKS``) it serves one way of inserting to the benchmark that
started it, with another C library preloaded: a line with a number in, a line with seconds out.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

TABLE = "CREATE TABLE IF NOT EXISTS memories (id INTEGER PRIMARY KEY, agent INTEGER, text TEXT)"
INSERT = "INSERT INTO memories (agent, text) VALUES (?, ?)"
ROW = (7, "the antenna was calibrated, and the window is open")
SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}

Do = Callable[[], Awaitable[object]]
Way = tuple[Do, Do]  # how it is done, and how what was opened for it is closed


async def by_perfkit(path: Path, durability: str) -> Way:
    """`AsyncDatabase.execute`."""
    db = await perfkit_on(path, durability)
    return lambda: db.execute(INSERT, ROW), db.aclose


async def by_perfkit_hundreds(path: Path, durability: str) -> Way:
    """`AsyncDatabase.executemany` of a hundred rows."""
    db, rows = await perfkit_on(path, durability), [ROW] * 100
    return lambda: db.executemany(INSERT, rows), db.aclose


async def perfkit_on(path: Path, durability: str) -> Any:
    """Return an opened AsyncDatabase."""
    import perfkit

    db = perfkit.AsyncDatabase(path, durability=durability)  # type: ignore[arg-type]  # one of the two words
    await db.open()
    await db.execute(TABLE)
    return db


async def aiosqlite_on(path: Path, durability: str, **options: Any) -> Any:
    """Return an aiosqlite connection in WAL mode."""
    import aiosqlite

    connection = aiosqlite.connect(path, **options)
    connection._thread.daemon = True
    await connection
    await connection.execute("PRAGMA journal_mode=WAL")
    await connection.execute(f"PRAGMA synchronous={SYNCHRONOUS[durability]}")
    await connection.execute(TABLE)
    return connection


async def by_autocommit(path: Path, durability: str) -> Way:
    """Each statement a transaction of its own, on one shared connection."""
    connection = await aiosqlite_on(path, durability, isolation_level=None)
    return lambda: connection.execute(INSERT, ROW), connection.close


async def by_locked_commit(path: Path, durability: str) -> Way:
    """Execute and commit under a lock: the safe ordinary way on one shared connection."""
    connection, lock = await aiosqlite_on(path, durability), asyncio.Lock()

    async def insert() -> None:
        async with lock:
            await connection.execute(INSERT, ROW)
            await connection.commit()

    return insert, connection.close


async def by_commit(path: Path, durability: str) -> Way:
    """Execute and commit without a lock: tasks commit each other's rows."""
    connection = await aiosqlite_on(path, durability)

    async def insert() -> None:
        await connection.execute(INSERT, ROW)
        await connection.commit()

    return insert, connection.close


async def by_pool(path: Path, durability: str) -> Way:
    """Execute and commit on a connection of aiosqlitepool."""
    pool = await pool_on(path, durability)

    async def insert() -> None:
        async with pool.connection() as connection:
            await connection.execute(INSERT, ROW)
            await connection.commit()

    return insert, pool.close


async def pool_on(path: Path, durability: str) -> Any:
    """Return a pool of four."""
    from aiosqlitepool import SQLiteConnectionPool

    return SQLiteConnectionPool(lambda: aiosqlite_on(path, durability, timeout=30), pool_size=4, acquisition_timeout=60)


class Tasks:
    """A way of doing something, done by so many tasks of a loop of its own."""

    def __init__(self, open_it: Callable[[Path, str], Awaitable[Way]], path: Path, durability: str, tasks: int) -> None:
        self._open = open_it
        self._path, self._durability, self._tasks = path, durability, tasks
        self._runner: asyncio.Runner | None = None
        self._way: Way | None = None

    def __call__(self, n: int) -> float:
        """Do it n times in all, and return the seconds that took."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._timed(n))

    def close(self) -> None:
        """Close what was opened in this process."""
        if self._runner is not None:
            if self._way is not None:
                self._runner.run(_awaited(self._way[1]))
            self._runner.close()

    async def _timed(self, n: int) -> float:
        if self._way is None:
            self._way = await self._open(self._path, self._durability)
        do, _ = self._way

        async def share(each: int) -> None:
            for _ in range(each):
                await do()

        started = perf_counter()
        await asyncio.gather(*(share(n // self._tasks) for _ in range(self._tasks)))
        return perf_counter() - started


async def _awaited(close: Do) -> None:
    await close()


SELECT = "SELECT text FROM memories WHERE id = ?"


async def mixed_by_perfkit(path: Path) -> tuple[Do, Do, Do]:
    """Return how perfkit reads a row, writes one, and is closed."""
    db = await perfkit_on(path, "process")
    await db.execute(INSERT, ROW)
    return lambda: db.fetch_one(SELECT, (1,)), lambda: db.execute(INSERT, ROW), db.aclose


async def mixed_by_connection(path: Path) -> tuple[Do, Do, Do]:
    """Return the same for one shared aiosqlite connection."""
    connection = await aiosqlite_on(path, "process", isolation_level=None)
    await connection.execute(INSERT, ROW)

    async def read() -> object:
        cursor = await connection.execute(SELECT, (1,))
        return await cursor.fetchone()

    return read, lambda: connection.execute(INSERT, ROW), connection.close


async def mixed_by_pool(path: Path) -> tuple[Do, Do, Do]:
    """Return the same for a pool of four aiosqlite connections."""
    pool = await pool_on(path, "process")

    async def write() -> None:
        async with pool.connection() as connection:
            await connection.execute(INSERT, ROW)
            await connection.commit()

    async def read() -> object:
        async with pool.connection() as connection:
            cursor = await connection.execute(SELECT, (1,))
            return await cursor.fetchone()

    await write()
    return read, write, pool.close


class Mixed:
    """Readers beside writers: the seconds that n of what is ``counted`` take, while the others go on as they can.

    ``pace`` is how many reads a second all readers make together; as many as they can without one.
    """

    def __init__(self, way: Any, path: Path, counted: str, *, readers: int = 16, pace: float | None = None) -> None:
        self._way, self._path, self._counted = way, path, counted
        self._readers, self._writers, self._pace = readers, 20, pace
        self._runner: asyncio.Runner | None = None
        self._opened: tuple[Do, Do, Do] | None = None

    def __call__(self, n: int) -> float:
        """Do it n times in all, and return the seconds that took."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._timed(n))

    def close(self) -> None:
        """Close what was opened in this process."""
        if self._runner is not None:
            if self._opened is not None:
                self._runner.run(_awaited(self._opened[2]))
            self._runner.close()

    async def _timed(self, n: int) -> float:
        if self._opened is None:
            self._opened = await self._way(self._path)
        read, write, _ = self._opened
        counting = self._counted == "reads"
        is_over = False

        async def go_on(do: Do, pause: float) -> None:
            while not is_over:
                await do()
                if pause:
                    await asyncio.sleep(pause)

        async def share(do: Do, each: int) -> None:
            for _ in range(each):
                await do()

        counted, beside = (self._readers, self._writers) if counting else (self._writers, self._readers)
        pause = 0.0 if counting or self._pace is None else self._readers / self._pace
        others = [asyncio.create_task(go_on(write if counting else read, pause)) for _ in range(beside)]
        started = perf_counter()
        await asyncio.gather(*(share(read if counting else write, n // counted) for _ in range(counted)))
        took = perf_counter() - started
        is_over = True
        await asyncio.gather(*others)
        return took


def rows_in(path: Path) -> int:
    """Count the rows, as somebody else sees them."""
    connection = sqlite3.connect(path)
    try:
        [(count,)] = connection.execute("SELECT count(*) FROM memories")
        return int(count)
    finally:
        connection.close()


WAYS = {way.__name__: way for way in (by_perfkit, by_autocommit, by_locked_commit, by_commit)}

if __name__ == "__main__":
    timed = Tasks(WAYS[sys.argv[1]], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    for line in sys.stdin:
        print(timed(int(line)), flush=True)
