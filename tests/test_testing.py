import asyncio
import copy
import math
import pickle
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit
from perfkit import testing
from perfkit._base.clock import Deadline
from perfkit.testing import FakeClock, fake_time

steps = st.lists(st.floats(0, 1e6), max_size=20)


def test_it_stands_still_until_told():
    clock = FakeClock()
    assert (clock(), clock()) == (0.0, 0.0)
    assert clock.advance(1.5) == 1.5
    assert clock.sleep(0.5) is None
    assert (clock(), clock()) == (2.0, 2.0)


def test_it_starts_where_it_is_told():
    clock = FakeClock(-3)
    assert (clock(), type(clock())) == (-3.0, float)
    assert repr(FakeClock(start=5)) == "FakeClock(5.0)"


@given(st.floats(-1e6, 1e6), steps)
def test_it_never_goes_backwards_and_says_where_it_is(start, seconds):
    clock = FakeClock(start)
    shown = [clock(), *(clock.advance(step) for step in seconds)]
    assert shown == sorted(shown)
    assert clock() == shown[-1] == pytest.approx(start + sum(seconds))


@pytest.mark.parametrize("seconds", [-1, -1e-9, math.nan, math.inf, -math.inf])
def test_it_refuses_to_go_back_or_nowhere(seconds):
    clock = FakeClock(7.0)
    for move in (clock.advance, clock.sleep):
        with pytest.raises(ValueError, match="0 or more seconds"):
            move(seconds)
    assert clock() == 7.0


def test_a_task_that_sleeps_lets_others_have_a_turn():
    clock, seen = FakeClock(), []

    async def main():
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(clock.asleep(5))
            tasks.create_task(other())

    async def other():
        seen.append(clock())

    asyncio.run(main())
    assert seen == [5.0]
    with pytest.raises(ValueError, match="0 or more seconds"):
        asyncio.run(clock.asleep(-1))


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_it_starts_at_a_finite_time(start):
    with pytest.raises(ValueError, match="finite"):
        FakeClock(start)


def test_what_threads_advance_adds_up():
    clock = FakeClock()
    together = threading.Barrier(8)

    def work():
        together.wait()
        for _ in range(5_000):
            clock.advance(0.25)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock() == 8 * 5_000 * 0.25


def test_reading_and_writing_the_time_is_one_step_for_other_threads():
    clock = FakeClock()
    locked = []

    class Observed(float):
        def __radd__(self, now):
            locked.append(clock._lock.locked())
            return now + float(self)

    clock.advance(Observed(2.0))
    assert (clock(), locked) == (2.0, [True])


def test_it_serves_as_a_timer():
    clock = FakeClock(100.0)
    deadline = Deadline(30, clock)
    clock.advance(29)
    assert (deadline.remaining(), deadline.is_over()) == (1.0, False)
    clock.sleep(1)
    assert (deadline.remaining(), deadline.is_over()) == (0.0, True)


def test_public_names_are_documented():
    assert testing.__all__ == ["FakeClock", "fake_time"]
    methods = (FakeClock.__call__, FakeClock.advance, FakeClock.sleep, FakeClock.asleep)
    for thing in (testing, FakeClock, *methods, fake_time):
        assert thing.__doc__


# Made as programs make them: without a thought of tests.
breaker = perfkit.CircuitBreaker(consecutive=1, reset_timeout=3600)
by_host = perfkit.CircuitBreaker.per_key(consecutive=1, reset_timeout=3600)
budget = perfkit.RetryBudget(0.0, min_per_second=1.0, max_tokens=1)
answers = []


@perfkit.retry(on=OSError, wait=1000, max_wait=1000, timeout=None)
@breaker
def fetch():
    answer = answers.pop()
    if isinstance(answer, Exception):
        raise answer
    return answer


@perfkit.retry(on=ValueError, wait=0, attempts=2, timeout=None, budget=budget)
async def afetch():
    answer = answers.pop()
    if isinstance(answer, Exception):
        raise answer
    return answer


def test_what_there_is_goes_by_a_fake_clock_for_a_while():
    answers[:] = [2, OSError("for a moment")]
    with fake_time() as clock:
        before = clock()
        with pytest.raises(perfkit.errors.BreakerOpen):  # which is never tried again
            fetch()
        assert clock() > before
        clock.advance(3600)
        assert fetch() == 2
    assert time.monotonic() < clock()
    assert breaker._timer is time.monotonic


def test_tasks_and_budgets_go_by_it_too():
    with fake_time() as clock:
        answers[:] = [2, ValueError("a"), 1, ValueError("b")]
        assert asyncio.run(afetch()) == 1
        with pytest.raises(ValueError, match="a"):
            asyncio.run(afetch())
        clock.advance(1)
        answers[:] = [3, ValueError("c")]
        assert asyncio.run(afetch()) == 3


def test_breakers_are_closed_before_and_after():
    breaker.trip()
    by_host("a").trip()
    with fake_time() as clock:
        assert (breaker.state, by_host("a").state) == ("closed", "closed")
        breaker.trip()
        for host in "ab":
            by_host(host).trip()
        clock.advance(3600)
        for host in "ab":
            by_host(host).call(len, "")
            by_host(host).trip()
    assert (breaker.state, by_host("a").state, by_host("b").state) == ("closed", "closed", "closed")
    assert by_host("b")._timer is time.monotonic
    assert by_host("c")._timer is time.monotonic


def test_a_clock_of_ones_own_may_be_given():
    mine = FakeClock(7.0)
    with fake_time(mine) as clock:
        assert clock is mine
        assert breaker._timer is mine
    assert breaker._timer is time.monotonic


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda clock: pickle.loads(pickle.dumps(clock))])
def test_a_copy_of_a_clock_goes_on_by_itself(duplicate):
    clock = FakeClock(5)
    twin = duplicate(clock)
    clock.advance(1)
    assert (clock(), twin()) == (6, 5)
