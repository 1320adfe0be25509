"""Guards admit what there is room for, one by one and together; who is refused is told why."""

import asyncio
import gc
import os
import pickle
import subprocess
import sys
import threading

import pytest

import perfkit
from perfkit.memory.guard import admission

MB = 1_000_000


@pytest.fixture
def dog():
    """A watchdog with room for 1 GB of guarded work and something over.

    Nothing of it is allocated: it has to be much against what the memory of the tests' own process moves by.
    """
    with perfkit.MemoryWatchdog("4GB", name="guarding") as first:
        used = first.usage().used
    with perfkit.MemoryWatchdog(int((used + 1200 * MB) / 0.8), name="guarding") as dog:
        yield dog
    assert admission.reserved == 0


def test_work_that_fits_is_let_in(dog):
    with perfkit.memory_guard("900MB"):
        assert dog.stats().reserved_bytes == 900 * MB
    assert dog.stats().reserved_bytes == 0


def test_what_others_were_admitted_for_is_reserved_until_they_leave(dog):
    with perfkit.memory_guard("900MB"):
        with pytest.raises(perfkit.errors.MemoryPressure):
            with perfkit.memory_guard("900MB"):
                pytest.fail("there was no room")
        with perfkit.memory_guard("50MB"):
            pass
    with perfkit.memory_guard("900MB"):
        pass


def test_who_waits_gets_in_when_another_leaves(dog, eventually):
    inside, done = threading.Event(), threading.Event()

    def wait():
        inside.set()
        with perfkit.memory_guard("900MB", timeout=60):
            done.set()

    thread = threading.Thread(target=wait)
    with perfkit.memory_guard("900MB"):
        thread.start()
        inside.wait(20)
        assert not done.wait(0.05)
    thread.join(20)
    assert done.is_set()


def test_what_can_be_given_back_is(dog):
    held = [bytearray(b"x") * (200 * MB)]
    with pytest.raises(MemoryError):
        with perfkit.memory_guard("1100MB"):
            pytest.fail("there was no room")

    @dog.reclaimer(cooldown=0)
    def drop(need):
        held.clear()

    with perfkit.memory_guard("1100MB", timeout=20):
        assert held == []


def test_what_never_fits_is_refused_at_once_whatever_the_timeout(dog):
    with pytest.raises(perfkit.errors.MemoryPressure, match="whoever waits") as caught:
        with perfkit.memory_guard("900GB", timeout=None):
            pytest.fail("there is no such room")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.need, error.reserved, error.source) == (900_000 * MB, 0, "the argument `limit`")
    assert error.used < error.limit
    assert isinstance(error, MemoryError)


def test_of_several_watchdogs_the_strictest_counts(dog):
    with perfkit.MemoryWatchdog("100GB", name="lenient"):
        with pytest.raises(MemoryError), perfkit.memory_guard("1500MB"):
            pytest.fail("there was no room")
    with perfkit.MemoryWatchdog(dog.usage().used + 1, high=0.5, low=0.4, name="strict"):
        with pytest.raises(MemoryError), perfkit.memory_guard("1MB"):
            pytest.fail("there was no room")
    with perfkit.memory_guard("1MB"):
        pass


def test_without_a_watchdog_the_machine_counts_and_no_thread_is_started():
    before = set(threading.enumerate())
    with perfkit.memory_guard("1MB"):
        assert admission.reserved == MB
    with pytest.raises(perfkit.errors.MemoryPressure) as caught:
        with perfkit.memory_guard(perfkit.memory_limit().bytes):
            pytest.fail("that is all there is")
    assert caught.value.limit == perfkit.memory_limit().bytes
    assert set(threading.enumerate()) <= before


def test_a_guarded_function_keeps_its_name_and_result(dog):
    @perfkit.memory_guard("1MB")
    def double(x):
        """Twice."""
        assert admission.reserved == MB
        return 2 * x

    assert double(4) == 8
    assert (double.__name__, double.__doc__) == ("double", "Twice.")
    assert admission.reserved == 0


def test_an_error_in_the_block_gives_back(dog):
    with pytest.raises(KeyError), perfkit.memory_guard("900MB"):
        raise KeyError
    assert admission.reserved == 0


def test_tasks_wait_without_holding_up_the_loop(dog):
    async def main():
        order = []

        async def work(name):
            async with perfkit.amemory_guard("900MB", timeout=60):
                order.append(name)
                await asyncio.sleep(0.01)
                order.append(name)

        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(work(name))
        return order

    order = asyncio.run(main())
    assert order == [name for pair in zip(order[::2], order[::2], strict=True) for name in pair]
    assert sorted(set(order)) == ["a", "b", "c"]


def test_a_task_that_is_cancelled_while_it_waits_has_reserved_nothing(dog):
    async def main():
        async with perfkit.amemory_guard("900MB"):
            waiting = asyncio.create_task(enter())
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert admission.reserved == 900 * MB

    async def enter():
        async with perfkit.amemory_guard("900MB", timeout=None):
            pytest.fail("there was no room")

    asyncio.run(main())


def test_a_thread_that_runs_a_loop_is_not_held_up():
    async def waiting():
        with perfkit.memory_guard("1MB", timeout=1):
            pytest.fail("it might have waited")

    async def at_once():
        with perfkit.memory_guard("1MB"):
            return admission.reserved

    with pytest.raises(RuntimeError, match="amemory_guard"):
        asyncio.run(waiting())
    assert asyncio.run(at_once()) == MB


def test_what_a_finaliser_leaves_while_another_is_let_in_is_given_back(dog):
    def held():
        with perfkit.memory_guard("50MB"):
            yield

    class Leaving:
        """The generator is closed where the collector finds it: somewhere in the middle of a guard's own steps."""

        def __init__(self):
            self.me = self
            self.generator = held()
            next(self.generator)

    guard = perfkit.memory_guard("1MB")
    thresholds = gc.get_threshold()
    try:
        for number in range(300):
            gc.set_threshold(10**6)
            Leaving()
            gc.set_threshold(1 + number % 40)
            for _ in range(3):
                with guard:
                    pass
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    assert admission.reserved == 0


def test_who_is_let_in_while_another_is_looked_at_is_counted(dog):
    inner = []

    class Relief(type(admission.asked[0])):
        def over(self, need=0):
            if not inner:  # as a signal's handler may, in the middle
                inner.append(perfkit.memory_guard("900MB"))
                with pytest.raises(MemoryError):
                    inner[0].__enter__()
            return super().over(need)

    admission.asked[0].__class__ = Relief
    with perfkit.memory_guard("900MB"):
        assert admission.reserved == 900 * MB
    assert inner


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork: run on Linux or macOS")
def test_a_child_forked_within_a_guard_gives_nothing_back_that_it_has_not():
    program = """
import os, perfkit
from perfkit.memory.guard import admission

guard = perfkit.memory_guard("1MB")
with guard:
    pid = os.fork()
    inside = admission.reserved
    with guard:
        more = admission.reserved
os.write(1, f"{inside} {more} {admission.reserved}\\n".encode())
if pid:
    os.waitpid(pid, 0)
else:
    os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert sorted(done.stdout.splitlines()) == [f"0 {MB} 0", f"{MB} {2 * MB} 0"]


@pytest.mark.parametrize("guard", [perfkit.memory_guard, perfkit.amemory_guard])
def test_guarded_coroutine_functions(dog, guard):
    @guard("50MB")
    async def work(x):
        assert admission.reserved == 50 * MB
        return x

    @guard("900GB")
    async def too_much():
        pytest.fail("there was no room")

    assert asyncio.run(work(3)) == 3
    with pytest.raises(MemoryError):
        asyncio.run(too_much())


@pytest.mark.parametrize("need", [0, -1, "0MB", "64", "much", True, None, 1.5])
def test_needs_that_are_none(need):
    with pytest.raises((TypeError, ValueError), match="need"):
        perfkit.memory_guard(need)


@pytest.mark.parametrize("timeout", [-1, float("inf"), float("nan"), "5", True, False, 0j])
def test_timeouts_that_are_none(timeout):
    with pytest.raises((TypeError, ValueError), match="timeout"):
        perfkit.memory_guard("1MB", timeout=timeout)


def test_the_guard_for_tasks_is_refused_on_a_plain_function():
    with pytest.raises(TypeError, match="@memory_guard"):

        @perfkit.amemory_guard("1MB")
        def plain():
            pass
