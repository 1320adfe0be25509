"""The pure half of retries: waits, objections, budgets and notes, against the plainest writing of their rules."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from perfkit.resilience.attempts import ATTEMPTS, TIMEOUT, Failures, Plan, least_wait
from perfkit.resilience.tokens import Tokens


def plan(**given):
    return Plan(**({"attempts": 5, "timeout": 30.0, "wait": 0.1, "max_wait": 5.0, "factor": 2.0} | given))


def test_ceilings_double_up_to_the_largest():
    assert [plan(wait=1.0).ceiling(number) for number in range(1, 6)] == [1, 2, 4, 5, 5]


@given(st.integers(1, 10**9), st.floats(1, 1e300), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_ceiling_is_never_above_the_largest_whatever_the_number(number, factor, wait, max_wait):
    ceiling = plan(factor=factor, wait=wait, max_wait=max_wait).ceiling(number)
    assert 0 <= ceiling <= max_wait
    assert ceiling == 0 or wait > 0


@given(st.integers(1, 20), st.floats(0, 1, exclude_max=True), st.floats(0, 100))
def test_waits_are_spread_over_the_whole_ceiling_also_the_largest(number, chance, least):
    ceiling = plan().ceiling(number)
    assert plan().wait(number, 0.0, chance) == chance * ceiling
    assert plan().wait(number, least, chance) == pytest.approx(least + chance * ceiling)


def test_an_attempt_may_begin_at_the_timeout_and_no_later():
    assert plan(timeout=10.0).objection(1, 4.0, 6.0) is None
    assert not plan(timeout=10.0).is_late(10.0)
    assert plan(timeout=10.0).objection(1, 4.0, 6.001) == TIMEOUT


class Runs(RuleBasedStateMachine):
    """One call's attempts, again and again; the oracle goes by the times at which attempts really began."""

    @initialize(
        attempts=st.one_of(st.none(), st.integers(1, 4)),
        timeout=st.one_of(st.none(), st.sampled_from([1.0, 10.0])),
    )
    def begin(self, attempts, timeout):
        self.attempts, self.timeout = attempts, timeout
        self.plan = plan(attempts=attempts, timeout=timeout, wait=1.0, max_wait=4.0)
        self.anew()

    @rule()
    def anew(self):
        self.now = self.first = 100.0
        self.number = 1
        self.begun = [self.now]

    @rule(took=st.sampled_from([0.0, 0.5, 3.0]), chance=st.floats(0, 0.99), answer=st.sampled_from([True, 0, 2, 8.5]))
    def fail(self, took, chance, answer):
        self.now += took
        wait = self.plan.wait(self.number, least_wait(answer), chance)
        objection = self.plan.objection(self.number, self.now - self.first, wait)
        no_more = self.attempts is not None and len(self.begun) == self.attempts
        too_late = self.timeout is not None and self.now - self.first + wait > self.timeout
        assert objection == (ATTEMPTS if no_more else TIMEOUT if too_late else None)
        if objection is not None:
            self.anew()
            return
        assert wait >= (0 if answer is True else answer)
        self.now += wait
        self.number += 1
        self.begun.append(self.now)

    @rule(overslept=st.sampled_from([0.0, 5.0]))
    def oversleep(self, overslept):
        is_late = self.plan.is_late(self.now - self.first + overslept)
        assert is_late == (self.timeout is not None and self.now + overslept > self.first + self.timeout)

    @invariant()
    def both_bounds_hold(self):
        if not hasattr(self, "begun"):
            return
        assert self.attempts is None or len(self.begun) <= self.attempts
        assert self.timeout is None or self.begun[-1] <= self.first + self.timeout + 1e-9


TestRuns = Runs.TestCase


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (None, None),
        (False, None),
        (True, 0.0),
        (0, 0.0),
        (2, 2.0),
        (0.5, 0.5),
        (-3, 0.0),
        (math.inf, None),
        (math.nan, None),
    ],
)
def test_what_a_predicate_may_answer(answer, seconds):
    assert least_wait(answer) == seconds


@pytest.mark.parametrize("answer", ["5", [], object()])
def test_another_answer_is_refused(answer):
    with pytest.raises(TypeError, match=r"on\(error\) must return True, False, None or a number of seconds, not"):
        least_wait(answer)


class Buckets(RuleBasedStateMachine):
    """The oracle keeps what was put in and taken, and adds it all up again each time."""

    @initialize(each=st.sampled_from([0.0, 0.1, 1.0]), rate=st.sampled_from([0.0, 0.5, 3.0]), most=st.integers(1, 10))
    def begin(self, each, rate, most):
        self.each, self.rate, self.most, self.now = each, rate, float(most), 50.0
        self.tokens = Tokens(each, rate, self.most, self.now)
        self.events = []

    def left(self):
        there, at = self.most, 50.0
        for now, change in [*self.events, (self.now, 0.0)]:
            there = min(self.most, there + (now - at) * self.rate)
            there, at = min(self.most, there + change), now
        return there

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 100.0]))
    def time_goes_by(self, seconds):
        self.now += seconds

    @rule()
    def call(self):
        self.tokens.deposit(self.now)
        self.events.append((self.now, self.each))

    @rule()
    def retry(self):
        there = self.left()
        if abs(there - 1) < 1e-9:  # floats may see it either way
            return
        assert self.tokens.take(self.now) == (there >= 1)
        if there >= 1:
            self.events.append((self.now, -1.0))

    @invariant()
    def they_agree(self):
        if hasattr(self, "tokens"):
            assert self.tokens.left(self.now) == pytest.approx(self.left(), abs=1e-6)
            assert 0 <= self.tokens.left(self.now) <= self.most


TestBuckets = Buckets.TestCase


def test_ten_calls_earn_a_retry():
    """A tenth ten times over is one, whatever floats make of it."""
    tokens = Tokens(0.1, 0.0, 1.0, 0.0)
    assert tokens.take(0.0)
    for _ in range(10):
        assert not tokens.take(0.0)
        tokens.deposit(0.0)
    assert tokens.take(0.0)


def note(*errors, why="why"):
    failures = Failures()
    for error in errors:
        failures.add(error)
    return failures.note("fetch", 1.23456, why)


def test_a_note_says_how_often_how_long_and_why():
    assert note(OSError("x")) == "perfkit.retry 'fetch' gave up after 1 attempt in 1.235 s: why"
    assert note(OSError("one"), ValueError("two"), OSError("three")).splitlines() == [
        "perfkit.retry 'fetch' gave up after 3 attempts in 1.235 s: why, after",
        "  1: OSError: one",
        "  2: ValueError: two",
    ]


def test_a_note_is_bounded():
    lines = note(*[OSError("x" * 10_000) for _ in range(1000)]).splitlines()
    assert lines[1] == "  (994 before these)"
    assert [line.split(":")[0].strip() for line in lines[2:]] == ["995", "996", "997", "998", "999"]
    assert max(map(len, lines)) < 250
