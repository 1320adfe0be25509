"""When a heartbeat beats, what is a miss, and when its peer is lost and back. Decides alone: no clock, no thread.

At most one beat is under way. One that is not back in time is a miss, and so is each ``every`` that it hangs on.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Event = Literal["lost", "back"]

__all__ = ["Beats", "Step"]


class Step:
    """What is to be done now: the beat of that number begun, the event told; and when to ask again."""

    __slots__ = ("begin", "event", "wait")

    def __init__(self, begin: int | None, event: Event | None, wait: float) -> None:
        self.begin = begin
        self.event = event
        self.wait = wait  # seconds, above 0


class Beats:
    """The beats of one heartbeat. ``now`` is seconds on a clock that doesn't go backwards."""

    __slots__ = (
        "_due",
        "_every",
        "_limit",
        "_number",
        "_overdue",
        "_timeout",
        "_under_way",
        "_was_missed",
        "beats",
        "began",
        "good",
        "in_row",
        "is_lost",
        "last_success",
        "misses",
        "times_lost",
    )

    def __init__(self, every: float, timeout: float, limit: int) -> None:
        self._every = every
        self._timeout = timeout
        self._limit = limit
        self._due = 0.0  # when the next beat is
        self._overdue = 0.0  # when the one under way is the next miss
        self._number = 0
        self._under_way: int | None = None  # its number
        self._was_missed = False  # so nothing that becomes of it counts
        self.began = 0.0
        self.is_lost = False
        self.beats = 0
        self.good = 0
        self.misses = 0
        self.in_row = 0
        self.times_lost = 0
        self.last_success: float | None = None

    def start(self, now: float) -> None:
        """Beat from now on. The peer is taken to be there until it is found missing."""
        self._was_missed = True  # what is under way since before doesn't count
        self.is_lost = False
        self.in_row = 0
        self._due = now
        self._overdue = now + self._timeout

    def stop(self) -> None:
        """Beat no more. What becomes of a beat under way doesn't count; none begins beside it."""
        self._was_missed = True

    def abandon(self) -> None:
        """Forget the beat under way, where nothing will ever be heard of it."""
        self._under_way = None

    def tick(self, now: float) -> Step:
        """Return what is to be done now. It may be asked too early, and too late."""
        event, begin = None, None
        if self._under_way is not None and now >= self._overdue:
            self._was_missed = True
            self._overdue = _next(self._overdue, self._every, now)
            event = self._miss()
        if now >= self._due:
            self._due = _next(self._due, self._every, now)
            begin = self._begin(now)
        upcoming = self._due if self._under_way is None else min(self._due, self._overdue)
        return Step(begin, event, upcoming - now)

    def _begin(self, now: float) -> int | None:
        if self._under_way is not None:
            return None
        self._number += 1
        self.beats += 1
        self._under_way = self._number
        self._was_missed = False
        self._overdue = now + self._timeout
        self.began = now
        return self._number

    def ended(self, number: int, now: float, *, is_good: bool) -> Event | None:
        """Take note that a beat is back; return what is to be told."""
        if number != self._under_way:
            return None
        self._under_way = None
        if self._was_missed:
            return None
        if not is_good or now >= self._overdue:
            return self._miss()
        self.last_success = now
        self.good += 1
        self.in_row = 0
        was_lost, self.is_lost = self.is_lost, False
        return "back" if was_lost else None

    def _miss(self) -> Event | None:
        self.misses += 1
        self.in_row += 1
        if self.is_lost or self.in_row < self._limit:
            return None
        self.is_lost = True
        self.times_lost += 1
        return "lost"


def _next(at: float, every: float, now: float) -> float:
    """Return the next time after ``at`` that is after ``now``; what was slept through is not made up for."""
    return at + every if at + every > now else now + every
