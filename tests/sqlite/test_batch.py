"""The pure core of group commit, against a naive model of it, with a sink that fails at random."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from perfkit.sqlite.batch import Failed, Queue, settle


class Waiter:
    def __init__(self, number):
        self.number = number
        self.gave_up = False
        self.outcomes = []

    def cancelled(self):
        return self.gave_up


class Lost(Exception):
    """The sink lost the transaction."""


class MemorySink:
    """A sink that keeps a list, and counts what it does. ``work`` is what a number does: "ok", "bad" fails alone,
    "fatal" takes the transaction along, "poison" makes the commit fail."""

    def __init__(self, faults=()):
        self.kept = []
        self.is_open = False
        self.transactions = 0
        self.applied = 0
        self._pending = []
        self._faults = deque(faults)

    def _fault(self, name):
        if self._faults and self._faults[0] == name:
            self._faults.popleft()
            return True
        return False

    def begin(self):
        assert not self.is_open
        if self._fault("begin"):
            raise BlockingIOError("busy")
        self.is_open, self._pending = True, []
        self.transactions += 1

    def apply(self, work, number):
        assert self.is_open
        self.applied += 1
        if work == "bad":
            raise ValueError(number)
        if work == "fatal" or self._fault("apply"):
            self.is_open, self._pending = False, []
            raise Lost(number)
        self._pending.append((work, number))
        return number

    def commit(self):
        assert self.is_open
        if self._fault("commit") or any(work == "poison" for work, _ in self._pending):
            raise Lost("commit")
        self.kept += [number for _, number in self._pending]
        self.is_open = False

    def rollback(self):
        self.is_open, self._pending = False, []

    def single(self, work, number, alone):
        self.begin()
        try:
            result = self.apply(work, number)
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return result


def operations(works):
    return [(Waiter(number), work, number, False) for number, work in enumerate(works)]


def shown(outcomes):
    return [type(outcome.error).__name__ if isinstance(outcome, Failed) else outcome for outcome in outcomes]


WORKS = st.lists(st.sampled_from(["ok"] * 6 + ["bad", "fatal", "poison"]), min_size=1, max_size=30)


@given(WORKS)
def test_each_operation_has_the_outcome_it_would_have_alone(works):
    batch = operations(works)
    sink, outcomes = MemorySink(), None
    outcomes = settle(sink, batch)
    alone = MemorySink()
    expected = []
    for _, work, number, _ in batch:
        try:
            expected.append(alone.single(work, number, False))
        except Exception as error:
            expected.append(type(error).__name__)
    assert shown(outcomes) == expected
    assert sink.kept == alone.kept == [number for number, work in enumerate(works) if work == "ok"]
    assert not sink.is_open


@given(WORKS, st.lists(st.sampled_from(["begin", "apply", "commit"]), max_size=12))
def test_whatever_the_sink_does_acknowledged_is_kept_and_failed_is_not(works, faults):
    sink = MemorySink(faults)
    outcomes = settle(sink, operations(works))
    assert len(outcomes) == len(works)
    assert sink.kept == [outcome for outcome in outcomes if not isinstance(outcome, Failed)]
    assert sink.kept == sorted(set(sink.kept)), "twice, or out of order"
    assert not sink.is_open


@pytest.mark.parametrize("kind", ["fatal", "poison"])
@pytest.mark.parametrize("place", [0, 1, 500, 998, 999])
def test_one_of_a_thousand_is_found_in_few_steps(kind, place):
    works = ["ok"] * 1000
    works[place] = kind
    sink = MemorySink()
    outcomes = settle(sink, operations(works))
    assert sum(isinstance(outcome, Failed) for outcome in outcomes) == 1
    assert isinstance(outcomes[place], Failed)
    assert sink.transactions <= 2 * 10 + 2
    assert sink.applied <= (2000 if kind == "fatal" else 3000)


def test_a_clean_batch_is_one_transaction():
    sink = MemorySink()
    assert settle(sink, operations(["ok", "bad"] * 10)) != []
    assert sink.transactions == 1


def test_a_transaction_that_cannot_begin_is_everybodys_error_and_each_has_its_own():
    sink = MemorySink(["begin"])
    outcomes = settle(sink, operations(["ok"] * 3))
    assert shown(outcomes) == ["BlockingIOError"] * 3
    assert len({id(outcome.error) for outcome in outcomes}) == 3
    assert sink.applied == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_is_an_outcome_too(error):
    class Sink(MemorySink):
        def apply(self, work, number):
            if work == "odd":
                raise error
            return super().apply(work, number)

    sink = Sink()
    assert shown(settle(sink, operations(["ok", "odd", "ok"]))) == [0, error.__name__, 2]
    assert shown(settle(sink, operations(["odd"]))) == [error.__name__]


class QueueMachine(RuleBasedStateMachine):
    """Submitting, giving up and taking, beside a list."""

    def __init__(self):
        super().__init__()
        self.queue = Queue(max_batch=5)
        self.model = []
        self.number = 0
        self.taken = []

    @rule(alone=st.booleans())
    def submit(self, alone):
        operation = (Waiter(self.number), "ok", self.number, alone)
        self.number += 1
        self.queue.waiting.append(operation)
        self.model.append(operation)

    @rule(data=st.data())
    def give_up(self, data):
        if self.model:
            data.draw(st.sampled_from(self.model))[0].gave_up = True

    @rule()
    def take(self):
        looked_at = self.model[:5]
        expected = []
        for operation in looked_at:
            if operation[0].gave_up:
                self.model.remove(operation)
            elif operation[3] and expected:
                break
            else:
                expected.append(operation)
                self.model.remove(operation)
                if operation[3]:
                    break
        batch = self.queue.take()
        assert batch == expected
        self.taken += batch

    @invariant()
    def in_order_and_each_once(self):
        numbers = [number for _, _, number, _ in self.taken]
        assert numbers == sorted(set(numbers))
        assert list(self.queue.waiting) == self.model


TestQueue = QueueMachine.TestCase
