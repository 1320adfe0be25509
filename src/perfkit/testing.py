"""What perfkit's own tests are made with, for the tests of programs that use perfkit.

Whatever in perfkit expires takes its clock as ``timer=``: pass a `FakeClock`, and a test says how time goes by instead
of waiting for it.
"""

import math
import threading

__all__ = ["FakeClock"]


class FakeClock:
    """A clock that moves only when it is told to.

    Call it to read it, as `time.monotonic` or `time.perf_counter` is called; pass it as any ``timer=`` of perfkit, and
    its `sleep` in place of `time.sleep`. It never goes backwards. Thread-safe: what several threads advance adds up.

    Args:
        start: the time it shows first, in seconds; any finite number.

    Raises:
        ValueError: ``start`` is not finite.

    Example::

        clock = FakeClock()
        clock.advance(90)  # a minute and a half goes by, at once
        assert clock() == 90.0
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, start: float = 0.0) -> None:
        if not math.isfinite(start):
            raise ValueError(f"start must be a finite number of seconds, not {start!r}")
        self._now = float(start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock forward.

        Args:
            seconds: how far; 0 or more, finite.

        Returns:
            The time it shows then, in seconds.

        Raises:
            ValueError: ``seconds`` is negative, infinite or NaN; the clock stays where it is.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock can be advanced by 0 or more seconds, a finite number, not by {seconds!r}")
        with self._lock:
            self._now += seconds
            return self._now

    def sleep(self, seconds: float) -> None:
        """Move the clock forward and return at once: what `time.sleep` is to a clock that goes by itself.

        Args:
            seconds: how long to sleep, by this clock; 0 or more, finite.

        Raises:
            ValueError: ``seconds`` is negative, infinite or NaN; the clock stays where it is.
        """
        self.advance(seconds)

    def __reduce__(self) -> tuple[type["FakeClock"], tuple[float]]:
        return FakeClock, (self._now,)  # a copy goes on by itself

    def __repr__(self) -> str:
        return f"FakeClock({self._now!r})"
