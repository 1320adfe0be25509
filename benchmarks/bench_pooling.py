"""Pools.

What it costs to borrow a connection and give it back, where connections are there already and do nothing. The floor is
a queue of the standard library, which hands out what it was given and knows nothing of age, errors or fairness.
"""

import asyncio
import queue
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter
from typing import Any

import pytest

import pool_peers as peers
from measure import Claim, Contender, in_tasks, in_threads
from perfkit.pooling import AsyncPool, Pool

FLOOR, AFLOOR = "queue.LifoQueue", "asyncio.LifoQueue"
WITH, AWITH = "Pool, with", "AsyncPool, async with"
TAKEN, ATAKEN = "Pool, acquire and release", "AsyncPool, acquire and release"
MANY = 10_000  # turns
_ours: list[Any] = []  # as long as the process, for nobody closes them
UNLIKE = "hands out and takes back, no more than that"

Timed = Callable[[int], float]
Make = Callable[[int], Any]  # a pool of so many connections


def filled(size: int) -> Any:
    made: Any = queue.LifoQueue()
    for _ in range(size):
        made.put(peers.Conn())
    return made


def afilled(size: int) -> Any:
    made: Any = asyncio.LifoQueue()
    for _ in range(size):
        made.put_nowait(peers.Conn())
    return made


async def aconnect() -> peers.Conn:
    return peers.Conn()


def pool(size: int) -> Any:
    _ours.append(Pool(peers.Conn, max_size=size))
    return _ours[-1]


def apool(size: int) -> Any:
    _ours.append(AsyncPool(aconnect, max_size=size))
    return _ours[-1]


# name -> how its pool is made, and what borrows and gives back
SYNC: dict[str, tuple[Make, str]] = {
    FLOOR: (filled, "pool.put(pool.get())"),
    WITH: (pool, "with pool.connection(): pass"),
    TAKEN: (pool, "pool.release(pool.acquire())"),
    "SQLAlchemy QueuePool": (peers.sqlalchemy_pool, "pool.connect().close()"),
    "psycopg_pool": (peers.psycopg_pool, "with pool.connection(): pass"),
    "redis-py BlockingConnectionPool": (peers.redis_pool, "pool.release(pool.get_connection())"),
    "generic-connection-pool": (peers.generic_pool, "with pool.connection('server'): pass"),
}
ASYNC: dict[str, tuple[Make, str]] = {
    AFLOOR: (afilled, "held = await pool.get(); {hold}; pool.put_nowait(held)"),
    AWITH: (apool, "async with pool.connection(): {hold}"),
    ATAKEN: (apool, "held = await pool.acquire(); {hold}; pool.release(held)"),
    "SQLAlchemy AsyncAdaptedQueuePool": (
        peers.sqlalchemy_apool,
        "held = await greenlet_spawn(pool.connect); {hold}; await greenlet_spawn(held.close)",
    ),
    "psycopg_pool, async": (peers.psycopg_apool, "async with pool.connection(): {hold}"),
    "redis.asyncio BlockingConnectionPool": (
        peers.redis_apool,
        "held = await pool.get_connection(); {hold}; await pool.release(held)",
    ),
    "generic-connection-pool, asyncio": (peers.generic_apool, "async with pool.connection('server'): {hold}"),
    "aiosqlitepool": (peers.aiosqlite_pool, "async with pool.connection(): {hold}"),
}


class Lazily:
    """A contender that makes its pool when it is first timed: threads and loops don't go through the fork before."""

    def __init__(self, make: Callable[[], Timed]) -> None:
        self._make = make
        self._timed: Timed | None = None

    def __call__(self, n: int) -> float:
        if self._timed is None:
            self._timed = self._make()
        return self._timed(n)


def contenders(
    of: dict[str, tuple[Make, str]], timed: Callable[[Make, str], Timed], ours: tuple[str, ...], at_once: int = 1
) -> list[Contender]:
    def one(name: str, make: Make, turn: str) -> Contender:
        note = UNLIKE if name in (FLOOR, AFLOOR) else ""
        return Contender(
            name=name,
            timed=Lazily(lambda: timed(make, turn)),
            check=lambda _: None,
            ours=name in ours,
            note=note,
            at_once=at_once,
        )

    return [one(name, make, turn) for name, (make, turn) in of.items()]


def claims(of: dict[str, Any], floors: dict[str, float]) -> list[Claim]:
    """Claim that ours take at most so many times what the floor takes, and that the first of them is ahead of all."""
    floor, first, *_ = of
    against_the_floor = [Claim(name, floor, 1 / most) for name, most in floors.items()]
    return against_the_floor + [Claim(first, peer, 1) for peer in list(of)[3:]]


def compiled(source: str, **names: Any) -> dict[str, Any]:
    names |= {"perf_counter": perf_counter, "sleep": asyncio.sleep, "greenlet_spawn": peers.greenlet_spawn}
    exec(source, names)
    return names


def in_one_thread(make: Make, turn: str) -> Timed:
    """Time turns that nothing but the loop comes beside."""
    source = f"""
def timed(n):
    turns = range(n)
    started = perf_counter()
    for _ in turns:
        {turn}
    return perf_counter() - started
"""
    return compiled(source, pool=make(1))["timed"]  # type: ignore[no-any-return]


def in_eight_threads(make: Make, turn: str) -> Timed:
    """Time many turns a thread: an interpreter that runs one thread for 5 ms has most do theirs without meeting."""
    source = f"def operation():\n    for _ in range({MANY}):\n        {turn}\n"
    timed = in_threads(8, compiled(source, pool=make(4))["operation"])
    return lambda n: timed(n) / MANY


def in_one_task(runner: asyncio.Runner, make: Make, turn: str) -> Timed:
    source = f"""
async def turn(n):
    turns = range(n)
    started = perf_counter()
    for _ in turns:
        {turn.format(hold="pass")}
    return perf_counter() - started
"""
    turns = compiled(source, pool=made_in(runner, make, 1))["turn"]
    return lambda n: runner.run(turns(n))  # type: ignore[no-any-return]


def in_a_hundred_tasks(runner: asyncio.Runner, make: Make, turn: str) -> Timed:
    """Each holds its connection for a turn of the loop, or none would ever wait."""
    source = f"async def operation():\n    {turn.format(hold='await sleep(0)')}\n"
    operation: Callable[[], Awaitable[object]] = compiled(source, pool=made_in(runner, make, 10))["operation"]
    return in_tasks(runner, 100, operation)


def made_in(runner: asyncio.Runner, make: Make, size: int) -> Any:
    """Return a pool that is made, and where it has to be opened is open, in the runner's loop."""

    async def made() -> Any:
        pool = make(size)
        return await pool if asyncio.iscoroutine(pool) else pool

    return runner.run(made())


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_one_thread(compare: Any) -> None:
    """A connection borrowed and given back by a thread.

    One after the other, from a pool with one connection that is idle; ratios are to a queue's get and put.
    """
    ours = (WITH, TAKEN)
    compare(contenders(SYNC, in_one_thread, ours), size="1 thread", claims=claims(SYNC, {WITH: 0.7}))


def test_threads_that_wait_for_each_other(compare: Any) -> None:
    """A connection borrowed and given back by eight threads that share four.

    Each does so as often as it can; ratios are to a queue's get and put.
    """
    ours = (WITH, TAKEN)
    compare(
        contenders(SYNC, in_eight_threads, ours, at_once=8),
        size="8 threads on 4 connections",
        claims=claims(SYNC, {WITH: 0.8}),
    )


def test_one_task(compare: Any, runner: asyncio.Runner) -> None:
    """A connection borrowed and given back by a task.

    One after the other, from a pool with one connection that is idle; ratios are to an asyncio queue's get and put.
    """
    compare(
        contenders(ASYNC, lambda make, turn: in_one_task(runner, make, turn), (AWITH, ATAKEN)),
        size="1 task",
        claims=claims(ASYNC, {AWITH: 1.9, ATAKEN: 1.2}),
    )


def test_tasks_that_wait_for_each_other(compare: Any, runner: asyncio.Runner) -> None:
    """A connection borrowed and given back by a hundred tasks that share ten.

    Each holds its own for one turn of the event loop; ratios are to an asyncio queue's get and put.
    """
    compare(
        contenders(ASYNC, lambda make, turn: in_a_hundred_tasks(runner, make, turn), (AWITH, ATAKEN), at_once=100),
        size="100 tasks on 10 connections",
        claims=claims(ASYNC, {AWITH: 1.6}),
    )
