"""What must be true of the state file demo's results, counted. Pure: the outcomes of both ways in, checks out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from perfkit.demo.results import Check, Count
from perfkit.demo.statefile_mission import AGENTS, as_text, counters, expected

__all__ = ["Alone", "Together", "alone_checks", "together_checks"]


@dataclass(frozen=True, slots=True)
class Alone:
    """What came of one way in one process.

    ``missed`` of the ``polls`` did not show every update; ``final`` is the document in the file at the end.
    """

    polls: int
    missed: int
    final: Any


@dataclass(frozen=True, slots=True)
class Together:
    """What came of one way with agents in processes of their own and a dashboard in another.

    ``saved`` counts each agent's updates that returned, in the order of AGENTS; ``given_up`` those of all that raised.
    Of the dashboard's ``polls``, ``unreadable`` were no document, and ``missed`` showed less than had been saved before
    the poll or shown by an earlier one; ``last`` is what its last one showed, made after the last save. ``is_valid``
    tells whether the file can be read at the end, as ``final``.
    """

    saved: Sequence[int]
    given_up: int
    polls: int
    unreadable: int
    missed: int
    last: Sequence[int] | None
    is_valid: bool
    final: Any


def alone_checks(
    start: Any, key: str, updates: dict[str, int], before: Alone, after: Sequence[Alone]
) -> tuple[Check, ...]:
    """Return the checks of one process that made ``updates`` (agent -> how many) of ``start``, in each of the ways."""
    goal = as_text(expected(start, key, updates))
    return (
        Check(
            "final document not as expected",
            Count(int(as_text(before.final) != goal), 1),
            Count(sum(as_text(way.final) != goal for way in after), len(after)),
            both=True,
        ),
        Check(
            "polls that missed an update",
            Count(before.missed, before.polls),
            Count(sum(way.missed for way in after), sum(way.polls for way in after)),
            both=True,
        ),
    )


def together_checks(start: Any, key: str, before: Together, after: Together) -> tuple[Check, ...]:
    """Return the checks of several processes that worked on one file, which began as ``start``."""
    counted = (
        ("updates lost", _lost),
        ("updates given up, file torn at each try", _given_up),
        ("polls that found the file unreadable", _unreadable),
        ("polls that missed a saved update", _missed),
        ("last poll not the final state", _last_differs),
        ("file unreadable at the end", _invalid),
        ("final document not as expected", _differs),
    )
    return tuple(Check(what, count(start, key, before), count(start, key, after)) for what, count in counted)


def _lost(_start: Any, key: str, way: Together) -> Count:
    """Updates that returned and are not in the file; a file that can't be read has none."""
    return Count(max(0, sum(way.saved) - sum(_present(key, way))), sum(way.saved))


def _given_up(_start: Any, _key: str, way: Together) -> Count:
    return Count(way.given_up, sum(way.saved) + way.given_up)


def _unreadable(_start: Any, _key: str, way: Together) -> Count:
    return Count(way.unreadable, way.polls)


def _missed(_start: Any, _key: str, way: Together) -> Count:
    return Count(way.missed, way.polls - way.unreadable)


def _last_differs(_start: Any, key: str, way: Together) -> Count:
    return Count(int(way.last is None or list(way.last) != _present(key, way)), 1)


def _invalid(_start: Any, _key: str, way: Together) -> Count:
    return Count(int(not way.is_valid), 1)


def _differs(start: Any, key: str, way: Together) -> Count:
    goal = expected(start, key, dict(zip(AGENTS, way.saved, strict=True)))
    return Count(int(as_text(way.final) != as_text(goal)), 1)


def _present(key: str, way: Together) -> list[int]:
    """How many updates of each agent the final file shows."""
    try:
        return counters(way.final, key)
    except (LookupError, TypeError):  # no document, or a mixture of two
        return [0] * len(AGENTS)
