"""What a closed circuit remembers of the calls it let through: the last so many, or those of the last so many seconds.

A window is also the closed period itself: a result that comes for another window is of another time.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Tally = tuple[int, int, int]  # calls, those that failed, those that were slow

__all__ = ["FAILED", "NEUTRAL", "OK", "SLOW", "CountWindow", "TimeWindow"]

# How a call went. A call can be both of FAILED and SLOW. NEUTRAL says nothing of the service.
OK, FAILED, SLOW, NEUTRAL = 0, 1, 2, 4

BUCKETS = 10  # so much of a time window goes at once: a tenth


class CountWindow:
    """The last ``length`` outcomes, and where that is more, as many as a run of failures takes to trip.

    ``record(outcome)`` is a deque's own append, one atomic step: whoever has only good news to bring takes no lock.
    """

    __slots__ = ("_length", "_outcomes", "record", "since")

    state = "closed"

    def __init__(self, length: int, run: int, since: float) -> None:
        self.since = since
        self._length = length
        self._outcomes: deque[int] = deque(maxlen=max(length, run))
        self.record: Callable[[int], object] = self._outcomes.append

    def add(self, outcome: int, now: float) -> None:  # noqa: ARG002 (the shape of a window)
        """Remember how a call went."""
        self.record(outcome)

    def tally(self, now: float) -> Tally:  # noqa: ARG002 (the shape of a window)
        """Return the number of calls, of those that failed, and of those that were slow."""
        outcomes = self._outcomes.copy()  # in one step: others may be recording
        last = list(islice(outcomes, max(0, len(outcomes) - self._length), None))
        return len(last), sum(outcome & FAILED for outcome in last), sum(outcome & SLOW for outcome in last) // SLOW

    def ends_in(self, failures: int) -> bool:
        """Tell whether the last so many calls have all failed."""
        outcomes = self._outcomes.copy()
        return len(outcomes) >= failures and all(outcome & FAILED for outcome in islice(reversed(outcomes), failures))


class TimeWindow:
    """The outcomes of the last ``seconds``, in buckets of a tenth of that, which are dropped one at a time."""

    __slots__ = ("_buckets", "_run", "_width", "since")

    state = "closed"

    def __init__(self, seconds: float, since: float) -> None:
        self.since = since
        self._width = seconds / BUCKETS
        self._buckets: deque[list[int]] = deque()  # number, calls, failures, slow ones; by ascending number
        self._run = 0

    def add(self, outcome: int, now: float) -> None:
        """Remember how a call went."""
        self._run = self._run + 1 if outcome & FAILED else 0
        number = self._expire(now)
        if not self._buckets or self._buckets[-1][0] < number:
            self._buckets.append([number, 0, 0, 0])
        bucket = self._buckets[-1]
        bucket[1] += 1
        bucket[2] += outcome & FAILED
        bucket[3] += (outcome & SLOW) // SLOW

    def tally(self, now: float) -> Tally:
        """Return the number of calls, of those that failed, and of those that were slow."""
        self._expire(now)
        return (
            sum(bucket[1] for bucket in self._buckets),
            sum(bucket[2] for bucket in self._buckets),
            sum(bucket[3] for bucket in self._buckets),
        )

    def ends_in(self, failures: int) -> bool:
        """Tell whether the last so many calls have all failed, however long ago."""
        return self._run >= failures

    def _expire(self, now: float) -> int:
        """Drop the buckets that are too old; return the number of the one that is now."""
        number = int((now - self.since) // self._width)
        while self._buckets and self._buckets[0][0] <= number - BUCKETS:
            self._buckets.popleft()
        return number
