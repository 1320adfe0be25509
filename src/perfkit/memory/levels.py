"""How bad it is, and what is done when nothing helps. Decides alone: no clock, no thread."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    Level = Literal["ok", "high", "critical"]
    Measure = Literal["restart", "terminate", "kill"]

__all__ = ["LEVELS", "Escalation", "Levels"]

LEVELS: tuple[Level, ...] = ("ok", "high", "critical")


class Levels:
    """The level of usage. It is entered at one fraction and left at a lower one, so that it doesn't flutter."""

    __slots__ = ("_critical", "_high", "_leaves_critical", "_low", "level")

    def __init__(self, high: float, low: float, critical: float) -> None:
        self._high = high
        self._low = low
        self._critical = critical
        self._leaves_critical = (high + critical) / 2
        self.level: Level = "ok"

    def update(self, fraction: float) -> Level | None:
        """Take note of a measurement; return the level that was left, or None if it is the same."""
        before = self.level
        self.level = self._next(fraction)
        return None if self.level == before else before

    def _next(self, fraction: float) -> Level:
        if fraction >= self._critical or (self.level == "critical" and fraction >= self._leaves_critical):
            return "critical"
        if fraction >= self._high or (self.level != "ok" and fraction >= self._low):
            return "high"
        return "ok"


class Escalation:
    """The last resorts, one after the other, each with its time to work, for as long as usage stays critical."""

    __slots__ = ("_done", "_due", "_grace", "_measures")

    def __init__(self, measures: Sequence[Measure], grace: float) -> None:
        self._measures = tuple(measures)
        self._grace = grace
        self._done = 0
        self._due: float | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether there is any."""
        return bool(self._measures)

    def update(self, now: float, *, is_hopeless: bool) -> Measure | None:
        """Return what is to be done now. ``is_hopeless``: usage is critical, and a pass has changed nothing."""
        if not is_hopeless:
            self._done, self._due = 0, None
            return None
        if self._done == len(self._measures) or (self._due is not None and now < self._due):
            return None
        measure = self._measures[self._done]
        self._done += 1
        self._due = now + self._grace
        return measure
