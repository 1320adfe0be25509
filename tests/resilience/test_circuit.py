"""`Circuit` against the plainest writing of its rules there is, and each rule by itself."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perfkit.resilience.circuit import FAILED, NEUTRAL, OK, SLOW, Circuit, Refusal, Rules
from perfkit.resilience.windows import BUCKETS, CountWindow, TimeWindow

STANDARD = {
    "failure_rate": 0.5,
    "window": 6,
    "window_seconds": None,
    "min_calls": 4,
    "consecutive": 0,
    "slow_rate": 0.5,
    "reset_timeout": 30.0,
    "probes": 2,
    "half_open_timeout": 60.0,
}


def circuit(**rules):
    return Circuit(Rules(**(STANDARD | rules)), 0.0)


class Oracle:
    """The rules as prose has them: every result is kept, with its time, and all are looked at again each time."""

    def __init__(self, rules):
        self.rules = rules
        self.period = 0
        self.state = "closed"
        self.since = 0.0
        self.results = []  # of this period: (time, outcome)
        self.out = {}  # probes under way: when they began
        self.passed = 0
        self.totals = {"failed": 0, "refused": 0, "neutral": 0, "opened": 0}

    def go(self, state, now):
        self.totals["opened"] += state == "open" != self.state
        self.state, self.since, self.results, self.out, self.passed = state, now, [], {}, 0
        self.period += 1

    def admit(self, call, now):
        if self.state == "open" and now >= self.since + self.rules["reset_timeout"]:
            self.go("half-open", now)
        if self.state == "half-open" and self.out and now >= self.hangs_at:
            self.go("open", now)
        if self.state == "open" or (self.state == "half-open" and len(self.out) + self.passed >= self.rules["probes"]):
            self.totals["refused"] += 1
            return None
        if self.state == "half-open":
            if not self.out:
                self.hangs_at = now + self.rules["half_open_timeout"]
            self.out[call] = now
        return self.period

    def settle(self, call, period, outcome, now):
        if period != self.period or self.state == "open":
            return
        self.out.pop(call, None)
        if outcome == NEUTRAL:
            self.totals["neutral"] += 1
            return
        self.totals["failed"] += outcome & FAILED
        if self.state == "half-open":
            self.passed += outcome == OK
            if outcome != OK:
                self.go("open", now)
            elif self.passed == self.rules["probes"]:
                self.go("closed", now)
            return
        self.results.append((now, outcome))
        if outcome != OK and self.is_bad(now):
            self.go("open", now)

    def is_bad(self, now):
        run = self.rules["consecutive"]
        if run and len(self.results) >= run and all(outcome & FAILED for _, outcome in self.results[-run:]):
            return True
        calls, failures, slow = self.tally(now)
        enough = calls >= self.rules["min_calls"]
        return enough and (failures / calls >= self.rules["failure_rate"] or slow / calls >= self.rules["slow_rate"])

    def tally(self, now):
        if self.state != "closed":
            return 0, 0, 0
        last = [outcome for _, outcome in self.results[-self.rules["window"] :]]
        if self.rules["window_seconds"]:
            width = self.rules["window_seconds"] / BUCKETS
            first = (now - self.since) // width - BUCKETS
            last = [outcome for at, outcome in self.results if (at - self.since) // width > first]
        return len(last), sum(outcome & FAILED for outcome in last), sum(bool(outcome & SLOW) for outcome in last)


class Machine(RuleBasedStateMachine):
    @initialize(
        window=st.integers(1, 8),
        seconds=st.sampled_from([None, None, 8.0]),
        minimum=st.integers(1, 8),
        run=st.sampled_from([0, 0, 2, 3, 12]),
        rates=st.tuples(*[st.sampled_from([0.1, 0.5, 1.0, math.inf])] * 2),
        probes=st.integers(1, 3),
    )
    def begin(self, window, seconds, minimum, run, rates, probes):
        rules = {
            "failure_rate": rates[0],
            "window": window,
            "window_seconds": seconds,
            "min_calls": minimum,
            "consecutive": run,
            "slow_rate": rates[1],
            "reset_timeout": 5.0,
            "probes": probes,
            "half_open_timeout": 7.0,
        }
        self.circuit, self.oracle = Circuit(Rules(**rules), 0.0), Oracle(rules)
        self.now = 0.0
        self.calls = {}  # under way: number -> (period, the oracle's period)
        self.begun = 0

    @rule(seconds=st.sampled_from([0.0, 0.25, 1.0, 5.0, 7.0, 100.0]))
    def time_goes_by(self, seconds):
        self.now += seconds

    @rule()
    def call(self):
        self.begun += 1
        answer, expected = self.circuit.admit(self.now), self.oracle.admit(self.begun, self.now)
        assert isinstance(answer, Refusal) == (expected is None)
        if expected is not None:
            self.calls[self.begun] = answer, expected
            return
        assert answer.retry_after > 0
        assert answer.retry_after <= (1 if answer.state == "half-open" else 5)

    @precondition(lambda self: self.calls)
    @rule(data=st.data(), outcome=st.sampled_from([OK, OK, FAILED, FAILED, SLOW, FAILED | SLOW, NEUTRAL]))
    def end(self, data, outcome):
        call = data.draw(st.sampled_from(sorted(self.calls)))
        period, expected = self.calls.pop(call)
        if outcome == OK and isinstance(period, CountWindow):
            period.record(OK)  # as callers do who bring good news only
            self.oracle.settle(call, expected, OK, self.now)
            return
        self.circuit.settle(period, outcome, self.now)
        self.oracle.settle(call, expected, outcome, self.now)

    @rule(to=st.sampled_from(["trip", "reset"]))
    def by_hand(self, to):
        getattr(self.circuit, to)(self.now)
        self.oracle.go("open" if to == "trip" else "closed", self.now)

    @invariant()
    def they_agree(self):
        if not hasattr(self, "circuit"):
            return
        assert self.circuit.state == self.oracle.state
        assert self.circuit.tally(self.now) == self.oracle.tally(self.now)
        totals = {name: getattr(self.circuit, name) for name in self.oracle.totals}
        assert totals == self.oracle.totals

    @invariant()
    def no_more_probes_are_out_than_allowed(self):
        if hasattr(self, "circuit") and self.circuit.state == "half-open":
            assert 0 <= self.circuit.period.out <= self.circuit.rules.probes


TestCircuit = Machine.TestCase


def results(circuit, outcomes, now=0.0):
    for outcome in outcomes:
        circuit.settle(circuit.admit(now), outcome, now)
    return circuit


def test_it_opens_at_the_rate_and_not_before():
    assert results(circuit(), [FAILED, OK, OK, FAILED]).state == "open"
    assert results(circuit(), [FAILED, OK, OK, OK, FAILED]).state == "closed"
    assert results(circuit(), [FAILED] * 3).state == "closed"  # fewer calls than min_calls


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_rate_means_what_it_says(failures, calls):
    """One in ten is one in ten, whatever floats make of it."""
    failures = min(failures, calls)
    tripped = results(
        circuit(failure_rate=failures / calls, window=calls, min_calls=calls),
        [OK] * (calls - failures) + [FAILED] * failures,
    )
    assert tripped.state == "open"


def test_a_run_of_failures_opens_it_whatever_the_rate():
    assert results(circuit(consecutive=3, failure_rate=math.inf), [OK] * 50 + [FAILED] * 3).state == "open"
    assert results(circuit(consecutive=3, failure_rate=math.inf), [FAILED, FAILED, OK] * 50).state == "closed"
    longer_than_the_window = circuit(consecutive=20, failure_rate=math.inf)
    assert results(longer_than_the_window, [FAILED] * 19).state == "closed"
    assert results(longer_than_the_window, [FAILED]).state == "open"


def test_slow_calls_open_it():
    assert results(circuit(), [SLOW, OK, SLOW, OK, SLOW]).state == "open"
    assert results(circuit(slow_rate=1.0, failure_rate=math.inf), [SLOW] * 3 + [FAILED | SLOW]).state == "open"


def tripped(**rules):
    made = circuit(**rules)
    made.trip(0.0)
    return made


def test_while_open_everybody_is_refused_and_told_when_to_come_back():
    made = tripped()
    assert [made.admit(now).retry_after for now in (0.0, 10.0, 29.5)] == [30.0, 20.0, 0.5]
    assert made.state == "open"
    assert not isinstance(made.admit(30.0), Refusal)
    assert made.state == "half-open"


def test_half_open_admits_as_many_as_probes_and_closes_when_so_many_passed():
    made = tripped()
    probes = [made.admit(30.0), made.admit(30.0)]
    refused = made.admit(30.0)
    assert (refused.state, refused.retry_after) == ("half-open", 1.0)
    made.settle(probes[0], OK, 31.0)
    assert isinstance(made.admit(31.0), Refusal)  # one passed and one is out: no more are wanted
    made.settle(probes[1], OK, 31.0)
    assert made.state == "closed"


@pytest.mark.parametrize("outcome", [FAILED, SLOW, FAILED | SLOW])
def test_a_probe_that_is_not_good_opens_it_again(outcome):
    made = tripped()
    probe, other = made.admit(30.0), made.admit(30.0)
    made.settle(probe, outcome, 31.0)
    assert made.state == "open"
    made.settle(other, OK, 32.0)
    assert made.state == "open"
    assert made.admit(31.0).retry_after == 30.0


def test_a_probe_that_says_nothing_gives_its_place_back():
    made = tripped(probes=1)
    for _ in range(5):
        made.settle(made.admit(40.0), NEUTRAL, 40.0)
    assert made.state == "half-open"
    made.settle(made.admit(40.0), OK, 40.0)
    assert made.state == "closed"


def test_a_probe_that_hangs_is_one_that_failed():
    made = tripped(probes=1)
    hanging = made.admit(30.0)
    assert made.admit(89.0).retry_after == 1.0
    assert made.admit(90.0).retry_after == 30.0
    assert made.state == "open"
    made.settle(hanging, OK, 91.0)
    assert made.state == "open"


def test_the_time_of_probes_that_are_out_together_is_the_first_ones():
    made = tripped(probes=2)
    made.admit(30.0)
    made.admit(80.0)
    assert made.admit(89.0).state == "half-open"
    made.admit(90.0)
    assert made.state == "open"


def test_a_run_is_broken_by_a_success_in_a_window_of_seconds_too():
    rules = {"window_seconds": 10.0, "consecutive": 3, "failure_rate": math.inf}
    assert results(circuit(**rules), [FAILED, FAILED, OK] * 20).state == "closed"
    assert results(circuit(**rules), [FAILED] * 3).state == "open"


def test_a_half_open_circuit_that_nobody_calls_goes_on_waiting():
    made = tripped(probes=2)
    made.settle(made.admit(30.0), OK, 31.0)
    made.settle(made.admit(10_000.0), OK, 10_001.0)
    assert made.state == "closed"


def test_results_of_another_time_count_for_nothing():
    made = circuit(failure_rate=0.01, min_calls=1)
    early = [made.admit(0.0) for _ in range(3)]
    made.trip(0.0)
    made.settle(early[0], OK, 1.0)
    assert made.state == "open"
    probe = made.admit(30.0)
    made.settle(early[1], OK, 31.0)
    assert made.state == "half-open"
    made.reset(32.0)
    made.settle(early[2], FAILED, 33.0)
    made.settle(probe, FAILED, 33.0)
    assert (made.state, made.tally(33.0), made.failed) == ("closed", (0, 0, 0), 0)


def test_a_count_window_forgets_the_oldest():
    window = CountWindow(3, 0, 0.0)
    for outcome in [FAILED, FAILED | SLOW, SLOW, OK]:
        window.add(outcome, 0.0)
    assert window.tally(0.0) == (3, 1, 2)


def test_a_time_window_forgets_after_its_time():
    window = TimeWindow(10.0, 0.0)
    window.add(FAILED, 0.0)
    window.add(SLOW, 5.5)
    assert window.tally(9.9) == (2, 1, 1)
    assert window.tally(10.0) == (1, 0, 1)
    assert window.tally(1e9) == (0, 0, 0)


@given(st.lists(st.floats(0, 50), max_size=60))
def test_a_time_window_takes_no_more_room_than_its_buckets(steps):
    window, now = TimeWindow(10.0, 0.0), 0.0
    for step in steps:
        now += step
        window.add(FAILED, now)
        assert len(window._buckets) <= BUCKETS
        assert window.tally(now)[0] >= 1
