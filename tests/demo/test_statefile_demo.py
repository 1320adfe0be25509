"""The state file demo's work: the document, the agents, the dashboard, and each check made to fail."""

import json
import math
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfkit.demo import statefile_alone
from perfkit.demo.statefile_alone import Rounds, one_process, rounds_for
from perfkit.demo.statefile_before import Ordinary, TornFile, load_state, save_state
from perfkit.demo.statefile_checks import Alone, Together, alone_checks, together_checks
from perfkit.demo.statefile_mission import (
    AGENTS,
    as_text,
    check_in,
    counters,
    expected,
    has_nan,
    mission_state,
    with_board,
)
from perfkit.demo.statefile_together import AgentReport, DashboardReport, agent, comparisons, dashboard, updates_for

START, KEY = with_board(mission_state())


@settings(max_examples=30)
@given(st.recursive(st.none() | st.integers() | st.floats(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_document_gets_a_board(document):
    text = as_text(document)
    whole, key = with_board(document)
    assert as_text(document) == text
    assert counters(expected(whole, key, {"scout": 3}), key) == [3, 0, 0, 0, 0]
    board = whole.pop(key)
    assert list(board) == list(AGENTS)
    assert as_text(whole) == as_text(document if isinstance(document, dict) else {"document": document})


def test_the_order_of_the_agents_does_not_matter():
    one, other = (json.loads(as_text(START)) for _ in range(2))
    for name in ("scout", "herald", "scout"):
        check_in(one, KEY, name)
    for name in ("scout", "scout", "herald"):
        check_in(other, KEY, name)
    assert as_text(one) == as_text(other) == as_text(expected(START, KEY, {"scout": 2, "herald": 1}))


@pytest.mark.parametrize(("value", "is_one"), [(math.nan, True), (math.inf, True), (1e308, False)])
def test_has_nan(value, is_one):
    assert has_nan({"a": [value]}) is is_one


@given(st.integers(2, 10**9), st.booleans(), st.floats(1e-6, 1e3))
def test_large_documents_get_fewer_rounds_but_some(size, quick, typical):
    rounds = rounds_for(size, quick)
    assert rounds.updates >= 1
    assert rounds.polls >= 2
    assert rounds.updates * size <= max(size, 500_000)
    assert 5 <= updates_for(typical, quick) <= updates_for(1e-6, quick)


# Checks that must fail


def alone(**changes):
    good = Alone(polls=10, missed=0, final=expected(START, KEY, {"scout": 2}))
    return alone_checks(START, KEY, {"scout": 2}, good, [good, Alone(**{**_fields(good), **changes})])


def together(**changes):
    saved = [3, 2, 1, 0, 4]
    final = expected(START, KEY, dict(zip(AGENTS, saved, strict=True)))
    good = Together(saved, 0, 20, 0, 0, saved, is_valid=True, final=final)
    return together_checks(START, KEY, good, Together(**{**_fields(good), **changes}))


def _fields(outcome):
    return {name: getattr(outcome, name) for name in outcome.__slots__}


def failed(checks):
    return {check.what: (check.after.bad, check.after.of) for check in checks if not check.passed}


def test_good_results_pass():
    assert failed([*alone(), *together()]) == {}


def test_bad_results_of_one_process_fail():
    assert failed(alone(final=START)) == {"final document not as expected": (1, 2)}
    assert failed(alone(missed=3)) == {"polls that missed an update": (3, 20)}


def test_a_wrong_ordinary_way_fails_too_alone():
    good, bad = Alone(10, 0, START), Alone(10, 1, {})
    assert len(failed(alone_checks(START, KEY, {}, bad, [good]))) == 2


LOST = expected(START, KEY, dict(zip(AGENTS, [3, 2, 0, 0, 1], strict=True)))


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"given_up": 2}, {"updates given up, file torn at each try": (2, 12)}),
        ({"unreadable": 1}, {"polls that found the file unreadable": (1, 20)}),
        ({"missed": 1}, {"polls that missed a saved update": (1, 20)}),
        ({"last": [3, 2, 1, 0, 3]}, {"last poll not the final state": (1, 1)}),
        ({"last": None}, {"last poll not the final state": (1, 1)}),
        ({"final": {**LOST, KEY: START[KEY]}}, None),
        ({"final": LOST, "last": [3, 2, 0, 0, 1]}, None),
    ],
)
def test_bad_results_of_several_processes_fail(changes, found):
    lost = {"updates lost": (10 - sum(counters(changes["final"], KEY)), 10)} if "final" in changes else {}
    wrong = {"final document not as expected": (1, 1)} if "final" in changes else {}
    late = {"last poll not the final state": (1, 1)} if "final" in changes and "last" not in changes else {}
    assert failed(together(**changes)) == (found or lost | wrong | late)


def test_a_file_that_cannot_be_read_at_the_end_has_lost_everything():
    assert failed(together(is_valid=False, final=None)) == {
        "updates lost": (10, 10),
        "last poll not the final state": (1, 1),
        "file unreadable at the end": (1, 1),
        "final document not as expected": (1, 1),
    }


def test_another_change_in_the_document_fails():
    final = json.loads(as_text(expected(START, KEY, dict(zip(AGENTS, [3, 2, 1, 0, 4], strict=True)))))
    final["mission"]["day"] += 1
    assert failed(together(final=final)) == {"final document not as expected": (1, 1)}


class StaleReader(statefile_alone.WithPerfkit):
    """What a cache that trusts time stamps would do: it shows what it read first."""

    def poll(self):
        self.__dict__.setdefault("first", super().poll())
        return self.first


class ForgetfulWriter(statefile_alone.WithPerfkit):
    """Drops every third update."""

    def update(self, change):
        self.__dict__["calls"] = self.__dict__.get("calls", 0) + 1
        if self.__dict__["calls"] % 3:
            super().update(change)


@pytest.mark.parametrize(
    ("way", "found"),
    [
        (StaleReader, {"polls that missed an update"}),
        (ForgetfulWriter, {"polls that missed an update", "final document not as expected"}),
    ],
)
def test_a_real_run_with_a_broken_part_is_caught(way, found, tmp_path, monkeypatch):
    monkeypatch.setattr(statefile_alone, "WithPerfkit", way)
    section = one_process(str(tmp_path), START, KEY, Rounds(2, 4, 2, 60.0), lambda doing: None)
    assert set(failed(section.checks)) == found


# The ordinary way, the agents, the dashboard


def test_the_ordinary_way_gives_up_on_a_torn_file(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(as_text(START)[:500])
    with pytest.raises(TornFile):
        Ordinary(str(path)).update(partial(check_in, key=KEY, agent="scout"))
    assert path.read_text() == as_text(START)[:500]


class Script:
    """A way that gives prepared answers: documents to return and errors to raise."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def poll(self):
        return self._next()

    def update(self, change):
        self._next()

    def _next(self):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def showing(*counts):
    return {KEY: {name: {"updates": count} for name, count in zip(AGENTS, counts, strict=True)}}


def test_the_dashboard_counts_what_is_unreadable_or_older_than_it_must_be():
    answers = [
        showing(1, 0, 0, 0, 0),
        showing(2, 5, 0, 0, 0),  # newer than what is known to be saved: fine
        showing(2, 4, 0, 0, 0),  # back in time
        showing(0, 5, 0, 0, 0),  # without a saved update
        ValueError("half a file"),
        {KEY: {}},
        showing(2, 5, 0, 0, 0),
    ]
    way = Script(*answers)
    report = dashboard(lambda: len(way.answers) == 1, lambda: way, KEY, [1, 0, 0, 0, 0])
    assert (len(report.durations), report.unreadable, report.missed) == (5, 2, 2)
    assert report.last == [2, 5, 0, 0, 0]


def test_a_last_poll_that_fails_shows_nothing():
    way = Script(showing(1, 0, 0, 0, 0), ValueError())
    report = dashboard(lambda: len(way.answers) == 1, lambda: way, KEY, [0, 0, 0, 0, 0])
    assert (report.last, report.unreadable) == (None, 1)


def test_an_agent_counts_as_saved_what_returned():
    saved = [0] * len(AGENTS)
    way = Script(None, TornFile(), None, None)
    report = agent(lambda: False, lambda: way, KEY, "planner", 4, saved)
    assert (len(report.durations), report.given_up) == (3, 1)
    assert saved == [0, 3, 0, 0, 0]


def test_an_agent_stops_when_it_is_over():
    report = agent(lambda: True, Script, KEY, "planner", 4, [0] * len(AGENTS))
    assert report == ([], 0)


def test_what_was_never_done_the_ordinary_way_is_not_compared():
    nothing, something = AgentReport([], 3), AgentReport([0.001], 0)
    idle, busy = DashboardReport([], 5, 0, None), DashboardReport([0.002, 0.003], 0, 0, [0] * 5)
    assert comparisons([nothing], idle, [something], busy) == ()
    (polls,) = comparisons([nothing], busy, [something], busy)
    assert (polls.before.count, polls.after[0].count) == (2, 2)
    (updates,) = comparisons([nothing, something], idle, [something, something], busy)
    assert (updates.before.count, updates.after[0].count) == (1, 2)


def test_updates_that_are_lost_the_ordinary_way_are_seen(tmp_path):
    path = str(tmp_path / "state.json")
    save_state(path, START)
    stale = load_state(path)
    Ordinary(path).update(partial(check_in, key=KEY, agent="scout"))
    save_state(path, stale)  # as an agent does that had loaded before
    saved = [1, 0, 0, 0, 0]
    way = Together(saved, 0, 1, 0, 0, counters(stale, KEY), is_valid=True, final=load_state(path))
    assert failed(together_checks(START, KEY, way, way))["updates lost"] == (1, 1)
