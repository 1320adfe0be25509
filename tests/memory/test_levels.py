"""Levels don't flutter; last resorts come in order, each with its time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.memory.levels import LEVELS, Escalation, Levels
from perfkit.memory.verdict import Verdict


def test_a_level_is_left_lower_than_it_is_entered():
    levels = Levels(0.8, 0.7, 0.95)
    seen = []
    for fraction in (0.5, 0.79, 0.8, 0.75, 0.7, 0.69, 0.96, 0.9, 0.88, 0.87, 0.71, 0.1):
        levels.update(fraction)
        seen.append(levels.level)
    assert seen == [
        *("ok", "ok", "high", "high", "high", "ok"),
        *("critical", "critical", "critical", "high", "high", "ok"),
    ]


@given(st.lists(st.floats(0, 1.5)))
def test_changes_are_told_once_and_agree_with_the_mark(fractions):
    levels, level = Levels(0.8, 0.7, 0.95), "ok"
    for fraction in fractions:
        before = levels.update(fraction)
        assert before == (level if levels.level != level else None)
        level = levels.level
        assert level in LEVELS
        if fraction >= 0.95:
            assert level == "critical"
        elif fraction >= 0.8:
            assert level != "ok"
        elif fraction < 0.7:
            assert level == "ok"
        else:
            assert level != "critical"


def test_last_resorts_come_one_after_the_other():
    escalation = Escalation(["restart", "terminate", "kill"], grace=5)
    done = [(now, escalation.update(now, is_hopeless=True)) for now in range(14)]
    assert [entry for entry in done if entry[1]] == [(0, "restart"), (5, "terminate"), (10, "kill")]


def test_they_begin_anew_when_there_is_hope():
    escalation = Escalation(["restart", "terminate"], grace=5)
    assert escalation.update(0, is_hopeless=True) == "restart"
    assert escalation.update(4, is_hopeless=False) is None
    assert escalation.update(6, is_hopeless=True) == "restart"


def test_none_where_none_is_asked_for():
    assert Escalation([], grace=5).update(0, is_hopeless=True) is None


def first_at(verdict, seconds, step=0.01, **looks):
    """Return when it kills, looking every ``step``."""
    looked = (number * step for number in range(int(seconds / step) + 1))
    return next((now for now in looked if verdict.update(now, **looks)), None)


@pytest.mark.parametrize(
    ("fraction", "is_excused", "patience"),
    [(0.96, False, 1.0), (1.2, False, 0.1), (0.96, True, 10.0), (1.2, True, 10.0)],
)
def test_the_sidecar_kills_who_gives_no_sign_of_life(fraction, is_excused, patience):
    killed = first_at(Verdict(0.95), 20, fraction=fraction, beats=3, is_excused=is_excused)
    assert killed == pytest.approx(patience, abs=0.03)


def test_the_sidecar_spares_who_beats_and_who_is_below():
    verdict = Verdict(0.95)
    assert not any(verdict.update(now, 1.1, beats=now) for now in range(100))
    assert not any(verdict.update(now, 0.94, beats=0) for now in range(100, 200))
    assert not verdict.update(200, 0.96, beats=0)  # its patience begins here


def test_time_that_the_sidecar_itself_did_not_get_does_not_count():
    verdict = Verdict(0.95)
    assert not verdict.update(0.0, 1.2, beats=3)
    assert not verdict.update(5.0, 1.2, beats=3)
    assert verdict.update(5.06, 1.2, beats=3)
