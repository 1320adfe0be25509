"""When to look again, and when to try again. Decides alone: the time is passed in."""

from __future__ import annotations

import math

__all__ = ["BackOff", "Rate", "Throttle", "interval"]

WORST_RATE = 2 * 2.0**30  # bytes a second: about what one thread can take that touches each page
AT_ONCE = 0.02  # seconds: the shortest time to the next look, and two turns of other threads at the interpreter
SOON = 0.05  # seconds
SHORTEST, LONGEST = 0.01, 1.0  # seconds from one look to the next

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_GROWN = 0.02  # of the limit: so much more is a new situation
_EFFECTIVE_SHARE, _VAIN_SHARE = 0.05, 0.01


def interval(headroom: float, rate: float, *, at_most: float = LONGEST) -> float:
    """Return how many seconds may go by until the next look.

    By then no more than the headroom can be gone at the worst rate, and half of it at the rate that was seen.
    """
    return max(SHORTEST, min(LONGEST, at_most, headroom / max(WORST_RATE, 2 * rate)))


class Rate:
    """The fastest growth that was seen lately, in bytes a second; it fades by a fifth a look."""

    __slots__ = ("_last", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self._last: tuple[float, int] | None = None

    def update(self, now: float, used: int) -> float:
        """Take note of a measurement; return the rate."""
        seen = 0.0
        if self._last is not None:
            seen = (used - self._last[1]) / max(now - self._last[0], SHORTEST / 2)  # a step is no rate
        self._last = now, used
        self.value = max(seen, self.value * 0.8)
        return self.value


class BackOff:
    """When a pass may be made. One that changed nothing doubles the pause, unless usage has grown since."""

    __slots__ = ("_pause", "_used", "next_at")

    def __init__(self) -> None:
        self._pause = 0.0
        self._used: float = math.inf
        self.next_at = -math.inf

    def allows(self, now: float, used: int, limit: int) -> bool:
        """Tell whether a pass is worth it."""
        return now >= self.next_at or used - self._used >= _GROWN * limit

    def made(self, now: float, used: int, *, was_effective: bool) -> None:
        """Take note that a pass was made, and what is used after it."""
        if was_effective:
            self._pause, self._used, self.next_at = 0.0, math.inf, -math.inf
            return
        self._pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * self._pause))
        self._used, self.next_at = used, now + self._pause


class Throttle:
    """Keeps something that stalls the whole process a small part of the time; smaller where it was in vain."""

    __slots__ = ("_next_at",)

    def __init__(self) -> None:
        self._next_at = -math.inf

    def allows(self, now: float) -> bool:
        """Tell whether it may be done."""
        return now >= self._next_at

    def made(self, now: float, took: float, *, was_effective: bool) -> None:
        """Take note that it was done, ending now."""
        self._next_at = now + took / (_EFFECTIVE_SHARE if was_effective else _VAIN_SHARE)
