"""Pools before a real server that restarts, hangs, or goes silent, behind a proxy that does so on command."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
from proxy import PATIENCE, Proxy, Server

from perfkit import errors
from perfkit.pooling import AsyncPool, Pool
from perfkit.testing import FakeClock


class Conn:
    """A client's connection, logged in."""

    def __init__(self, address, timeout=PATIENCE):
        self.socket = socket.create_connection(address, timeout)
        try:
            assert self.ask("login") == "welcome"
        except BaseException:
            self.close()
            raise

    def ask(self, word="ping"):
        self.socket.sendall(f"{word}\n".encode())
        answer = self.socket.recv(100).decode().strip()
        if not answer:
            raise ConnectionResetError("the server has closed the connection")
        return answer

    def close(self):
        self.socket.close()


class AsyncConn:
    """The same for a task."""

    @classmethod
    async def made(cls, address):
        conn = cls()
        conn.reader, conn.writer = await asyncio.open_connection(*address)
        try:
            assert await conn.ask("login") == "welcome"
        except BaseException:
            await conn.aclose()
            raise
        return conn

    async def ask(self, word="ping"):
        self.writer.write(f"{word}\n".encode())
        answer = (await self.reader.readline()).decode().strip()
        if not answer:
            raise ConnectionResetError("the server has closed the connection")
        return answer

    async def aclose(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


class Attempts:
    """Connects, and keeps a record: when each attempt began, and how many there were at once when they failed.

    Several may begin together while nobody knows that they will fail. When those are over there is one at a time.
    """

    def __init__(self, connect):
        self._connect = connect
        self._lock = threading.Lock()
        self.pool = None
        self.is_one_at_a_time = False
        self.most_while_failing = 0
        self.spans = []  # when each that began after a failure began, and when it was over

    def __call__(self):
        with self:
            return self._connect()

    async def acall(self):
        with self:
            return await self._connect()

    def __enter__(self):
        core = self.pool._core
        with self._lock:
            self.is_one_at_a_time = core.error is not None and (self.is_one_at_a_time or core.connecting == 1)
            if self.is_one_at_a_time:
                self.most_while_failing = max(self.most_while_failing, core.connecting)
        self.began = time.monotonic()

    def __exit__(self, *raised):
        with self._lock:
            self.is_one_at_a_time &= raised[0] is not None
            self.spans.append((self.began, time.monotonic(), raised[0] is not None))

    def pauses(self):
        """Return how long after each failure the next attempt began, while one failed after the other."""
        return [after[0] - before[1] for before, after in zip(self.spans, self.spans[1:], strict=False) if before[2]]


@pytest.fixture
def server():
    with contextlib.closing(Server()) as server:
        yield server


@pytest.fixture
def proxy(server):
    with contextlib.closing(Proxy(server)) as proxy:
        yield proxy


@pytest.fixture
def pooled(proxy):
    """``pooled(**options)`` makes a pool of connections through the proxy, closed at the end."""
    pools = []

    def make(connect=None, **options):
        options = {"validate": Conn.ask, "validate_after": 0.0, "max_size": 5, "timeout": PATIENCE} | options
        pools.append(Pool(connect or (lambda: Conn(proxy.address)), **options))
        return pools[-1]

    yield make
    proxy.speak()
    for pool in pools:
        pool.close(0)


def in_a_thread(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def filled(pool, count=5):
    conns = [pool.acquire() for _ in range(count)]
    for conn in conns:
        pool.release(conn)
    return conns


def ping(pool):
    with pool.connection() as conn:
        assert conn.ask() == "pong"


# -- a server that restarts


def test_a_restart_under_load(proxy, pooled, eventually):
    """Callers see errors of the connections they had in use, and nothing else; nobody storms the server."""
    attempts = Attempts(lambda: Conn(proxy.address))
    attempts.pool = pool = pooled(attempts, backoff=(0.01, 0.08))
    served, seen, over = [], [], threading.Event()

    def work():
        while not over.is_set():
            try:
                ping(pool)
            except Exception as error:
                seen.append(error)
            served.append(time.monotonic())

    threads = [in_a_thread(work) for _ in range(12)]
    eventually(lambda: len(served) > 100)
    proxy.stop()
    eventually(lambda: pool.stats().errors > 6)
    proxy.start()
    before = len(served)
    eventually(lambda: len(served) > before + 200)
    over.set()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert all(isinstance(error, ConnectionError) for error in seen), seen
    assert len(seen) <= 5
    assert attempts.most_while_failing == 1
    assert pool.stats().size == pool.stats().idle <= 5


def test_a_restart_under_load_with_tasks(proxy):
    attempts = Attempts(lambda: AsyncConn.made(proxy.address))

    async def main():
        attempts.pool = pool = AsyncPool(
            attempts.acall, validate=AsyncConn.ask, validate_after=0.0, max_size=5, backoff=(0.01, 0.08)
        )
        served, seen, over = [], [], asyncio.Event()

        async def work():
            while not over.is_set():
                try:
                    async with pool.connection() as conn:
                        await conn.ask()
                except Exception as error:
                    seen.append(error)
                served.append(None)

        async def until(condition):
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(work())
            await until(lambda: len(served) > 100)
            proxy.stop()
            await until(lambda: pool.stats().errors > 6)
            proxy.start()
            before = len(served)
            await until(lambda: len(served) > before + 200)
            over.set()
        assert all(isinstance(error, ConnectionError) for error in seen), seen
        assert len(seen) <= 5
        assert attempts.most_while_failing == 1
        assert pool.stats().size == pool.stats().idle <= 5
        await pool.aclose()

    asyncio.run(main())


def test_pauses_between_attempts_are_as_long_as_they_should(proxy, pooled, eventually):
    """Measured from the end of one to the beginning of the next, which no load makes shorter."""
    proxy.stop()
    attempts = Attempts(lambda: Conn(proxy.address))
    attempts.pool = pool = pooled(attempts, backoff=(0.01, 0.08))
    waiter = in_a_thread(ping, pool)
    eventually(lambda: len(attempts.spans) > 6)
    proxy.start()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
    least = [0.005, 0.01, 0.02, 0.04, 0.04, 0.04]
    assert all(pause >= each for pause, each in zip(attempts.pauses(), least, strict=False)), attempts.pauses()


def test_pauses_grow_and_are_drawn_at_random(proxy, pooled, eventually):
    """By the pool's own clock: no attempt before its time, one when it has come."""
    proxy.stop()
    clock, shares = FakeClock(), []
    pool = pooled(backoff=(1.0, 10.0), timer=clock)
    waiter = in_a_thread(ping, pool)
    for longest in [1, 2, 4, 8, 10, 10, 10, 10]:
        failures = len(shares) + 1
        eventually(lambda failures=failures: pool.stats().errors == failures)
        pause = pool._core.retry_at - clock()
        shares.append(pause / longest)
        clock.advance(pause * 0.999)
        pool._keep_up()
        assert (pool.stats().errors, pool.stats().connecting) == (failures, 0)
        clock.advance(pause * 0.002)
        pool._keep_up()
    proxy.start()
    eventually(lambda: pool.stats().errors == 9 or not waiter.is_alive())
    clock.advance(10)
    pool._keep_up()
    waiter.join(PATIENCE)
    assert not waiter.is_alive()
    assert all(0.5 <= share <= 1 for share in shares), shares
    assert len(set(shares)) == len(shares)


def test_the_next_caller_after_a_restart(server, proxy, pooled, eventually):
    """Five stale connections and a healthy server: he is served after one round trip, a new connection's login."""
    pool = pooled(validate_after=0.01, timer=(clock := FakeClock()))
    stale = filled(pool)
    proxy.stop()
    proxy.start()
    clock.advance(1)
    server.seen.clear()
    with pool.connection() as conn:
        assert server.seen == ["login"]
        assert conn not in stale
    eventually(lambda: pool.stats().closed["dead"] == 5)
    assert pool.stats().errors == 0


def test_the_next_caller_of_a_server_that_has_forgotten_all(server, proxy, pooled, eventually):
    """The connections live and say that they are of no use: two round trips, those of the others apart from him."""
    asked = []

    def validate(conn):
        asked.append((threading.get_ident(), conn))
        return conn not in stale

    pool, stale = pooled(validate=validate, validate_after=0.01, timer=(clock := FakeClock())), []
    stale += filled(pool)
    clock.advance(1)
    server.seen.clear()
    with pool.connection() as conn:
        mine = [conn for thread, conn in asked if thread == threading.get_ident()]
        assert len(mine) + server.seen.count("login") <= 2
        assert conn not in stale
    eventually(lambda: pool.stats().closed["dead"] == 5)
    assert len(asked) == 5


def test_the_next_task_after_a_restart(server, proxy):
    async def main():
        pool = AsyncPool(
            lambda: AsyncConn.made(proxy.address), validate=AsyncConn.ask, validate_after=0.01, timer=clock
        )
        stale = [await pool.acquire() for _ in range(5)]
        for conn in stale:
            pool.release(conn)
        proxy.stop()
        proxy.start()
        clock.advance(1)
        server.seen.clear()
        conn = await pool.acquire()
        assert server.seen == ["login"]
        assert conn not in stale
        async with asyncio.timeout(PATIENCE):
            while pool.stats().closed["dead"] < 5:
                await asyncio.sleep(0.001)
        pool.release(conn)
        await pool.aclose()

    clock = FakeClock()
    asyncio.run(main())


def test_validations_that_never_say_yes_are_no_reason_for_a_storm(proxy, pooled):
    """A server that lets everybody in and is of no use then: a connection for each caller, and no more."""
    pool = pooled(validate=lambda conn: False, backoff=(1.0, 10.0), timer=FakeClock())
    for callers in range(1, 6):
        with pool.connection():
            assert proxy.accepted <= callers


# -- what hangs


def test_a_connect_that_hangs(proxy, pooled, eventually):
    """It holds one place, and callers for as long as they said."""
    pool = pooled(validate=None, max_size=2)
    first = pool.acquire()
    proxy.silence()
    with pytest.raises(errors.PoolTimeout, match="being made: 1"):
        pool.acquire(0.05)
    pool.release(first)
    assert pool.acquire(0) is first
    pool.release(first)
    proxy.speak()
    eventually(lambda: pool.stats().idle == 2)


def test_a_pool_is_closed_while_a_connect_hangs(proxy, pooled, eventually):
    pool = pooled()
    proxy.silence()
    refused = []

    def wait():
        try:
            pool.acquire()
        except errors.PoolClosed as error:
            refused.append(error)

    waiter = in_a_thread(wait)
    eventually(lambda: pool.stats().connecting == 1)
    pool.close(0.05)
    waiter.join(PATIENCE)
    assert refused
    proxy.speak()
    eventually(lambda: pool.stats().connecting == 0)
    assert (pool.stats().created, pool.stats().size) == (1, 0)


def test_a_close_that_hangs(pooled, eventually):
    """Others are served, in its place too, and closing the pool takes no longer than was said."""
    gate, closing = threading.Event(), []

    def close(conn):
        closing.append(conn)
        gate.wait(PATIENCE)
        conn.close()

    pool = pooled(close=close)
    filled(pool)
    pool.drain()
    eventually(lambda: len(closing) == 5)
    filled(pool)
    assert pool.stats().created == 10
    pool.close(0.05)
    assert pool.stats().size == 0
    gate.set()
    eventually(lambda: len(closing) == 10)
    pool.close()
    assert pool._is_over()


def test_a_validation_that_hangs(pooled, eventually):
    """It is in its caller's thread, and nobody else's matter."""
    gate, asked = threading.Event(), []

    def validate(conn):
        asked.append(conn)
        if len(asked) == 1:
            gate.wait(PATIENCE)
        return True

    pool = pooled(validate=validate, max_size=2, validate_after=0.01, timer=(clock := FakeClock()))
    filled(pool, 2)
    clock.advance(1)
    victim = in_a_thread(ping, pool)
    eventually(lambda: asked)
    for _ in range(20):
        ping(pool)
    assert victim.is_alive()
    pool.close(0.05)
    gate.set()
    victim.join(PATIENCE)
    assert not victim.is_alive()
    eventually(lambda: pool.stats().size == 0)


def test_half_open_connections(proxy, pooled, eventually):
    """The peer is gone and nobody has said so: one caller waits for one answer that doesn't come, not for five."""
    caller, asked = threading.get_ident(), []

    def validate(conn):
        conn.socket.settimeout(0.05)
        asked.append(threading.get_ident())
        return conn.ask() == "pong"

    pool = pooled(validate=validate, validate_after=0.01, timer=(clock := FakeClock()))
    filled(pool)
    proxy.silence_those_there_are()
    clock.advance(1)
    ping(pool)
    assert asked.count(caller) == 1
    eventually(lambda: pool.stats().closed["dead"] == 5)
    assert pool.stats().errors == 0


def test_connections_made_at_once_do_not_end_at_once(server):
    """A hundred of one age, each shortened by up to a tenth: they end over a tenth of their lifetime."""
    clock = FakeClock()
    pool = Pool(object, max_size=100, max_lifetime=1000.0, lifetime_jitter=0.1, max_idle=None, timer=clock)
    conns = [pool.acquire() for _ in range(100)]
    for conn in conns:
        pool.release(conn)
    clock.advance(899)
    pool._keep_up()
    assert pool.stats().size == 100
    ended = []
    for _ in range(10):
        clock.advance(10.2)
        before = pool.stats().size
        pool._keep_up()
        ended.append(before - pool.stats().size)
    assert sum(ended) == 100
    assert max(ended) <= 35, ended
    assert sum(map(bool, ended)) >= 8, ended
    pool.close(0)
