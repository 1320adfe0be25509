"""The SQLite demo: a hundred agents remember texts with their embeddings, while others recall them.

First each memory is a row, and the agent goes on when it is committed: by execute and commit under a lock on one
aiosqlite connection, and by `perfkit.AsyncDatabase`, in turns. Then a memory is two statements, and some callers give
up in the middle, as they do when a client hangs up.
"""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import tempfile
from array import array
from contextlib import AsyncExitStack, closing, suppress
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import perfkit
from perfkit.demo.results import Check, Comparison, Count, Latency, Options, PartResult, Progress, Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    import aiosqlite

    Memory = tuple[int, int, str, bytes]

__all__ = ["run"]

AGENTS = 100
READERS = 8
FEW = 3  # callers that share a connection where some give up
DIMENSIONS = 384

TABLES = (
    "CREATE TABLE memories (id INTEGER PRIMARY KEY, agent INTEGER, text TEXT, embedding BLOB)",
    "CREATE TABLE agents (id INTEGER PRIMARY KEY, memories INTEGER DEFAULT 0)",
    *(f"INSERT INTO agents (id) VALUES ({agent})" for agent in range(AGENTS)),  # noqa: S608 (numbers of our own)
)
REMEMBER = "INSERT INTO memories VALUES (?, ?, ?, ?)"
COUNT = "UPDATE agents SET memories = memories + 1 WHERE id = ?"
RECALL = "SELECT * FROM memories WHERE id = ?"

_numbers = array("f", (random.gauss(0, 1) for _ in range(2 * DIMENSIONS))).tobytes()


def memory(number: int) -> Memory:
    """Return a row: what the agent whose turn it is remembers, and an embedding of it."""
    start = number % DIMENSIONS * 4
    text = f"Orbit {number}: the antenna was calibrated, and the window is open for {number % 97} minutes. " * 3
    return number, number % AGENTS, text, _numbers[start : start + DIMENSIONS * 4]


class Store(Protocol):
    """A way of keeping memories."""

    async def remember(self, row: Memory) -> None:
        """Write a row, and return when it is committed."""

    async def remember_and_count(self, row: Memory) -> None:
        """Write a row, and raise its agent's count, together."""

    async def recall(self, number: int) -> Any:
        """Read a row."""


class Shared:
    """One aiosqlite connection for all, used as is usual and safe: nobody commits what another is in the middle of."""

    name = "aiosqlite, execute and commit"

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    @classmethod
    async def opened(cls, path: str, stack: AsyncExitStack) -> Shared:
        """Open it, as fast as it can be without losing a commit when the program dies."""
        import aiosqlite

        connection = await stack.enter_async_context(aiosqlite.connect(path))
        await connection.execute("PRAGMA journal_mode=WAL")
        await connection.execute("PRAGMA synchronous=NORMAL")
        for sql in TABLES:
            await connection.execute(sql)
        await connection.commit()
        return cls(connection)

    async def remember(self, row: Memory) -> None:
        """Write a row, and return when it is committed."""
        async with self._lock:
            await self._connection.execute(REMEMBER, row)
            await self._connection.commit()

    async def remember_and_count(self, row: Memory) -> None:
        """Write a row, and raise its agent's count, together."""
        async with self._lock:
            await self._connection.execute(REMEMBER, row)
            await self._connection.execute(COUNT, (row[1],))
            await self._connection.commit()

    async def recall(self, number: int) -> Any:
        """Read a row."""
        async with self._connection.execute(RECALL, (number,)) as cursor:
            return await cursor.fetchone()


class Batched:
    """The same by perfkit."""

    name = "AsyncDatabase"

    def __init__(self, db: perfkit.AsyncDatabase) -> None:
        self._db = db

    @classmethod
    async def opened(cls, path: str, stack: AsyncExitStack) -> Batched:
        """Open it."""
        db = await stack.enter_async_context(perfkit.AsyncDatabase(path, migrations=[";".join(TABLES)]))
        return cls(db)

    async def remember(self, row: Memory) -> None:
        """Write a row, and return when it is committed."""
        await self._db.execute(REMEMBER, row)

    async def remember_and_count(self, row: Memory) -> None:
        """Write a row, and raise its agent's count, together."""

        def both(connection: sqlite3.Connection) -> None:
            connection.execute(REMEMBER, row)
            connection.execute(COUNT, (row[1],))

        await self._db.run(both)

    async def recall(self, number: int) -> Any:
        """Read a row."""
        return await self._db.fetch_one(RECALL, (number,))


WAYS: tuple[type[Shared | Batched], ...] = (Shared, Batched)


def run(options: Options, progress: Progress) -> PartResult:
    """Run both halves. ``options.input`` is for other parts."""
    rounds, each, impatient = (2, 4, 400) if options.quick else (5, 16, 1000)
    together = asyncio.run(all_at_once(rounds, each, progress))
    given_up = asyncio.run(some_give_up(impatient, progress))
    written = len(memory(0)[2]) + len(memory(0)[3])
    return PartResult(
        "sqlite", "SQLite: the memories of agents", written * rounds * each * AGENTS, (together, given_up)
    )


class Crowd:
    """Agents and readers of one store: how long they took, and what was wrong."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.written: list[float] = []
        self.read: list[float] = []
        self.wrong = 0
        self.count = 0  # rows that are there: the numbers from 0
        self._is_over = False

    async def play(self, each: int) -> None:
        """Have all agents remember so many memories, while readers recall those of the rounds before."""
        self._is_over = False
        async with asyncio.TaskGroup() as readers:
            for _ in range(READERS):
                readers.create_task(self._recall(self.count))
            await asyncio.gather(*(self._remember(self.count + agent, each) for agent in range(AGENTS)))
            self._is_over = True
        self.count += AGENTS * each

    async def _remember(self, number: int, each: int) -> None:
        for row in [memory(number + turn * AGENTS) for turn in range(each)]:
            started = perf_counter()
            await self.store.remember(row)
            self.written.append(perf_counter() - started)

    async def _recall(self, below: int) -> None:
        while True:  # once at least, however quick the agents are
            number = random.randrange(below)
            started = perf_counter()
            row = await self.store.recall(number)
            self.read.append(perf_counter() - started)
            self.wrong += row is None or tuple(row) != memory(number)
            if self._is_over:
                return


async def all_at_once(rounds: int, each: int, progress: Progress) -> Section:
    """Have as many agents write, and readers read, each way in turns."""
    with tempfile.TemporaryDirectory(prefix="perfkit-demo-") as folder:
        paths = [os.path.join(folder, f"{way.__name__}.db") for way in WAYS]
        async with AsyncExitStack() as stack:
            crowds = [Crowd(await way.opened(path, stack)) for way, path in zip(WAYS, paths, strict=True)]
            for crowd in crowds:
                await crowd.store.remember(memory(0))  # so that there is something to recall
                crowd.count = 1
            for number in range(rounds):
                for way, crowd in zip(WAYS, crowds, strict=True):
                    progress(f"sqlite: round {number + 1} of {rounds}, {way.name}")
                    await crowd.play(each)
        missing = [difference(path, range(crowd.count)) for path, crowd in zip(paths, crowds, strict=True)]
    writes = _comparison("A memory, until it is committed", [crowd.written for crowd in crowds])
    reads = _comparison("A memory recalled meanwhile", [crowd.read for crowd in crowds])
    checks = (
        _check("Rows missing, or not as written", missing, [crowd.count for crowd in crowds], both=True),
        _check("Recalled wrong", [crowd.wrong for crowd in crowds], [len(crowd.read) for crowd in crowds], both=True),
    )
    note = (
        f"{AGENTS} tasks write a row at a time (a text, and {DIMENSIONS} numbers), {READERS} read. Both ways WAL,"
        " synchronous=NORMAL."
    )
    return Section("All at once", (writes, reads), checks, note)


def difference(path: str, numbers: Iterable[int]) -> int:
    """Count the rows that a file doesn't have as they were written, or has beside them."""
    with closing(sqlite3.connect(path)) as connection:
        return len(set(connection.execute("SELECT * FROM memories")) ^ set(map(memory, numbers)))


class Impatient:
    """Callers of one store who give up, each after a random part of the time that it takes."""

    def __init__(self, store: Store, count: int) -> None:
        self.store = store
        self.took: list[float] = []
        self.acknowledged: list[int] = []
        self._left = iter(range(count))

    async def play(self) -> None:
        """Have them all call."""
        await asyncio.gather(*(self._call() for _ in range(FEW)))

    async def _call(self) -> None:
        for number in self._left:
            started = perf_counter()
            patience = random.uniform(0, 2 * median(self.took[-20:])) if number % 4 and self.took else None
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self.store.remember_and_count(memory(number))
                self.acknowledged.append(number)
                if patience is None:
                    self.took.append(perf_counter() - started)


async def some_give_up(count: int, progress: Progress) -> Section:
    """Have callers give up in the middle; the two ways one after the other."""
    crowds, halves, lost = [], [], []
    with tempfile.TemporaryDirectory(prefix="perfkit-demo-") as folder:
        for way in WAYS:
            progress(f"sqlite: some give up, {way.name}")
            path = os.path.join(folder, f"{way.__name__}.db")
            async with AsyncExitStack() as stack:
                crowd = Impatient(await way.opened(path, stack), count)
                await crowd.play()
            crowds.append(crowd)
            halves.append(uncounted(path))
            lost.append(len(set(crowd.acknowledged) - set(numbers_in(path))))
    checks = (
        _check("Memories that were not counted", halves, [count, count]),
        _check("Acknowledged, and not there", lost, [len(crowd.acknowledged) for crowd in crowds], both=True),
    )
    gone = " and ".join(str(count - len(crowd.acknowledged)) for crowd in crowds)
    note = (
        f"A memory is a row, and one more in its agent's count. {FEW} callers; {gone} of {count} gave up. The"
        " ordinary way, the next caller commits whatever they had done by then; perfkit commits all of it, or nothing."
    )
    took = _comparison("A memory and its count, not given up", [crowd.took for crowd in crowds])
    return Section("Some give up", (took,), checks, note)


def uncounted(path: str) -> int:
    """Count the memories that their agent's count lacks, or has too many."""
    sql = "SELECT abs(memories - (SELECT count(*) FROM memories WHERE agent = agents.id)) FROM agents"
    with closing(sqlite3.connect(path)) as connection:
        return sum(off for (off,) in connection.execute(sql))


def numbers_in(path: str) -> list[int]:
    """Return the numbers of the memories in a file."""
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT id FROM memories")]


def _comparison(what: str, took: list[list[float]]) -> Comparison:
    """Return a comparison of both ways."""
    before, after = (Latency.of(way.name, seconds) for way, seconds in zip(WAYS, took, strict=True))
    return Comparison(what, before, (after,))


def _check(what: str, bad: list[int], of: list[int], *, both: bool = False) -> Check:
    """Return a check of both ways."""
    before, after = map(Count, bad, of)
    return Check(what, before, after, both)
