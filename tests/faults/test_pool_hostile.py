"""Connections, programs and machines at their worst."""

import asyncio
import os
import resource
import subprocess
import sys
import threading

import pytest

import perfkit
from perfkit import CircuitBreaker, Pool, errors
from perfkit._base import fork, maintenance

PATIENCE = 20.0


class Moody:
    """Says nothing of whether it is true, as arrays do."""

    def __bool__(self):
        raise ValueError("neither true nor false")


class Proxy:
    """Hands on whatever it is asked for."""

    def __init__(self, wrapped):
        self._wrapped = wrapped

    def __getattr__(self, name):
        return getattr(self._wrapped, name)


class Closed:
    def __init__(self):
        self.times = 0

    def close(self):
        self.times += 1


class SaysNothing(Exception):
    def __str__(self):
        raise ValueError("no words")


def in_a_child(work):
    """Return the exit status of a forked child that asserts something."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_connection_that_is_neither_true_nor_false_stays_in_the_parent():
    with Pool(Moody) as pool, Pool(object) as other:
        with pool.connection() as mine, other.connection():
            pass

        def in_child():
            with pool.connection() as conn:
                assert conn is not mine
            assert other.stats().size == 0

        assert in_a_child(in_child) == 0
        with pool.connection() as conn:
            assert conn is mine


def test_what_fails_after_a_fork_keeps_no_other_from_being_told():
    class Unlucky:
        def _after_fork_in_child(self):
            raise KeyError

    unlucky = Unlucky()
    fork.after_in_child(unlucky)
    with Pool(object) as pool:
        pool.release(pool.acquire())
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            assert in_a_child(lambda: None if pool.stats().size == 0 else os._exit(2)) == 0
        finally:
            sys.unraisablehook = hook
    del unlucky


def test_a_preferred_factory_that_hangs_keeps_nobody_from_the_others():
    hangs, is_hanging, gate = threading.Event(), threading.Event(), threading.Event()

    def preferred():
        if hangs.is_set():
            is_hanging.set()
            gate.wait(PATIENCE)
        raise ConnectionRefusedError

    breakers = [CircuitBreaker(consecutive=1, min_calls=1, window=1, reset_timeout=0.05) for _ in range(2)]
    with Pool([preferred, object], breaker=breakers, max_size=2) as pool:
        first = pool.acquire()
        hangs.set()
        assert is_hanging.wait(PATIENCE)
        assert pool._core.probing == 1
        pool.release(pool.acquire(timeout=PATIENCE))
        pool.release(first)
        gate.set()


def test_a_connect_that_raises_what_cancellation_does_is_a_failure():
    async def connect():
        attempts.append(1)
        raise asyncio.CancelledError

    async def main():
        async with perfkit.AsyncPool(connect, backoff=(60, 60)) as pool:
            with pytest.raises(RuntimeError, match="CancelledError"):
                await pool.acquire(timeout=0.2)

    attempts = []
    asyncio.run(main())
    assert len(attempts) == 1


def test_a_loop_that_ends_begins_no_attempts():
    begun = []

    async def connect():
        begun.append(1)
        await asyncio.sleep(PATIENCE)

    async def main():
        pool = perfkit.AsyncPool(connect)
        callers = [asyncio.ensure_future(pool.acquire()) for _ in range(2)]
        await asyncio.sleep(0.05)
        return callers

    callers = asyncio.run(main())
    assert all(caller.cancelled() for caller in callers)
    assert len(begun) == 2


NO_DESCRIPTOR = """
import os, resource, sys
from perfkit import CircuitBreaker, Pool
import perfkit.pooling.threads, perfkit.resilience.breaker

class Mine(Exception): ...

def connect():
    os.close(os.open(os.devnull, os.O_RDONLY))
    return object()

def fail():
    raise Mine

pool = Pool(connect, max_size=1, backoff=(0.01, 0.01))
breaker = CircuitBreaker(consecutive=1, min_calls=1, window=1)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
try:
    pool.acquire(timeout=0.2)
except OSError as error:
    print(error.errno)
try:
    breaker.call(fail)
except Mine:
    print(breaker.state)
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
pool.acquire(timeout=20)
print("fine", "logging" in sys.modules)
"""


def test_a_process_that_has_no_descriptor_left():
    """Not even for loading what logs it."""
    environment = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(perfkit.__file__))}
    done = subprocess.run(
        [sys.executable, "-c", NO_DESCRIPTOR], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    number, state, fine, *_ = done.stdout.split()
    assert (int(number), state, fine) == (24, "open", "fine")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 3


@pytest.mark.parametrize("wrap", [lambda conn: conn, Proxy], ids=["itself", "by a proxy"])
def test_a_connection_is_closed_by_what_it_says_it_has(wrap, eventually):
    conn = Closed()
    with Pool(lambda: wrap(conn)) as pool, pool.connection():
        pass
    eventually(lambda: conn.times == 1)


def test_a_process_that_has_no_thread_left_for_a_moment(monkeypatch, eventually):
    monkeypatch.setattr(maintenance, "_thread", maintenance._Thread())  # one that isn't running yet
    is_down = True

    def connect():
        if is_down:
            raise OSError("down")
        return object()

    start = threading.Thread.start

    def refused(thread):
        if thread.name == "perfkit-maintenance":
            raise RuntimeError("can't start new thread")
        start(thread)

    with Pool(connect, backoff=(0.01, 0.02)) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            with pytest.raises(OSError, match="down"):
                pool.acquire(timeout=0.05)
            heartbeat = perfkit.Heartbeat(lambda: True)
            with pytest.raises(RuntimeError, match="thread"):
                heartbeat.start()
            assert not heartbeat.is_running
        made = []
        thread = threading.Thread(target=lambda: made.append(pool.acquire(timeout=PATIENCE)))
        thread.start()
        eventually(lambda: pool.stats().waiting == 1)
        is_down = False
        thread.join()
        pool.release(made.pop())


def test_warming_waits_for_the_attempt_that_is_under_way():
    answers = [errors.PoolError("wrong password", pool="x"), object()]
    answers[0].permanent = True

    def connect():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        gate.wait(PATIENCE)
        return answer

    gate = threading.Event()
    with Pool(connect, min_size=1, backoff=(0.01, 0.01)) as pool:
        with pytest.raises(errors.PoolError, match="wrong password"):
            pool.warm()
        threading.Event().wait(0.05)  # the pause after it
        threading.Timer(0.1, gate.set).start()
        pool.warm(timeout=PATIENCE)
        assert pool.stats().size == 1


def test_a_validation_whose_error_has_no_words():
    alive = []

    def validate(conn):
        if not alive:
            alive.append(conn)
            raise SaysNothing

    with Pool(object, validate=validate, validate_after=0) as pool:
        first = pool.acquire()
        pool.release(first)
        pool._core.idle[0].trusted_until = float("-inf")
        with pool.connection() as conn:
            assert conn is not first
