"""Cancellation of an `AsyncPool`'s callers, at any await and any number of times: nothing is lent twice, nothing lost.

An operation is cancelled after no turn of the event loop, after one, after two, until it is over before it is
cancelled.
"""

import asyncio
import gc
import random
import sys
import threading
import warnings
from collections import Counter

import pytest

from perfkit import errors
from perfkit.pooling import AsyncPool

PATIENCE = 20  # seconds; nothing here takes them unless it hangs
SIZE = 5


class Conn:
    """A connection that only one may hold at a time."""

    def __init__(self):
        self.is_held = False
        self.is_dead = False

    def __enter__(self):
        assert not self.is_held, "two hold it"
        self.is_held = True
        return self

    def __exit__(self, *raised):
        self.is_held = False


class Server:
    """Makes connections and counts; each of its calls awaits so many turns of the loop."""

    def __init__(self, turns=1):
        self.turns = turns
        self.made = 0
        self.closed = 0

    async def connect(self):
        await self._wait()
        self.made += 1
        return Conn()

    async def close(self, conn):
        with conn:
            await self._wait()
        self.closed += 1

    async def validate(self, conn):
        with conn:
            await self._wait()
        return not conn.is_dead

    async def reset(self, conn):
        with conn:
            await self._wait()

    async def _wait(self):
        for _ in range(self.turns):
            await asyncio.sleep(0)

    def pool(self, *, validated=False, reset=False, **options):
        if validated:
            options |= {"validate": self.validate, "validate_after": 0.0}
        if reset:
            options["reset"] = self.reset
        return AsyncPool(self.connect, close=self.close, **({"max_size": SIZE, "timeout": PATIENCE} | options))


KINDS = {
    "plain": {},
    "validated": {"validated": True},
    "reset": {"reset": True},
    "both": {"validated": True, "reset": True, "max_uses": 3, "leak_after": 1000},
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture
def server():
    return Server()


def run(main, factory=None):
    """Run a coroutine in a loop of its own, in which nothing may go wrong unheard."""
    complaints = []

    async def supervised():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: complaints.append(context))
        loop.set_task_factory(factory)
        async with asyncio.timeout(3 * PATIENCE):
            return await main

    result = asyncio.run(supervised())
    gc.collect()
    assert complaints == []
    return result


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


def is_whole(pool):
    pool.stats()  # what is known to be lost is taken in then
    stats = pool.stats()
    return stats.size == stats.idle and not stats.waiting and not stats.connecting


async def assert_whole(pool, server):
    """All connections are idle or gone, as many as there may be can be lent, and closing closes every one."""
    gc.collect()
    await until(lambda: is_whole(pool))
    conns = [await pool.acquire() for _ in range(pool.stats().max_size)]
    assert len(set(map(id, conns))) == len(conns)
    for conn in conns:
        with conn:
            await asyncio.sleep(0)
        pool.release(conn)
    await until(lambda: is_whole(pool))
    assert pool.stats().created == server.made
    await pool.aclose()
    assert server.made == server.closed + pool.stats().closed["lost"]
    await until(lambda: not pool._tasks)


# -- what random users do


async def by_with(pool, dice):
    async with pool.connection() as conn:
        with conn:
            await linger(dice)


async def by_acquire(pool, dice):
    conn = await pool.acquire()
    try:
        with conn:
            await linger(dice)
    finally:
        pool.release(conn)


async def discarding(pool, dice):
    async with pool.connection() as conn:
        with conn:
            await linger(dice)
        conn.is_dead = True
        if dice.random() < 0.5:
            pool.discard(conn)


async def failing(pool, dice):
    try:
        async with pool.connection() as conn:
            with conn:
                await linger(dice)
                raise KeyError
    except KeyError:
        pass


async def impatient(pool, dice):
    try:
        conn = await pool.acquire(dice.choice([0, 0.0001, 0.001]))
    except errors.PoolTimeout:
        return
    pool.release(conn)


async def timed_out(pool, dice):
    try:
        async with asyncio.timeout(dice.random() * 0.002):
            await by_with(pool, dice)
    except TimeoutError:
        pass


async def draining(pool, dice):
    pool.drain()


async def resizing(pool, dice):
    pool.resize(max_size=dice.randint(3, SIZE))


async def linger(dice):
    for _ in range(dice.randrange(4)):
        await asyncio.sleep(0)


USERS = [by_with, by_acquire] * 6 + [failing, discarding, impatient, timed_out] * 2 + [draining, resizing]


async def cancelled_at_random(pool, cancels, dice):
    """Start users, some dozens at a time, and cancel some of them in some turn, until so many were cancelled."""
    running, cancelled = set(), 0
    while cancelled < cancels:
        while len(running) < 40:
            running.add(asyncio.create_task(dice.choice(USERS)(pool, dice)))
        await linger(dice)
        for task in dice.sample(sorted(running, key=id), 8):
            cancelled += task.cancel()
        done = {task for task in running if task.done()}
        running -= done
        for task in done:
            assert task.cancelled() or task.exception() is None, task
    await asyncio.wait(running)
    return cancelled


def test_ten_thousand_random_cancels_and_timeouts(server, kind):
    async def main():
        pool = server.pool(**kind)
        cancelled = await cancelled_at_random(pool, 10_000, random.Random(5))
        pool.resize(max_size=SIZE)
        await assert_whole(pool, server)
        return cancelled, pool.stats().closed["lost"]

    cancelled, lost = run(main())
    assert cancelled >= 10_000
    assert lost == 0


# -- at every turn of the loop


async def cancelled_after(turns, operation):
    """Cancel it after so many turns; tell whether it was over before that."""
    task = asyncio.ensure_future(operation)
    for _ in range(turns):
        await asyncio.sleep(0)
    over = task.done()
    task.cancel()
    await asyncio.wait([task])
    return over


async def take(pool):
    conn = await pool.acquire()
    pool.release(conn)


async def take_by_with(pool):
    async with pool.connection() as conn:
        with conn:
            await asyncio.sleep(0)


async def aclose(pool):
    await pool.aclose()


async def warm(pool):
    await pool.warm()


OPERATIONS = [take, take_by_with, warm, aclose]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("scene", ["none there", "one idle", "one dead", "one waits", "all lent"])
def test_cancelled_at_any_turn(kind, operation, scene):
    async def once(turns):
        server = Server(turns=2)
        pool = server.pool(**kind | {"max_size": 1, "min_size": 1})
        conn = None
        if scene != "none there":
            conn = await pool.acquire()
            conn.is_dead = scene == "one dead"
        others = [asyncio.create_task(take(pool))] if scene == "one waits" else []
        await asyncio.sleep(0)
        if scene == "all lent":
            asyncio.get_running_loop().call_soon(pool.release, conn)
        elif conn is not None:
            pool.release(conn)
        over = await cancelled_after(turns, operation(pool))
        served = [error is None for error in await asyncio.gather(*others, return_exceptions=True)]
        if pool._core.is_closed:
            await pool.aclose()
            assert server.made == server.closed
        else:
            assert all(served)
            await assert_whole(pool, server)
        return over

    async def main():
        turns = 0
        while not await once(turns):
            turns += 1
        return turns

    assert run(main()) >= 1


def test_cancelled_twice(kind):
    """The second comes while the first is being dealt with."""

    async def twice(first, second):
        server = Server()
        pool = server.pool(**kind | {"max_size": 1})
        conn = await pool.acquire()
        task = asyncio.create_task(take_by_with(pool))
        await asyncio.sleep(0)
        pool.release(conn)
        for turns in (first, second):
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        await assert_whole(pool, server)

    async def main():
        for first in range(5):
            for second in range(4):
                await twice(first, second)

    run(main())


def test_a_task_group_that_fails(server, kind):
    """Its other tasks are cancelled where they are: waiting, being given one, using one."""

    async def fail_after(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ZeroDivisionError

    async def group_that_fails(pool, turns):
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                group.create_task([take, take_by_with][number % 2](pool))
            group.create_task(fail_after(turns))
            group.create_task(asyncio.sleep(PATIENCE))

    async def main():
        pool = server.pool(**kind)
        for turns in range(25):
            with pytest.raises(ExceptionGroup) as caught:
                await group_that_fails(pool, turns)
            assert caught.group_contains(ZeroDivisionError)
        await assert_whole(pool, server)

    run(main())


def test_who_is_cancelled_while_it_waits_passes_its_turn_on(server):
    async def main():
        pool, order = server.pool(max_size=1), []
        conn = await pool.acquire()

        async def wait(number):
            async with pool.connection():
                order.append(number)

        tasks = [asyncio.create_task(wait(number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        pool.release(conn)
        tasks[0].cancel()  # it has been handed the connection in this very turn
        tasks[3].cancel()
        await asyncio.wait(tasks)
        assert order == [2, 4, 5]
        await assert_whole(pool, server)

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks(server, kind):
    """They run before they are tasks, as far as the first await; the pool's own too."""

    async def main():
        pool = server.pool(**kind)
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(take_by_with(pool))
        await cancelled_at_random(pool, 500, random.Random(6))
        pool.resize(max_size=SIZE)
        await assert_whole(pool, server)

    run(main(), asyncio.eager_task_factory)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks_and_functions_that_never_wait():
    """The pool's tasks are over before they are begun."""

    async def main():
        closed = Counter()
        pool = AsyncPool(
            Conn, close=lambda conn: closed.update(["closed"]), max_size=2, max_uses=2, reset=Conn.__repr__
        )
        for _ in range(20):
            async with asyncio.TaskGroup() as group:
                for _ in range(5):
                    group.create_task(take_by_with(pool))
        stats = pool.stats()
        assert stats.acquired == 100
        assert stats.created - stats.size == closed["closed"]
        await pool.aclose()
        assert closed["closed"] == stats.created

    run(main(), asyncio.eager_task_factory)


def test_a_task_factory_that_takes_no_context(server, kind):
    """As factories did before 3.11."""

    def factory(loop, coroutine):
        return asyncio.Task(coroutine, loop=loop)

    async def main():
        pool = server.pool(**kind)
        await take_by_with(pool)
        await assert_whole(pool, server)

    run(main(), factory)


# -- loops


def test_a_loop_that_ends_while_connections_are_made():
    """None of the attempts that are cancelled has another begun."""
    begun = []

    async def connect():
        begun.append(None)
        await asyncio.sleep(PATIENCE)

    async def main():
        pool = AsyncPool(connect, min_size=2, max_size=4)
        tasks = [asyncio.create_task(take(pool)) for _ in range(2)]
        await until(lambda: len(begun) == 2)
        return pool, tasks

    _, tasks = run(main())
    assert all(task.cancelled() for task in tasks)
    assert len(begun) == 2


def test_an_attempt_that_somebody_cancels_is_made_again_where_the_loop_goes_on():
    begun = []

    async def connect():
        begun.append(asyncio.current_task())
        if len(begun) == 1:
            await asyncio.sleep(PATIENCE)
        return Conn()

    async def main():
        async with AsyncPool(connect, backoff=(0.01, 0.01)) as pool:
            waiting = asyncio.create_task(take(pool))
            await until(lambda: begun)
            begun[0].cancel()
            await waiting
            assert pool.stats().connecting == 0

    run(main())
    assert len(begun) == 2


async def cancelling_itself():
    """Connect by what another has cancelled, as a shared future may be."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


def test_a_connect_that_raises_a_cancellation_of_its_own_has_failed():
    begun = []

    async def connect():
        begun.append(None)
        await cancelling_itself()

    async def main():
        async with AsyncPool(connect, backoff=(60, 60)) as pool:
            with pytest.raises(RuntimeError, match=r"connect\(\) raised CancelledError") as caught:
                await pool.acquire(0.05)
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)

    run(main())
    assert len(begun) == 1


def test_after_a_cancellation_of_its_own_the_next_factory_is_tried(server):
    async def main():
        async with AsyncPool([cancelling_itself, server.connect]) as pool:
            pool.release(await pool.acquire())
            assert pool.stats().errors == 0

    run(main())
    assert server.made == 1


def test_a_loop_that_ends_in_the_middle(server):
    """`asyncio.run` cancels all tasks, the pool's own too; nothing hangs, and nobody complains."""

    async def main():
        pool = server.pool(max_size=2)
        conn = await pool.acquire()
        tasks = [asyncio.create_task(take_by_with(pool)) for _ in range(5)]
        await asyncio.sleep(0)
        return pool, conn, tasks

    pool, conn, tasks = run(main())
    assert all(task.cancelled() for task in tasks)
    pool.release(conn)
    assert pool.stats().waiting == 0
    with pytest.raises(errors.PoolLoopError, match="belongs to the event loop it was first used in"):
        run(take(pool))
    run(pool.aclose())


def test_a_pool_whose_loop_is_closed_is_closed_elsewhere(server):
    loop = asyncio.new_event_loop()
    pool = server.pool(max_size=2)
    lent = loop.run_until_complete(pool.acquire())
    loop.run_until_complete(take(pool))
    loop.close()
    run(pool.aclose())
    run(pool.aclose())
    pool.release(lent)
    figures = pool.stats()
    assert (figures.size, figures.idle, figures.closed["closed"]) == (0, 0, 2)
    with pytest.raises(errors.PoolClosed):
        run(enter(pool))


async def enter(pool):
    async with pool:
        pass


def test_a_loop_that_is_closed_under_waiting_tasks(server):
    loop = asyncio.new_event_loop()
    pool = server.pool(max_size=1)
    conn = loop.run_until_complete(pool.acquire())
    task = loop.create_task(take(pool))
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    pool.release(conn)
    pool.drain()
    assert pool.stats().size == 0


CALLS = {
    "acquire": lambda pool: pool.acquire(),
    "connection": take_by_with,
    "warm": lambda pool: pool.warm(),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("is_closed", [True, False], ids=["the first is closed", "the first is open"])
def test_another_loop(server, name, is_closed):
    """Whether something is idle or not."""
    first = asyncio.new_event_loop()
    pool = server.pool()
    first.run_until_complete(take(pool))
    if is_closed:
        first.close()
    with pytest.raises(errors.PoolLoopError):
        run(CALLS[name](pool))
    assert pool.stats().idle == 1
    if is_closed:
        dropped = [pool]
        dropped.append(dropped)  # what only the collector ends
        del pool, dropped
        with pytest.warns(ResourceWarning, match="was dropped"):
            gc.collect()
        return
    first.run_until_complete(assert_whole(pool, server))
    first.close()


def test_another_loop_in_another_thread(server):
    outcome = []

    def other():
        try:
            run(take(pool))
        except errors.PoolLoopError as error:
            outcome.append(error)

    async def main():
        await take(pool)
        thread = threading.Thread(target=other)
        thread.start()
        await until(lambda: not thread.is_alive())
        assert outcome
        assert outcome[0].pool == pool.name
        await assert_whole(pool, server)

    pool = server.pool()
    run(main())


# -- the collector


@pytest.mark.parametrize("kind_of_user", ["generator", "lease"])
def test_what_the_collector_ends(server, kind, kind_of_user):
    """An async generator that is never finished, and a lease that is dropped."""

    async def borrowed(pool):
        async with pool.connection() as conn:
            yield conn

    async def main():
        pool = server.pool(**kind | {"max_size": 1})
        if kind_of_user == "generator":
            user = borrowed(pool)
            await anext(user)
        else:
            user = pool.connection()
            await user.__aenter__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del user
            gc.collect()
            await take(pool)
            await assert_whole(pool, server)

    run(main())


class Holder:
    """Gives back what is held for it when the collector comes by: it is part of a cycle, the connection is not."""

    def __init__(self, pool, held, conn):
        self.me = self
        self._pool, self._held = pool, held
        held.append(conn)

    def __del__(self):
        self._pool.release(self._held.pop())


def test_finalisers_that_release_at_any_moment(server, kind):
    """The collector runs at every few allocations, so also in the midst of what the pool decides."""

    held = []

    async def hold(pool):
        Holder(pool, held, await pool.acquire())
        await asyncio.sleep(0)

    async def main():
        pool = server.pool(**kind)
        for _ in range(60):
            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task([hold, take_by_with][number % 2](pool))
        await assert_whole(pool, server)
        return pool.stats().closed["lost"]

    before = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        assert run(main()) == 0
    finally:
        gc.set_threshold(*before)
