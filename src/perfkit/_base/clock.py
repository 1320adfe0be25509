"""Which clock is read for what, and deadlines over the monotonic one."""

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The clock that stamps files. The kernel stamps from the coarse clock or from a finer one that is never behind it, so a
# time read here before a file is opened is never ahead of the stamp of a write that comes later.
_STAMP_CLOCK: int | None = getattr(time, "CLOCK_REALTIME_COARSE", None)


def stamp_ns() -> int:
    """Nanoseconds since the epoch, by the clock that stamps files."""
    if _STAMP_CLOCK is None:
        return time.time_ns()
    return time.clock_gettime_ns(_STAMP_CLOCK)


class Deadline:
    """A moment on a monotonic clock until which something may wait; ``None`` seconds never come to an end."""

    __slots__ = ("_at", "_timer", "timeout")

    def __init__(self, timeout: float | None, timer: "Callable[[], float]" = time.monotonic) -> None:
        self.timeout = timeout
        self._timer = timer
        self._at = None if timeout is None else timer() + timeout

    def remaining(self) -> float | None:
        """Return the seconds left, never below 0, or None for ever."""
        return None if self._at is None else max(0.0, self._at - self._timer())

    def is_over(self) -> bool:
        """Tell whether nothing is left."""
        return self._at is not None and self._timer() >= self._at
