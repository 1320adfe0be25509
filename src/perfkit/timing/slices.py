"""Which slices of time a sliding window is made of: decided here, with the time passed in."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit._base.histogram import LatencyRecorder

__all__ = ["PARTS", "Slices"]

PARTS = 6  # a window is cut in so many: what it forgets, it forgets a sixth at a time


class Slices:
    """The recorders that were current in the last ``window`` seconds, each for a sixth of that.

    Together they reach back ``window`` seconds at least, and a sixth more at most. Not thread-safe; but `kept` and
    ``until`` may be read while another thread is in `turn`.
    """

    __slots__ = ("_entries", "_step", "_window", "until")

    def __init__(self, window: float, now: float, first: LatencyRecorder) -> None:
        self._window = window
        self._step = window / PARTS
        self._entries: tuple[tuple[float, LatencyRecorder], ...] = ((now, first),)
        self.until = now + self._step

    def turn(self, now: float, fresh: LatencyRecorder) -> None:
        """Make ``fresh`` the current one from ``now`` on, and forget those that are too old."""
        self._entries = (*self._kept(now), (now, fresh))
        self.until = now + self._step

    @property
    def current(self) -> LatencyRecorder:
        """The one that is current, or was the last."""
        return self._entries[-1][1]

    def kept(self, now: float) -> list[LatencyRecorder]:
        """Return those of the window that ends now, oldest first."""
        return [recorder for _, recorder in self._kept(now)]

    def span(self, now: float) -> float:
        """Return how many seconds before now the oldest of them became current, the whole window at least."""
        starts = [start for start, _ in self._kept(now)]
        return max(self._window, now - starts[0]) if starts else self._window

    def _kept(self, now: float) -> list[tuple[float, LatencyRecorder]]:
        return [entry for entry in self._entries if entry[0] + self._step > now - self._window]
