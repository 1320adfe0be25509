"""When the sidecar kills. Decides alone: the time is passed in."""

from __future__ import annotations

__all__ = ["Verdict"]

_PATIENCE = 1.0  # seconds without a sign of life while usage is critical
_AT_THE_LIMIT = 0.1  # and while there is nothing left
_EXCUSED = 10.0  # and while the process stands still by its watchdog's doing, or the collector's
_STEP = 0.05  # of a longer time between two looks no more counts: the sidecar itself didn't get to run


class Verdict:
    """Watches a watchdog that beats whenever it looks, and doesn't where C code keeps the interpreter's lock."""

    __slots__ = ("_beats", "_critical", "_last", "_silent")

    def __init__(self, critical: float) -> None:
        self._critical = critical
        self._beats = 0
        self._silent = 0.0  # seconds that usage has been critical without a beat
        self._last: float | None = None  # when that was counted; None: usage isn't critical

    def update(self, now: float, fraction: float, beats: int, *, is_excused: bool = False) -> bool:
        """Tell whether it is time. ``beats`` counts those heard so far."""
        last, self._last = self._last, now
        if fraction < self._critical:
            self._last = None
            return False
        if last is None or beats != self._beats:
            self._silent, self._beats = 0.0, beats
            return False
        self._silent += min(now - last, _STEP)
        return self._silent >= self._patience(fraction, is_excused=is_excused)

    @staticmethod
    def _patience(fraction: float, *, is_excused: bool) -> float:
        if is_excused:
            return _EXCUSED
        return _AT_THE_LIMIT if fraction >= 1 else _PATIENCE
