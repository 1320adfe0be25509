"""When the sidecar kills. Decides alone: the time is passed in."""

from __future__ import annotations

__all__ = ["Verdict"]

_PATIENCE = 1.0  # seconds without a sign of life while usage is critical
_AT_THE_LIMIT = 0.1  # and while there is nothing left


class Verdict:
    """Watches a watchdog that beats whenever it looks, and doesn't where C code keeps the interpreter's lock."""

    __slots__ = ("_beats", "_critical", "_since")

    def __init__(self, critical: float) -> None:
        self._critical = critical
        self._beats = 0
        self._since: float | None = None  # when usage has been critical without a beat

    def update(self, now: float, fraction: float, beats: int) -> bool:
        """Tell whether it is time. ``beats`` counts those heard so far."""
        if fraction < self._critical:
            self._since = None
            return False
        if self._since is None or beats != self._beats:
            self._since, self._beats = now, beats
            return False
        return now - self._since >= (_AT_THE_LIMIT if fraction >= 1 else _PATIENCE)
