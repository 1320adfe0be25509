"""What `Pool` and `AsyncPool` both keep: one suite, run over threads and over tasks."""

import asyncio
import contextlib
import copy
import functools
import gc
import inspect
import logging
import math
import pickle
import re
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
import types
import warnings
import weakref

import pytest
import wrapt

from perfkit import errors
from perfkit.pooling import AsyncPool, Pool
from perfkit.testing import FakeClock

PATIENCE = 20  # seconds; nothing takes them unless it hangs


class Conn:
    """A connection that remembers what was done with it."""

    def __init__(self, number):
        self.number = number
        self.closed = threading.Event()
        self.resets = 0
        self.is_dead = False

    def __repr__(self):
        return f"<conn {self.number}>"


class Server:
    """Makes connections; may be told to fail or to hang."""

    def __init__(self):
        self.made = []
        self.attempts = []
        self.error = None
        self.gate = threading.Event()
        self.gate.set()

    def connect(self):
        self.attempts.append(time.monotonic())
        assert self.gate.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        self.made.append(Conn(len(self.made)))
        return self.made[-1]

    def validate(self, conn):
        return not conn.is_dead

    def reset(self, conn):
        if conn.is_dead:
            raise ConnectionError("dead")
        conn.resets += 1

    def close(self, conn):
        conn.closed.set()


class Threads:
    """Drives a `Pool`."""

    name = "threads"

    def __init__(self, server):
        self.server = server
        self.pools = []

    def pool(self, connect=None, **options):
        self.pools.append(Pool(connect or self.server.connect, **({"close": self.server.close} | options)))
        return self.pools[-1]

    def asked(self, name):
        return getattr(self.server, name)

    def run(self, call, *args, **kwargs):
        return call(*args, **kwargs)

    def acquire(self, pool, timeout=None):
        return pool.acquire(timeout)

    def use(self, pool, body=lambda conn: None, timeout=None):
        with pool.connection(timeout) as conn:
            return body(conn)

    def start(self, function):
        """Call something at the same time; the result is waited for by calling what this returns."""
        outcome = []

        def run():
            try:
                outcome.append((function(), None))
            except BaseException as error:
                outcome.append((None, error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()

        def result():
            thread.join(PATIENCE)
            assert outcome, "it hangs"
            value, error = outcome[0]
            if error is not None:
                raise error
            return value

        return result

    def start_acquire(self, pool, timeout=None):
        return self.start(lambda: pool.acquire(timeout))

    def until(self, condition):
        until = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < until, "it never came true"
            time.sleep(0.002)

    def warm(self, pool, timeout=None):
        return pool.warm(timeout)

    def enter(self, pool):
        with pool:
            pass

    def close(self, pool, timeout=5.0):
        return pool.close(timeout)

    def end(self):
        for pool in self.pools:
            pool.close(0)


class Tasks:
    """Drives an `AsyncPool` in a loop of its own, step by step."""

    name = "tasks"

    def __init__(self, server):
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.pools = []

    def pool(self, connect=None, **options):
        if connect is None:
            connect = self._coroutine(self.server.connect)
        elif isinstance(connect, list):
            connect = [self._coroutine(one) for one in connect]
        else:
            connect = self._coroutine(connect)
        self.pools.append(AsyncPool(connect, **({"close": self.server.close} | options)))
        return self.pools[-1]

    def _coroutine(self, function):
        gate = getattr(function, "gate", self.server.gate)

        async def call(*args):
            await asyncio.sleep(0)
            while not gate.is_set():
                await asyncio.sleep(0.001)
            return function(*args)

        return call

    def asked(self, name):
        return self._coroutine(getattr(self.server, name))

    def run(self, call, *args, **kwargs):
        async def main():
            result = call(*args, **kwargs)
            await asyncio.sleep(0)
            return result

        return self._step(main())

    def _step(self, coroutine):
        async def patiently():
            async with asyncio.timeout(PATIENCE):
                return await coroutine

        return self.loop.run_until_complete(patiently())

    def acquire(self, pool, timeout=None):
        return self._step(pool.acquire(timeout))

    def use(self, pool, body=lambda conn: None, timeout=None):
        async def use():
            async with pool.connection(timeout) as conn:
                return body(conn)

        return self._step(use())

    def start_acquire(self, pool, timeout=None):
        task = self.loop.create_task(pool.acquire(timeout))
        self._step(asyncio.sleep(0))

        async def wait():
            return await task

        return lambda: self._step(wait())

    def until(self, condition):
        async def wait():
            while not condition():
                await asyncio.sleep(0.002)

        self._step(wait())

    def warm(self, pool, timeout=None):
        return self._step(pool.warm(timeout))

    def enter(self, pool):
        async def enter():
            async with pool:
                pass

        return self._step(enter())

    def close(self, pool, timeout=5.0):
        return self._step(pool.aclose(timeout))

    def end(self):
        for pool in self.pools:
            self._step(pool.aclose(0))
        self._step(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture
def server():
    return Server()


@pytest.fixture(params=[Threads, Tasks], ids=lambda driver: driver.name)
def driver(request, server):
    driver = request.param(server)
    yield driver
    server.gate.set()
    driver.end()


# -- lending


def test_one_connection_serves_again_and_again(driver, server):
    pool = driver.pool()
    seen = {driver.use(pool, lambda conn: conn) for _ in range(10)}
    assert list(seen) == server.made
    stats = pool.stats()
    assert (stats.size, stats.idle, stats.in_use, stats.created, stats.acquired, stats.peak) == (1, 1, 0, 1, 10, 1)
    assert stats.wait.count == 10


def test_it_grows_to_max_size_and_then_waits(driver, server):
    pool = driver.pool(max_size=3)
    conns = [driver.acquire(pool) for _ in range(3)]
    assert conns == server.made
    with pytest.raises(errors.PoolTimeout, match="in use: 3 of at most 3") as caught:
        driver.acquire(pool, 0.02)
    assert (caught.value.pool, caught.value.timeout) == (pool.name, 0.02)
    assert isinstance(caught.value, TimeoutError)
    waiting = driver.start_acquire(pool)
    driver.until(lambda: pool.stats().waiting == 1)
    driver.run(pool.release, conns[1])
    assert waiting() is conns[1]
    stats = pool.stats()
    assert (stats.timeouts, stats.peak, stats.in_use) == (1, 3, 3)


def test_the_last_used_is_lent_next(driver):
    pool = driver.pool(max_size=3)
    conns = [driver.acquire(pool) for _ in range(3)]
    for conn in (conns[2], conns[0], conns[1]):
        driver.run(pool.release, conn)
    assert [driver.acquire(pool) for _ in range(3)] == [conns[1], conns[0], conns[2]]


def test_who_waits_the_longest_is_served_first(driver):
    pool = driver.pool(max_size=1)
    conn = driver.acquire(pool)
    waiters = []
    for number in range(5):
        waiters.append(driver.start_acquire(pool))
        driver.until(lambda number=number: pool.stats().waiting == number + 1)
    time.sleep(0.001)  # past what threads may overtake in
    for number, waiter in enumerate(waiters):
        driver.run(pool.release, conn)
        assert waiter() is conn
        assert pool.stats().waiting == 4 - number
    driver.run(pool.release, conn)


def test_timeout_zero_takes_what_is_idle_or_nothing(driver):
    pool = driver.pool(max_size=1)
    with pytest.raises(errors.PoolTimeout):
        driver.acquire(pool, 0)
    driver.until(lambda: pool.stats().idle == 1)  # what it had made serves the next
    conn = driver.acquire(pool, 0)
    with pytest.raises(errors.PoolTimeout):
        driver.acquire(pool, 0)
    driver.run(pool.release, conn)


@pytest.mark.parametrize("timeout", [-1, math.nan, "1", True])
def test_a_bad_timeout(driver, timeout):
    pool = driver.pool(max_size=1)
    driver.use(pool)
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        driver.use(pool, timeout=timeout)
    driver.acquire(pool)
    with pytest.raises((TypeError, ValueError), match="timeout must be"):
        driver.acquire(pool, timeout)
    assert pool.stats().waiting == 0


def test_no_more_may_wait_than_max_waiting(driver):
    pool = driver.pool(max_size=1, max_waiting=1)
    conn = driver.acquire(pool)
    waiting = driver.start_acquire(pool)
    driver.until(lambda: pool.stats().waiting == 1)
    with pytest.raises(errors.PoolFull, match="max_waiting=1"):
        driver.acquire(pool)
    assert pool.stats().turned_away == 1
    driver.run(pool.release, conn)
    assert waiting() is conn


def test_max_waiting_zero_still_connects(driver):
    pool = driver.pool(max_size=2, max_waiting=0)
    driver.acquire(pool)
    driver.acquire(pool)
    with pytest.raises(errors.PoolFull):
        driver.acquire(pool)


# -- giving back


def test_released_twice_foreign_or_lent_by_with(driver):
    pool = driver.pool()
    conn = driver.acquire(pool)
    driver.run(pool.release, conn)
    with pytest.raises(errors.NotLent, match="released already"):
        driver.run(pool.release, conn)
    with pytest.raises(errors.NotLent, match="isn't lent by"):
        driver.run(pool.release, object())
    with pytest.raises(errors.NotLent):
        driver.run(pool.discard, conn)

    def release(conn):
        with pytest.raises(errors.NotLent, match="by itself"):
            pool.release(conn)

    driver.use(pool, release)
    assert pool.stats().idle == 1


def test_discarded(driver, server):
    pool = driver.pool()
    conn = driver.acquire(pool)
    driver.run(pool.discard, conn)
    driver.until(conn.closed.is_set)
    other = driver.use(pool, lambda conn: pool.discard(conn) or conn)
    driver.until(other.closed.is_set)
    assert driver.use(pool, lambda conn: conn.number) == 2
    assert pool.stats().closed["discarded"] == 2


def fail(conn):
    raise KeyError("mine")


@pytest.mark.parametrize("hook", ["validate", "reset"])
def test_an_exception_goes_through_and_what_a_hook_finds_sound_serves_on(driver, hook):
    pool = driver.pool(**{hook: driver.asked(hook)})
    with pytest.raises(KeyError, match="mine"):
        driver.use(pool, fail)
    assert driver.use(pool, lambda conn: conn.number) == 0


def test_after_an_exception_it_is_closed_where_nothing_tells_whether_it_works(driver, server):
    pool = driver.pool()
    with pytest.raises(KeyError, match="mine"):
        driver.use(pool, fail)
    driver.until(server.made[0].closed.is_set)
    assert driver.use(pool, lambda conn: conn.number) == 1
    assert pool.stats().closed["discarded"] == 1


def test_without_hooks_a_restart_costs_one_error_a_connection(driver, server):
    pool = driver.pool(max_size=2)
    first = [driver.acquire(pool), driver.acquire(pool)]
    for conn in first:
        driver.run(pool.release, conn)
    for conn in server.made:
        conn.is_dead = True

    def ask(conn):
        if conn.is_dead:
            raise BrokenPipeError
        return conn.number

    outcomes = []
    for _ in range(6):
        try:
            outcomes.append(driver.use(pool, ask))
        except BrokenPipeError:
            outcomes.append("broken")
    assert outcomes == ["broken", "broken", 2, 2, 2, 2]


def test_what_release_takes_back_is_taken_for_one_that_works(driver):
    pool = driver.pool()
    conn = driver.acquire(pool)
    driver.run(pool.release, conn)
    assert driver.acquire(pool) is conn
    driver.run(pool.discard, conn)
    assert driver.use(pool, lambda conn: conn.number) == 1


def test_after_an_exception_it_is_reset_and_validated(driver, server):
    pool = driver.pool(reset=driver.asked("reset"), validate=driver.asked("validate"), validate_after=1000)
    with pytest.raises(KeyError, match="mine"):
        driver.use(pool, fail)
    driver.until(lambda: pool.stats().idle == 1)
    assert server.made[0].resets == 1
    server.made[0].is_dead = True
    server.reset = lambda conn: None
    assert driver.use(pool, lambda conn: conn.number) == 1


def test_after_an_exception_it_is_validated(driver, server):
    pool = driver.pool(validate=driver.asked("validate"), validate_after=1000)

    def die(conn):
        conn.is_dead = True
        raise ConnectionError

    with pytest.raises(ConnectionError):
        driver.use(pool, die)
    assert driver.use(pool, lambda conn: conn.number) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_what_is_no_exception_closes_it(driver, server, error):
    if driver.name == "tasks" and error is KeyboardInterrupt:
        error = SystemExit

    def stop(conn):
        raise error

    pool = driver.pool()
    with pytest.raises(error):
        driver.use(pool, stop)
    driver.until(server.made[0].closed.is_set)
    assert driver.use(pool, lambda conn: conn.number) == 1


def test_reset_before_it_is_lent_again(driver, server):
    pool = driver.pool(max_size=1, reset=driver.asked("reset"))
    for number in range(3):
        assert driver.use(pool, lambda conn: conn.resets) == number
    conn = driver.acquire(pool)
    waiting = driver.start_acquire(pool)
    driver.run(pool.release, conn)
    assert waiting().resets == 4
    driver.run(pool.release, conn)


def test_a_reset_that_fails_closes_it(driver, server, caplog):
    pool = driver.pool(reset=driver.asked("reset"))
    with caplog.at_level(logging.WARNING, "perfkit.pooling"):
        conn = driver.use(pool, lambda conn: setattr(conn, "is_dead", True) or conn)
        driver.until(conn.closed.is_set)
    assert "reset() failed" in caplog.text
    assert driver.use(pool, lambda conn: conn.number) == 1


# -- recycling


def test_uses(driver, server):
    pool = driver.pool(max_uses=3)
    assert [driver.use(pool, lambda conn: conn.number) for _ in range(7)] == [0, 0, 0, 1, 1, 1, 2]
    driver.until(server.made[1].closed.is_set)
    assert pool.stats().closed["uses"] == 2


def test_age(driver, server):
    clock = FakeClock()
    pool = driver.pool(max_size=2, max_lifetime=100, lifetime_jitter=0.5, timer=clock)
    first, second = driver.acquire(pool), driver.acquire(pool)
    driver.run(pool.release, first)
    clock.advance(49)
    driver.run(pool._keep_up)
    assert pool.stats().size == 2
    clock.advance(52)
    driver.run(pool._keep_up)
    driver.until(first.closed.is_set)
    driver.run(pool.release, second)
    driver.until(second.closed.is_set)
    assert pool.stats().closed["lifetime"] == 2
    assert 100 <= pool.stats().lifetime.max <= 103


def test_jitter_is_drawn_for_each_connection(driver):
    pool = driver.pool(max_size=50, max_lifetime=100, lifetime_jitter=0.2, timer=FakeClock())
    for _ in range(50):
        driver.acquire(pool)
    ends = {entry.expires_at for entry in pool._core.entries}
    assert len(ends) == 50
    assert all(80 <= end <= 100 for end in ends)
    assert max(ends) - min(ends) > 10


def test_what_is_idle_for_long_goes_down_to_min_size(driver, server):
    clock = FakeClock()
    pool = driver.pool(max_size=5, min_size=2, max_idle=10, timer=clock)
    conns = [driver.acquire(pool) for _ in range(5)]
    for conn in conns:
        driver.run(pool.release, conn)
    driver.run(pool._keep_up)
    clock.advance(9)
    driver.run(pool._keep_up)
    assert pool.stats().size == 5
    driver.use(pool)
    clock.advance(2)
    driver.run(pool._keep_up)
    driver.until(lambda: sum(conn.closed.is_set() for conn in conns) == 3)
    assert not conns[4].closed.is_set(), "the one last used stays"
    assert (pool.stats().size, pool.stats().closed["idle"]) == (2, 3)


def test_idle_ones_go_by_themselves(driver):
    pool = driver.pool(max_size=3, max_idle=0.05)
    conns = [driver.acquire(pool) for _ in range(3)]
    for conn in conns:
        driver.run(pool.release, conn)
    driver.until(lambda: pool.stats().size == 0)
    driver.until(lambda: all(conn.closed.is_set() for conn in conns))


def test_a_dead_one_is_replaced_unnoticed(driver, server):
    clock = FakeClock()
    pool = driver.pool(validate=driver.asked("validate"), validate_after=5, timer=clock)
    conn = driver.use(pool, lambda conn: conn)
    conn.is_dead = True
    assert driver.use(pool, lambda conn: conn.number) == 0, "used a moment ago: not validated"
    clock.advance(5)
    assert driver.use(pool, lambda conn: conn.number) == 1
    driver.until(conn.closed.is_set)
    assert pool.stats().closed["dead"] == 1


def test_a_validation_that_raises_says_dead_and_one_that_returns_nothing_says_alive(driver):
    clock = FakeClock()
    answers = [None, True, OSError("gone")]

    def validate(conn):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    pool = driver.pool(validate=driver._coroutine(validate) if driver.name == "tasks" else validate, timer=clock)
    numbers = []
    for _ in range(4):
        numbers.append(driver.use(pool, lambda conn: conn.number))
        clock.advance(1)
    assert numbers == [0, 0, 0, 1]


@pytest.mark.parametrize(("answer", "is_alive"), [(0, False), ("", False), (False, False), (1, True), ("pong", True)])
def test_what_validate_may_answer(driver, answer, is_alive):
    clock = FakeClock()

    def validate(conn):
        return answer

    pool = driver.pool(validate=driver._coroutine(validate) if driver.name == "tasks" else validate, timer=clock)
    driver.use(pool)
    clock.advance(1)
    assert driver.use(pool, lambda conn: conn.number) == (0 if is_alive else 1)


def test_a_validation_that_never_says_yes_makes_no_storm(driver, server):
    def validate(conn):
        return False

    pool = driver.pool(
        validate=driver._coroutine(validate) if driver.name == "tasks" else validate, validate_after=0, timeout=5
    )
    for number in range(3):
        assert driver.use(pool, lambda conn: conn.number) == number
    assert len(server.attempts) == 3


def test_connect_returns_what_it_has_returned_before(driver, caplog):
    conn = Conn(0)
    pool = driver.pool(connect=lambda: conn, max_size=2)
    assert driver.acquire(pool) is conn
    with caplog.at_level(logging.WARNING, "perfkit.pooling"):
        for _ in range(2):
            with pytest.raises(TypeError, match="has to make a new one"):
                driver.acquire(pool, PATIENCE)
    assert "has to make a new one" in caplog.text
    driver.run(pool.release, conn)
    assert driver.use(pool, lambda conn: conn) is conn


def test_it_is_not_copied(driver):
    pool = driver.pool()
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="make one in each process"):
            duplicate(pool)


def test_a_standby_that_stays_lent_is_replaced_once(driver, server):
    up = [False]

    def first():
        if not up[0]:
            raise ConnectionRefusedError("first is down")
        return server.connect()

    pool = driver.pool(connect=[first, server.connect], max_size=1)
    standby = driver.acquire(pool)
    up[0] = True
    driver.run(pool._keep_up)
    driver.until(lambda: len(server.made) == 2 and not pool.stats().connecting)
    for _ in range(5):
        driver.run(pool._keep_up)
    driver.until(lambda: not pool.stats().connecting)
    assert len(server.made) == 2
    driver.run(pool.release, standby)
    assert driver.use(pool, lambda conn: conn.number) == 2


def test_many_dead_ones_cost_one_validation(driver, server):
    """The others that have been idle as long are looked at apart from the caller."""
    clock = FakeClock()
    asked = []

    def validate(conn):
        asked.append(conn)
        return not conn.is_dead

    pool = driver.pool(
        max_size=6, validate=driver._coroutine(validate) if driver.name == "tasks" else validate, timer=clock
    )
    conns = [driver.acquire(pool) for _ in range(6)]
    for conn in conns:
        conn.is_dead = conn is not conns[0]
        driver.run(pool.release, conn)
    clock.advance(1)
    assert driver.use(pool, lambda conn: conn) not in conns[1:]
    driver.until(lambda: all(conn.closed.is_set() for conn in conns[1:]))
    driver.until(lambda: len(asked) == 6)
    assert not conns[0].closed.is_set()


def test_drain_replaces_each_as_it_comes_back(driver, server):
    pool = driver.pool(max_size=3)
    idle, lent, by_with = (driver.acquire(pool) for _ in range(3))
    driver.run(pool.release, idle)
    driver.run(pool.drain)
    driver.until(idle.closed.is_set)
    assert not lent.closed.is_set()
    driver.run(pool.release, lent)
    driver.until(lent.closed.is_set)
    assert driver.use(pool, lambda conn: conn.number) == 3
    driver.run(pool.release, by_with)
    driver.until(by_with.closed.is_set)
    assert pool.stats().closed["drained"] == 3


def test_what_was_being_made_when_it_was_drained_is_old(driver, server):
    pool = driver.pool(max_size=1)
    server.gate.clear()
    waiting = driver.start_acquire(pool)
    driver.until(lambda: pool.stats().connecting == 1)
    driver.run(pool.drain)
    server.gate.set()
    assert waiting() is server.made[1]
    driver.until(server.made[0].closed.is_set)


def test_resize(driver, server):
    pool = driver.pool(max_size=4)
    conns = [driver.acquire(pool) for _ in range(4)]
    driver.run(pool.release, conns[0])
    driver.run(lambda: pool.resize(max_size=2))
    driver.until(conns[0].closed.is_set)
    for conn in conns[1:]:
        driver.run(pool.release, conn)
    driver.until(lambda: sum(conn.closed.is_set() for conn in conns) == 2)
    assert pool.stats().size == 2
    driver.run(lambda: pool.resize(min_size=5, max_size=5))
    driver.until(lambda: pool.stats().size == 5)
    with pytest.raises(ValueError, match="min_size must be at most max_size"):
        driver.run(lambda: pool.resize(max_size=4))
    assert pool.stats().max_size == 5


def test_warm_makes_one_where_none_is_to_be_kept(driver, server):
    pool = driver.pool(reset=driver.asked("reset"), max_uses=1, max_waiting=0, backoff=(0.005, 0.005))
    driver.warm(pool)
    driver.warm(pool)
    assert (len(server.made), pool.stats().idle, pool.stats().acquired) == (1, 1, 0)
    driver.close(pool)
    with pytest.raises(errors.PoolClosed):
        driver.warm(pool)


def test_warm_tells_why_there_is_none(driver, server):
    server.error = ConnectionRefusedError("nobody there")
    pool = driver.pool(backoff=(0.005, 0.005))
    with pytest.raises(ConnectionRefusedError, match="nobody there"):
        driver.warm(pool, 0.05)


def test_warm_and_min_size_is_kept(driver, server):
    pool = driver.pool(min_size=3)
    assert server.made == []
    driver.warm(pool)
    assert (len(server.made), pool.stats().idle) == (3, 3)
    driver.run(pool.discard, driver.acquire(pool))
    driver.until(lambda: pool.stats().idle == 3)
    driver.warm(pool)


# -- what fails


def test_the_error_of_connect_when_the_time_is_up(driver, server):
    server.error = ConnectionRefusedError("nobody there")
    pool = driver.pool(backoff=(0.005, 0.02))
    with pytest.raises(ConnectionRefusedError, match="nobody there") as caught:
        driver.acquire(pool, 0.2)
    failures = re.search(r"could not connect within 0.2 s, in (\d+) attempts", caught.value.__notes__[0])
    assert 3 <= int(failures[1]) <= pool.stats().errors
    assert caught.value is not server.error
    assert 3 <= len(server.attempts) <= 60
    assert pool.stats().errors == len(server.attempts) - pool.stats().connecting
    server.error = None
    assert driver.use(pool, lambda conn: conn.number) == 0


class NotRegistered(KeyError):
    """A library's own, which may be over in a moment."""


FAULTS = [TypeError("an unexpected argument"), AttributeError("conect"), KeyError("host"), IndexError(3), SyntaxError()]
MAY_PASS = [ConnectionRefusedError(), ValueError("no JSON"), NotRegistered("orders"), FileNotFoundError(), EOFError()]


@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_a_fault_of_the_program_is_told_at_once(driver, server, error):
    server.error = error
    pool = driver.pool(name="orders")
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            driver.acquire(pool, PATIENCE)
        assert caught.value.args == error.args
        why = f"{type(error).__name__} is taken for a mistake of the program, which no second try mends"
        assert caught.value.__notes__ == [f"'orders' could not connect, and does not try again at once: {why}"]
    assert pool.stats().timeouts == 0


@pytest.mark.parametrize("error", MAY_PASS, ids=repr)
def test_what_a_server_may_cause_is_tried_again(driver, server, error):
    server.error = error
    pool = driver.pool(backoff=(0.005, 0.005))
    waiter = driver.start_acquire(pool, PATIENCE)
    driver.until(lambda: len(server.attempts) >= 2)
    server.error = None
    assert waiter().number == 0


def test_what_calls_itself_permanent_is_told_at_once(driver, server):
    server.error = PermissionError("the password is wrong")
    server.error.permanent = True
    pool = driver.pool(name="orders")
    with pytest.raises(PermissionError) as caught:
        driver.acquire(pool, PATIENCE)
    assert caught.value.__notes__[0].endswith("the error says of itself that it is permanent")


@pytest.mark.parametrize("error", [KeyError("host"), ConnectionRefusedError()], ids=repr)
def test_callers_see_where_connect_failed_and_nothing_else(driver, server, error):
    server.error = error
    pool = driver.pool(name="orders", backoff=(0.005, 0.005))
    lengths = set()
    for _ in range(4):
        with pytest.raises(type(error)) as caught:
            driver.acquire(pool, 0.1)
        shown = traceback.extract_tb(caught.value.__traceback__)
        assert (shown[-1].name, shown[-1].line) == ("connect", "raise self.error")
        assert caught.value.__context__ is None
        assert len(caught.value.__notes__) == 1
        lengths.add(len(shown))
    assert len(lengths) <= 2  # told by the one who waits, or by the line
    assert len(traceback.extract_tb(error.__traceback__)) <= 10


def test_of_several_who_wait_each_has_an_error_of_his_own(driver, server):
    server.gate.clear()
    server.error = KeyError("host")
    pool = driver.pool(name="orders", max_size=1)
    waiters = [driver.start_acquire(pool, PATIENCE) for _ in range(4)]
    driver.until(lambda: pool.stats().waiting == 4)
    server.gate.set()
    told = []
    for waiter in waiters:
        with pytest.raises(KeyError) as caught:
            waiter()
        told.append(caught.value)
    assert len(set(map(id, told))) == 4
    assert {len(error.__notes__) for error in told} == {1}


def test_what_the_error_came_by_is_not_kept_alive(driver, server):
    class Socket:
        """What connect() was at work on."""

    seen = []

    def connect():
        half_open = Socket()
        seen.append(weakref.ref(half_open))
        raise ConnectionRefusedError("nobody there")

    pool = driver.pool(connect, backoff=(0.005, 0.005))
    with pytest.raises(ConnectionRefusedError):
        driver.acquire(pool, 0.05)
    gc.collect()
    assert [reference() for reference in seen[:-1]] == [None] * (len(seen) - 1)


def test_warm_tells_at_once_what_no_waiting_mends(driver, server):
    server.error = KeyError("host")
    pool = driver.pool(name="orders", min_size=1)
    with pytest.raises(KeyError) as caught:
        driver.warm(pool, PATIENCE)
    assert ["does not try again at once" in note for note in caught.value.__notes__] == [True]


def test_warm_waits_for_the_attempt_after_what_was_mended(driver, server):
    clock = FakeClock()
    pool = driver.pool(min_size=1, timer=clock)
    server.error = TypeError("wrong password")
    with pytest.raises(TypeError):
        driver.warm(pool)
    server.error = None
    server.gate.clear()
    clock.advance(60)
    threading.Timer(0.1, server.gate.set).start()
    driver.warm(pool)
    assert pool.stats().size == 1


def test_a_timeout_says_how_to_find_who_has_them(driver):
    pool = driver.pool(max_size=1)
    watched = driver.pool(max_size=1, leak_after=3600)
    for one, hint in [(pool, True), (watched, False)]:
        conn = driver.acquire(one)
        with pytest.raises(errors.PoolTimeout) as caught:
            driver.acquire(one, 0)
        assert ("leak_after=60" in str(caught.value)) is hint
        assert "event loop" not in str(caught.value)
        driver.run(one.release, conn)


def test_a_pool_that_stops_an_event_loop_says_so():
    with Pool(object, max_size=1) as pool, pool.connection():

        async def ask():
            with pool.connection(timeout=0):
                raise AssertionError("there is none")

        with pytest.raises(errors.PoolTimeout, match=r"an event loop runs in this thread.*AsyncPool"):
            asyncio.run(ask())


def test_connect_returns_none(driver):
    pool = driver.pool(connect=lambda: None)
    with pytest.raises(TypeError, match=r"connect\(\) returned None"):
        driver.acquire(pool)


def test_one_attempt_at_a_time_after_a_failure(driver, server):
    server.error = ConnectionRefusedError()
    pool = driver.pool(max_size=20, backoff=(0.01, 0.02))
    with pytest.raises(ConnectionRefusedError):
        driver.acquire(pool, 0.05)
    before = len(server.attempts)
    waiters = [driver.start_acquire(pool) for _ in range(20)]
    driver.until(lambda: len(server.attempts) >= before + 5)
    assert pool.stats().connecting <= 1
    server.error = None
    assert len({waiter().number for waiter in waiters}) == 20


def test_a_connect_that_hangs_holds_nobody_longer_than_the_timeout(driver, server):
    server.gate.clear()
    pool = driver.pool(max_size=1)
    with pytest.raises(errors.PoolTimeout, match="being made: 1"):
        driver.acquire(pool, 0.02)
    server.gate.set()
    assert driver.use(pool, lambda conn: conn.number) == 0


def test_failover_and_back(driver, server):
    up = [False]

    def first():
        if not up[0]:
            raise ConnectionRefusedError("first is down")
        return server.connect()

    def second():
        conn = server.connect()
        conn.is_second = True
        return conn

    pool = driver.pool(connect=[first, second], max_size=2)
    driver.use(pool)
    assert server.made[0].is_second
    up[0] = True
    driver.until(lambda: pool.stats().closed["failed over"] == 1)
    driver.until(server.made[0].closed.is_set)
    assert not hasattr(driver.use(pool, lambda conn: conn), "is_second")


def test_while_the_preferred_hangs_that_is_tried_the_others_make_what_is_wanted(driver, server):
    from perfkit import CircuitBreaker

    def first():
        assert first.gate.wait(PATIENCE)
        raise ConnectionRefusedError("first is down")

    first.gate = threading.Event()
    first.gate.set()
    breakers = [CircuitBreaker(consecutive=1, reset_timeout=0.01) for _ in range(2)]
    pool = driver.pool(connect=[first, server.connect], breaker=breakers, max_size=2)
    driver.acquire(pool)
    first.gate.clear()
    began = []

    def hangs():  # one that began before the gate was closed would be over at once
        if pool.stats().connecting != 1:
            began.clear()
            return False
        began.append(time.monotonic())
        return began[-1] - began[0] > 0.2

    driver.until(hangs)
    assert driver.acquire(pool, PATIENCE / 4) is server.made[1]
    assert (pool.stats().connecting, pool.stats().size) == (1, 2)
    first.gate.set()
    driver.until(lambda: pool.stats().connecting == 0)
    assert pool.stats().size == 2


def test_what_the_preferred_makes_beyond_max_size_is_closed(driver, server):
    up = [False]

    def first():
        if not up[0]:
            raise ConnectionRefusedError("first is down")
        return server.connect()

    pool = driver.pool(connect=[first, server.connect], max_size=1)
    conn = driver.acquire(pool)
    up[0] = True
    driver.until(lambda: len(server.made) > 1 and server.made[1].closed.is_set())
    assert (pool.stats().size, conn.closed.is_set()) == (1, False)
    driver.run(pool.release, conn)
    driver.until(conn.closed.is_set)
    assert driver.use(pool, lambda conn: conn) is server.made[-1]


def test_all_of_several_factories_fail(driver):
    def failing(name):
        def connect():
            raise ConnectionRefusedError(name)

        return connect

    pool = driver.pool(connect=[failing("one"), failing("two")], backoff=(0.01, 0.01))
    with pytest.raises(errors.BreakerOpen) as caught:
        driver.acquire(pool)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert str(caught.value.__cause__) == "two"
    assert any("one" in note for note in caught.value.__cause__.__notes__)


class Mute(Exception):
    """Can't say what it is."""

    def __str__(self):
        raise ValueError("no words for it")


def test_validate_raises_what_cannot_say_what_it_is(driver, server):
    def validate(conn):
        if conn.is_dead:
            raise Mute

    clock = FakeClock()
    pool = driver.pool(validate=validate, validate_after=0, timer=clock)
    driver.use(pool, lambda conn: setattr(conn, "is_dead", True))
    clock.advance(5)
    assert driver.use(pool) is None
    assert (len(server.made), pool.stats().closed["dead"]) == (2, 1)


def test_factories_raise_what_cannot_say_what_it_is(driver):
    def failing():
        raise Mute

    pool = driver.pool(connect=[failing, failing])
    with pytest.raises(Mute) as caught:
        driver.acquire(pool, 0.05)
    assert caught.value.__notes__[0] == "factory 0 before it: Mute"


def test_an_open_breaker_is_told_at_once(driver, server):
    from perfkit import CircuitBreaker

    breaker = CircuitBreaker()
    breaker.trip()
    pool = driver.pool(breaker=breaker)
    with pytest.raises(errors.BreakerOpen):
        driver.acquire(pool, PATIENCE)
    assert server.attempts == []
    breaker.reset()
    pool._core.retry_at = -math.inf
    assert driver.use(pool, lambda conn: conn.number) == 0


# -- leaks


def test_a_pool_that_is_dropped_with_connections_says_so(driver, eventually):
    driver.use(driver.pool(connect=object, name="orders"))

    def is_told():
        driver.pools.clear()
        gc.collect()
        return len(told) > 0  # unless the maintenance thread is looking at the pool just now

    with pytest.warns(ResourceWarning, match=r"Pool 'orders' size=1.* was dropped, .* call a?close\(\)") as told:
        eventually(is_told)


def test_one_that_has_none_or_is_closed_is_dropped_in_silence(driver):
    unused, closed = driver.pool(connect=object), driver.pool(connect=object)
    driver.pools.clear()
    driver.use(closed)
    driver.close(closed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del unused, closed
        gc.collect()


def test_at_the_end_of_the_interpreter_nothing_is_said():
    program = (
        "import perfkit, perfkit.registry as kept;"
        "pool = perfkit.Pool(object); pool.release(pool.acquire()); kept.pool = [pool]; kept.pool.append(kept.pool)"
    )
    command = [sys.executable, "-W", "always", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lease_is_not_the_connection(driver):
    lease = driver.pool(name="orders").connection()
    block = "async with" if driver.name == "tasks" else "with"
    with pytest.raises(
        AttributeError, match=rf"no attribute 'execute': .* write `{block} pool.connection\(\) as conn:`"
    ):
        lease.execute("SELECT 1")
    assert not hasattr(lease, "fetchall")
    assert repr(lease) == f"<{type(lease).__name__} of 'orders': not entered; not the connection>"


def test_a_lease_that_is_dropped(driver, server):
    """Not lent again, not closed under whoever may use it, and the place is free."""
    pool = driver.pool(max_size=1)
    kept = []

    def drop():
        if driver.name == "threads":
            kept.append(pool.connection().__enter__())
        else:
            kept.append(driver._step(pool.connection().__aenter__()))

    drop()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
        assert driver.use(pool, lambda conn: conn) is not kept[0]
        driver.until(lambda: any(warning.category is ResourceWarning for warning in caught))
    assert "never given back" in str(caught[0].message)
    assert pool.stats().closed["lost"] == 1
    assert not kept[0].closed.is_set()


def test_an_acquired_connection_that_is_dropped(driver):
    pool = driver.pool(max_size=1)
    driver.acquire(pool)
    driver.server.made[0] = None  # which held it too
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
        assert driver.use(pool, lambda conn: conn.number) == 1
        driver.until(lambda: caught)
    assert pool.stats().closed["lost"] == 1


def test_somebody_waits_while_one_is_dropped(driver, server):
    pool = driver.pool(max_size=1)
    holder = [driver.acquire(pool)]
    server.made[0] = None  # which held it too
    waiting = driver.start_acquire(pool)
    driver.until(lambda: pool.stats().waiting == 1)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        del holder
        gc.collect()
        assert waiting()


def test_one_that_is_lent_for_long_is_logged_with_where(driver, caplog):
    clock = FakeClock()
    pool = driver.pool(leak_after=10, timer=clock)
    with caplog.at_level(logging.WARNING, "perfkit.pooling"):
        conn = driver.acquire(pool)
        driver.use(pool)
        clock.advance(11)
        driver.run(pool._keep_up)
        driver.run(pool._keep_up)
    assert len(caplog.records) == 1
    assert "lent for 11.0 s" in caplog.text
    assert "test_pool_contract.py" in caplog.text
    driver.run(pool.release, conn)


def test_a_leak_is_told_though_it_began_after_the_last_upkeep(driver, caplog):
    pool = driver.pool(leak_after=0.05)
    with caplog.at_level(logging.WARNING, "perfkit.pooling"):
        driver.use(pool)
        driver.run(pool._keep_up)
        conn = driver.acquire(pool)
        driver.until(lambda: "a connection is lent for" in caplog.text)
    driver.run(pool.release, conn)


def test_a_lease_is_for_one_at_a_time(driver):
    pool = driver.pool(max_size=1)
    conn = driver.acquire(pool)
    lease = pool.connection(PATIENCE)
    if driver.name == "threads":
        entering = driver.start(lease.__enter__)
        driver.until(lambda: pool.stats().waiting == 1)
        with pytest.raises(RuntimeError, match="entered already"):
            lease.__enter__()
    else:
        task = driver.loop.create_task(lease.__aenter__())
        driver.until(lambda: pool.stats().waiting == 1)
        with pytest.raises(RuntimeError, match="entered already"):
            driver._step(lease.__aenter__())

        async def wait():
            return await task

        entering = lambda: driver._step(wait())  # noqa: E731
    driver.run(pool.release, conn)
    assert entering() is conn
    if driver.name == "threads":
        lease.__exit__(None, None, None)
    else:
        driver._step(lease.__aexit__(None, None, None))
    assert pool.stats().idle == 1


def test_one_lent_by_with_for_long_is_logged(driver, caplog):
    clock = FakeClock()
    pool = driver.pool(leak_after=10, timer=clock)
    with caplog.at_level(logging.WARNING, "perfkit.pooling"):
        driver.use(pool, lambda conn: clock.advance(11) and pool._keep_up())
    assert "lent for 11.0 s" in caplog.text
    assert "test_pool_contract.py" in caplog.text


def test_a_breaker_that_is_reset_serves_soon(driver, server):
    from perfkit import CircuitBreaker

    breaker = CircuitBreaker(reset_timeout=3600)
    breaker.trip()
    pool = driver.pool(breaker=breaker, backoff=(0.01, 30))
    with pytest.raises(errors.BreakerOpen):
        driver.acquire(pool)
    breaker.reset()

    def serves():
        try:
            return driver.use(pool, lambda conn: conn.number) == 0
        except errors.BreakerOpen:
            return False

    until = time.monotonic() + PATIENCE
    while not serves():
        assert time.monotonic() < until


def test_nothing_is_discarded_by_none(driver):
    pool = driver.pool()
    conn = driver.acquire(pool)
    with pytest.raises(errors.NotLent):
        driver.run(pool.discard, None)
    driver.run(pool.release, conn)
    assert pool.stats().idle == 1


# -- closing


def test_closed(driver, server):
    pool = driver.pool(max_size=2)
    lent, idle = driver.acquire(pool), driver.acquire(pool)
    driver.run(pool.release, idle)
    driver.close(pool, 0.02)
    assert idle.closed.is_set()
    assert not lent.closed.is_set()
    with pytest.raises(errors.PoolClosed):
        driver.acquire(pool)
    driver.run(pool.release, lent)
    driver.until(lent.closed.is_set)
    driver.close(pool)
    assert pool.stats().size == 0


def test_who_waits_when_it_is_closed_is_told(driver):
    pool = driver.pool(max_size=1)
    conn = driver.acquire(pool)
    waiting = driver.start_acquire(pool)
    driver.until(lambda: pool.stats().waiting == 1)
    driver.close(pool, 0)
    with pytest.raises(errors.PoolClosed, match="while a connection was waited for"):
        waiting()
    driver.run(pool.release, conn)


def test_what_is_made_when_it_is_closed_is_closed(driver, server):
    server.gate.clear()
    pool = driver.pool()
    waiting = driver.start_acquire(pool)
    driver.until(lambda: pool.stats().connecting == 1)
    driver.close(pool, 0)
    with pytest.raises(errors.PoolClosed):
        waiting()
    server.gate.set()
    driver.until(lambda: server.made and server.made[0].closed.is_set())


def close_badly(conn):
    if conn.number == 0:
        raise OSError("can't")


def test_a_close_that_fails_is_logged(driver, caplog):
    driver.server.close = close_badly
    pool = driver.pool()
    with caplog.at_level(logging.WARNING, "perfkit.pooling"):
        driver.use(pool)
        driver.close(pool)
    assert "closing a connection failed" in caplog.text


class Closed:
    """Closes by itself, and remembers that."""

    closed = 0

    def close(self):
        self.closed += 1


class Proxy:
    """Stands for another, and has nothing itself."""

    def __init__(self, real):
        self._real = real

    def __getattr__(self, name):
        return getattr(self._real, name)


class AnyName(Closed):
    """Has something by any name, as the clients of some databases."""

    def __getattr__(self, name):
        return f"the table {name}"


class AClosed(Closed):
    async def aclose(self):
        self.closed += 1
        await asyncio.sleep(0)


def by_itself():
    thing = types.SimpleNamespace(closed=0)
    thing.close = lambda: Closed.close(thing)
    return thing


@pytest.mark.parametrize(
    "make", [Closed, lambda: Proxy(Closed()), lambda: wrapt.ObjectProxy(Closed()), AnyName, by_itself]
)
def test_its_own_close_is_found_where_it_is(driver, make):
    pool = driver.pool(make, close=None)
    thing = driver.use(pool, lambda conn: conn)
    driver.close(pool)
    assert thing.closed == 1


@pytest.mark.parametrize("make", [AClosed, lambda: Proxy(AClosed())])
def test_an_aclose_goes_before_a_close(make):
    async def main():
        async with AsyncPool(make) as pool, pool.connection() as conn:
            pass
        return conn

    assert asyncio.run(main()).closed == 1


@pytest.mark.parametrize("end", ["dead", "discarded"])
def test_that_a_broken_one_can_not_be_closed_is_no_surprise(driver, server, caplog, end):
    server.close = close_badly
    pool = driver.pool(validate=driver.asked("validate"), validate_after=0)
    conn = driver.acquire(pool)
    conn.is_dead = True
    with caplog.at_level(logging.INFO, "perfkit.pooling"):
        driver.run(pool.discard if end == "discarded" else pool.release, conn)
        assert driver.use(pool, lambda conn: conn.number) == 1
        driver.until(lambda: "failed, too: OSError: can't" in caplog.text)
    assert pool.stats().closed[end] == 1
    said = [record for record in caplog.records if record.args[0] == pool.name]
    assert {(record.levelno, record.exc_info) for record in said} == {(logging.INFO, None)}


def test_that_it_has_connected_again_is_logged(driver, server, caplog):
    pool = driver.pool(backoff=(0.005, 0.005), name="orders")
    with caplog.at_level(logging.INFO, "perfkit.pooling"):
        driver.use(pool)
        assert "connected again" not in caplog.text
        server.error = ConnectionRefusedError()
        conn = driver.acquire(pool)
        waiter = driver.start_acquire(pool, PATIENCE)
        driver.until(lambda: pool.stats().errors >= 2)
        server.error = None
        waiter()
        driver.run(pool.release, conn)
        driver.until(lambda: "'orders': connected again" in caplog.text)
    assert re.search(r"after the first of \d+ attempts that failed", caplog.text)


@pytest.mark.parametrize("hook", ["validate", "reset"])
def test_a_hook_that_is_wrong_is_told_aloud_once(driver, server, caplog, hook):
    def wrong(conn):
        return conn.ping()

    pool = driver.pool(**{hook: wrong}, validate_after=0, timer=(clock := FakeClock()))
    with caplog.at_level(logging.INFO, "perfkit.pooling"):
        for number in range(3):
            driver.use(pool)
            driver.until(lambda number=number: len(server.made) > number)
            clock.advance(2)
    told = [record for record in caplog.records if "no connection is ever used twice" in record.getMessage()]
    assert [record.levelname for record in told] == ["WARNING"]
    assert f"{hook}() raised AttributeError" in told[0].getMessage()


def test_a_closed_pool_is_not_entered(driver):
    pool = driver.pool()
    driver.close(pool)
    with pytest.raises(errors.PoolClosed):
        driver.enter(pool)


# -- arguments


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_size": 0}, "max_size must be 1 or more"),
        ({"max_size": 2.5}, "max_size must be a whole number"),
        ({"min_size": 11}, "min_size must be at most max_size"),
        ({"min_size": -1}, "min_size must be 0 or more"),
        ({"max_waiting": -1}, "max_waiting must be 0 or more"),
        ({"timeout": -1}, "timeout must be 0 seconds or more"),
        ({"max_lifetime": 0}, "max_lifetime must be more than 0 seconds"),
        ({"lifetime_jitter": 1.0}, "lifetime_jitter must be from 0 to less than 1"),
        ({"max_idle": math.nan}, "max_idle must be more than 0 seconds"),
        ({"max_uses": 0}, "max_uses must be 1 or more"),
        ({"validate": True}, "validate must be a function"),
        ({"validate_after": -1}, "validate_after must be 0 seconds or more"),
        ({"reset": 1}, "reset must be a function"),
        ({"backoff": 1}, "backoff must be two numbers"),
        ({"backoff": (2, 1)}, "backoff's first pause must be at most the longest"),
        ({"backoff": (0, 1)}, "backoff's first pause must be more than 0"),
        ({"leak_after": 0}, "leak_after must be more than 0"),
        ({"timer": 5}, "timer must be a function"),
        ({"name": 5}, "name must be a str"),
        ({"breaker": 5}, "breaker must be a perfkit.CircuitBreaker"),
    ],
)
def test_bad_arguments(driver, options, says):
    with pytest.raises((TypeError, ValueError), match=says):
        driver.pool(**options)


@pytest.mark.parametrize("cls", [Pool, AsyncPool])
@pytest.mark.parametrize("connect", [None, 5, [], [5]])
def test_connect_is_no_function(cls, connect):
    with pytest.raises(TypeError, match="connect must be a function"):
        cls(connect)


@pytest.mark.parametrize("cls", [Pool, AsyncPool])
def test_a_connection_is_no_connect(cls):
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        assert callable(db)
        with pytest.raises(TypeError, match=r"looks like one that was made: write `lambda: \.\.\.`"):
            cls(db)


@pytest.mark.parametrize("cls", [Pool, AsyncPool])
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"connect": lambda address: address}, r"connect is called as connect\(\), which .* doesn't take: missing"),
        ({"connect": [object, lambda address: address]}, r"connect is called as connect\(\)"),
        ({"validate": lambda: True}, r"validate is called as validate\(conn\), which .* doesn't take: too many"),
        ({"reset": lambda: True}, r"reset is called as reset\(conn\)"),
        ({"close": lambda conn, how: True}, r"close is called as close\(conn\)"),
    ],
)
def test_what_can_not_be_called_as_it_will_be(cls, arguments, says):
    with pytest.raises(TypeError, match=says):
        cls(**{"connect": object, **arguments})


@pytest.mark.parametrize("wrap", [lambda connect: connect, functools.partial, lambda connect: [object, connect]])
def test_threads_can_not_await_connect(wrap):
    async def connect():
        return object()

    with pytest.raises(TypeError, match="connect is a coroutine function, which a Pool can't await"):
        Pool(wrap(connect))


def test_what_awaits_a_coroutine_function_itself_is_none():
    async def make():
        return "made"

    @functools.wraps(make)
    def connect():
        return asyncio.run(make())

    with Pool(connect) as pool, pool.connection() as conn:
        assert conn == "made"


@pytest.mark.parametrize("name", ["validate", "reset", "close"])
def test_threads_can_not_await_a_hook(name):
    async def hook(conn):
        return True

    with pytest.raises(TypeError, match=f"{name} is a coroutine function"):
        Pool(object, **{name: hook})


@pytest.mark.parametrize("name", ["validate", "reset"])
def test_a_hook_that_is_interrupted_closes_the_connection(name, server):
    struck = []

    def hook(conn):
        if not struck:
            struck.append(conn)
            raise KeyboardInterrupt

    pool = Pool(server.connect, close=server.close, timer=(clock := FakeClock()), **{name: hook})
    try:
        with pool.connection():
            pass
        clock.advance(5)
        with pool.connection():
            pass
    except KeyboardInterrupt as error:
        held = error  # with its frames, as a debugger would
    assert server.made[0].closed.wait(PATIENCE)
    assert pool.stats().size <= 1
    with pool.connection(PATIENCE) as conn:
        assert conn.number == 1
    assert held.__traceback__ is not None
    pool.close()


@pytest.mark.parametrize("cls", [Pool, AsyncPool])
def test_a_wrong_call_names_the_pool(cls):
    name = cls.__name__
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'maxsize'"):
        cls(object, maxsize=3)
    with pytest.raises(TypeError, match=rf"^{name}\(\) missing 1 required positional argument: 'connect'"):
        cls()
    with pytest.raises(TypeError, match=rf"^{name}\.resize\(\) takes 1 positional argument"):
        cls(object).resize(0)


def test_the_signature_of_an_async_pool_shows_coroutine_functions():
    shown = {cls: inspect.signature(cls).parameters for cls in (Pool, AsyncPool)}
    assert "Callable[[], Awaitable[C]]" in shown[AsyncPool]["connect"].annotation
    assert "Awaitable" not in shown[Pool]["connect"].annotation
    assert list(shown[AsyncPool]) == list(shown[Pool])
