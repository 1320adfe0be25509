"""`Group` and `replay`: nobody is lost, nobody is applied twice, and who fails fails alone."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perfkit.statefile.grouping import Group, replay


class Job:
    def __init__(self, fn=None):
        self.fn = fn
        self.result = self.error = None
        self.done = False


class Machine(RuleBasedStateMachine):
    """The drivers' protocol: the leader takes, commits or not, and finishes; others submit and withdraw meanwhile."""

    def __init__(self):
        super().__init__()
        self.group = Group()
        self.waiting, self.batch, self.leader = [], [], None

    @rule()
    def submit(self):
        job = Job()
        self.group.submit(job)
        assert (self.group.leader is job) is (self.leader is None)
        self.leader = self.leader or job
        self.waiting.append(job)

    @precondition(lambda self: self.leader and not self.batch)
    @rule()
    def take(self):
        self.batch = self.group.take()
        assert list(self.batch) == self.waiting
        self.waiting = []

    @precondition(lambda self: self.leader)
    @rule(committed=st.booleans())
    def finish(self, committed):
        for job in self.batch:
            job.done = committed
        back = [] if committed else [job for job in self.batch if job is not self.leader]
        self.waiting = [job for job in back + self.waiting if job is not self.leader]
        following = self.group.finish(self.leader)
        assert self.group.finish(self.leader) is following, "the second time changed something"
        assert following is (self.waiting[0] if self.waiting else None)
        self.leader, self.batch = following, []
        assert self.group.leader is following

    @precondition(lambda self: [job for job in (*self.waiting, *self.batch) if job is not self.leader])
    @rule(data=st.data())
    def withdraw(self, data):
        job = data.draw(st.sampled_from([job for job in (*self.waiting, *self.batch) if job is not self.leader]))
        assert self.group.withdraw(job) is (job in self.waiting)
        if job in self.waiting:
            self.waiting.remove(job)

    @invariant()
    def agrees(self):
        assert list(self.group.waiting) == self.waiting


TestGroup = Machine.TestCase


def add(number):
    def fn(document):
        document["sum"] = document.get("sum", 0) + number
        document.setdefault("order", []).append(number)
        return number

    return fn


def spoil(document):
    document["sum"] = "spoiled"
    raise ZeroDivisionError


def poison(document):
    document["bad"] = {1, 2}


KINDS = st.one_of(st.integers(0, 99).map(add), st.just(spoil), st.just(poison))


@given(st.lists(KINDS, max_size=8))
def test_the_outcome_is_that_of_each_alone_in_order(functions):
    start = {"kept": [1]}
    jobs = [Job(fn) for fn in functions]
    encoded, good = replay(jobs, lambda: copy.deepcopy(start), json.dumps)
    expected = copy.deepcopy(start)
    for job in jobs:
        if job.fn is spoil:
            assert isinstance(job.error, ZeroDivisionError)
        elif job.fn is poison:
            assert isinstance(job.error, TypeError)
        else:
            assert job.error is None
            assert job.result == job.fn(expected)
    assert good == [job for job in jobs if job.error is None]
    assert encoded == (json.dumps(expected) if good else None)


def test_one_that_fails_only_the_second_time_fails_alone():
    runs = []

    def moody(document):
        runs.append(1)
        if len(runs) > 1:
            raise LookupError
        document["moody"] = True

    jobs = [Job(moody), Job(spoil), Job(add(1))]
    encoded, good = replay(jobs, dict, json.dumps)
    assert (json.loads(encoded), good) == ({"sum": 1, "order": [1]}, [jobs[2]])
    assert isinstance(jobs[0].error, LookupError)


def test_what_nobody_can_be_blamed_for_fails_all():
    def encode(document):
        if len(document.get("order", ())) > 1:
            raise ValueError("too many")
        return json.dumps(document)

    tries = []

    def flaky(document):
        tries.append(encode)
        if len(tries) % 2:
            raise ValueError("every second time")
        return encode(document)

    jobs = [Job(add(1)), Job(add(2))]
    encoded, good = replay(jobs, dict, encode)
    assert json.loads(encoded)["order"] == [1]
    assert (good, type(jobs[1].error)) == ([jobs[0]], ValueError)
    jobs = [Job(add(1)), Job(add(2))]
    replay(jobs, dict, flaky)
    assert all(job.error is not None or job.result for job in jobs)


def test_an_interrupt_is_nobodys_error():
    def interrupted(document):
        raise KeyboardInterrupt

    jobs = [Job(add(1)), Job(interrupted)]
    with pytest.raises(KeyboardInterrupt):
        replay(jobs, dict, json.dumps)
    assert [job.error for job in jobs] == [None, None]


def test_an_exit_belongs_to_the_function_that_raised_it():
    def leave(document):
        raise SystemExit(3)

    jobs = [Job(leave), Job(add(1))]
    _, good = replay(jobs, dict, json.dumps)
    assert (type(jobs[0].error), good) == (SystemExit, [jobs[1]])
