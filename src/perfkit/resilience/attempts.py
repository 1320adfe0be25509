"""When a failed attempt is made again, and after how long. Decides alone: it neither waits nor knows the time.

Waits have *full jitter*: they are drawn evenly from 0 to a ceiling that doubles. Marc Brooker, "Exponential Backoff And
Jitter" (AWS Architecture Blog, 2015), shows that this spreads clients best. It stays so at the largest ceiling, where
libraries that add a little jitter and cut the sum off have all clients return in step.
"""

from __future__ import annotations

from collections import deque

from perfkit._base.exceptions import described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Reason = Literal["attempts", "timeout", "budget", "not retryable"]

__all__ = ["ATTEMPTS", "BUDGET", "NOT_RETRYABLE", "TIMEOUT", "Failures", "Plan", "least_wait"]

ATTEMPTS: Reason = "attempts"
TIMEOUT: Reason = "timeout"
BUDGET: Reason = "budget"
NOT_RETRYABLE: Reason = "not retryable"

FOREVER = 1e9  # seconds, thirty years: nobody waits so long, and time.sleep can't wait much longer


class Plan:
    """How many attempts there are, until when they may begin, and the ceiling of each wait."""

    __slots__ = ("_factor", "_max_wait", "_wait", "attempts", "timeout")

    def __init__(
        self, *, attempts: int | None, timeout: float | None, wait: float, max_wait: float, factor: float
    ) -> None:
        self.attempts = attempts
        self.timeout = timeout
        self._wait = wait
        self._max_wait = max_wait
        self._factor = factor

    def ceiling(self, number: int) -> float:
        """Return the longest wait after attempt ``number`` (from 1), in seconds."""
        try:
            return min(self._max_wait, self._wait * self._factor ** (number - 1))
        except OverflowError:
            return self._max_wait if self._wait else 0.0

    def wait(self, number: int, least: float, chance: float) -> float:
        """Return the wait after attempt ``number``: what was asked for, and ``chance`` (0 to 1) of the ceiling.

        The jitter goes on top of what a service asked for: it has told all its clients the same.
        """
        return least + chance * self.ceiling(number)

    def objection(self, number: int, elapsed: float, wait: float) -> Reason | None:
        """Return why there is no attempt after ``number``, or None. A wait that would end too late is not begun."""
        if self.attempts is not None and number >= self.attempts:
            return ATTEMPTS
        return TIMEOUT if self.is_late(elapsed + wait) else None

    def is_late(self, elapsed: float) -> bool:
        """Tell whether so many seconds after the first attempt began, no other may begin."""
        return self.timeout is not None and elapsed > self.timeout


def least_wait(answer: object) -> float | None:
    """Return the seconds that a predicate's answer asks to wait at least; None if it says not to try again."""
    if answer is None or answer is False:
        return None
    if answer is True:
        return 0.0
    if not isinstance(answer, int | float):
        raise TypeError(f"on(error) must return True, False, None or a number of seconds, not {answer!r}")
    return max(0.0, float(answer)) if answer < FOREVER else None


class Failures:
    """The failed attempts of one call, for the note on the error that is raised: the last few, a line each."""

    __slots__ = ("_lines", "number")

    def __init__(self) -> None:
        self.number = 0
        self._lines: deque[str] = deque(maxlen=_FEW)

    def add(self, error: BaseException) -> None:
        """Take down an attempt's error. The error itself is not kept, or its frames would be."""
        self.number += 1
        self._lines.append(f"  {self.number}: {described(error)}")

    @property
    def counted(self) -> str:
        """How many there were, in words."""
        return "1 attempt" if self.number == 1 else f"{self.number} attempts"

    def note(self, name: str, elapsed: float, why: str) -> str:
        """Return the note. The last error is the one it stands on, so only those before it are listed."""
        earlier = list(self._lines)[:-1]
        left_out = self.number - 1 - len(earlier)
        more = [f"  ({left_out} before these)"] if left_out else []
        heading = f"{heading_of(name)} gave up after {self.counted} in {elapsed:.3f} s: {why}"
        return "\n".join([heading + (", after" if earlier else ""), *more, *earlier])


_FEW = 6


def heading_of(name: str) -> str:
    """Return what a note of ours begins with."""
    return f"perfkit.retry {name!r}"
