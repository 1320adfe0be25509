import copy
import math
import pickle
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit import testing
from perfkit._base.clock import Deadline
from perfkit.testing import FakeClock

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
    assert testing.__all__ == ["FakeClock"]
    for thing in (testing, FakeClock, FakeClock.__call__, FakeClock.advance, FakeClock.sleep):
        assert thing.__doc__


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda clock: pickle.loads(pickle.dumps(clock))])
def test_a_copy_of_a_clock_goes_on_by_itself(duplicate):
    clock = FakeClock(5)
    twin = duplicate(clock)
    clock.advance(1)
    assert (clock(), twin()) == (6, 5)
