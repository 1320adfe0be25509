"""When to look again, and when a pass is worth it: held against what they are to prevent."""

from hypothesis import given
from hypothesis import strategies as st

from perfkit.memory.pace import LONGEST, SHORTEST, WORST_RATE, BackOff, Rate, Throttle, interval

bytes_ = st.integers(0, 2**40)


@given(bytes_, st.floats(0, 2**36))
def test_no_rate_up_to_the_worst_seen_uses_up_the_headroom(headroom, rate):
    pause = interval(headroom, rate)
    assert SHORTEST <= pause <= LONGEST
    if pause > SHORTEST:
        assert pause * WORST_RATE <= headroom * 1.0001
        assert pause * rate <= headroom / 2 * 1.0001


@given(bytes_, st.floats(0.02, 10))
def test_something_due_is_not_slept_through(headroom, due):
    assert interval(headroom, 0.0, at_most=due) <= due


def test_the_rate_is_the_fastest_of_late():
    rate = Rate()
    assert rate.update(0.0, 100) == 0
    assert rate.update(1.0, 600) == 500
    assert rate.update(2.0, 600) == 400
    assert rate.update(3.0, 100) == 320
    assert rate.update(4.0, 10_100) == 10_000


@given(st.lists(st.tuples(st.floats(0.01, 100), st.booleans()), min_size=1))
def test_vain_passes_are_put_off_up_to_a_minute(steps):
    back_off, now, in_vain = BackOff(), 0.0, 0
    for pause, was_effective in steps:
        now += pause
        back_off.made(now, 500, was_effective=was_effective)
        in_vain = 0 if was_effective else in_vain + 1
        expected = min(60.0, 2.0 ** (in_vain - 1)) if in_vain else 0.0
        assert back_off.allows(now + expected, 500, 1000)
        assert back_off.allows(now + expected * 0.99, 500, 1000) == (not in_vain)


def test_growth_is_a_new_situation():
    back_off = BackOff()
    back_off.made(0.0, 800, was_effective=False)
    assert not back_off.allows(0.5, 819, 1000)
    assert back_off.allows(0.5, 820, 1000)
    assert back_off.next_at == 1.0


@given(st.lists(st.tuples(st.floats(0.001, 2), st.booleans(), st.floats(0, 20)), min_size=1))
def test_what_stalls_takes_a_twentieth_of_the_time_at_most(calls):
    throttle, now, spent = Throttle(), 0.0, 0.0
    for took, was_effective, pause in calls:
        now += pause
        if not throttle.allows(now):
            continue
        assert spent <= 0.05 * now + 1e-9  # before the first, and before each one later
        now += took
        spent += took
        throttle.made(now, took, was_effective=was_effective)


def test_in_vain_it_takes_a_hundredth():
    throttle = Throttle()
    throttle.made(10.0, 0.1, was_effective=True)
    assert (throttle.allows(11.9), throttle.allows(12.1)) == (False, True)
    throttle.made(10.0, 0.1, was_effective=False)
    assert (throttle.allows(19.9), throttle.allows(20.1)) == (False, True)
