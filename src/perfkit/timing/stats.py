"""What trackers and profilers tell of themselves."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit._base.latency_summary import LatencySummary

__all__ = ["ProfilerStats", "TrackerStats"]


@dataclass(frozen=True, slots=True)
class TrackerStats:
    """The figures of a `perfkit.PerformanceTracker`: since it was made, or of its ``window``.

    ``count`` calls returned and ``errors`` raised. ``rate`` is how many of both there were a second, over ``seconds``
    seconds; ``window`` is the tracker's. ``latency`` is that of the calls that returned and ``error_latency`` that of
    those that raised, in seconds.
    """

    name: str
    count: int
    errors: int
    rate: float
    seconds: float
    window: float | None
    latency: LatencySummary
    error_latency: LatencySummary

    COLUMNS = ("count", "errors", "rate", "latency", "max")

    @property
    def KIND(self) -> str:  # noqa: N802 (what every class of figures may have)
        """What it is called in tables: those with a window are apart, for their counts go down."""
        return "tracker" if self.window is None else "recent tracker"

    @property
    def GAUGES(self) -> frozenset[str]:  # noqa: N802 (what every class of figures may have)
        """What goes up and down: with a window, all of it."""
        always = frozenset({"rate", "seconds", "window"})
        return always if self.window is None else always | {"count", "errors", "latency", "error_latency"}

    @property
    def max(self) -> float:
        """The longest of what went well, in seconds."""
        return self.latency.max


@dataclass(frozen=True, slots=True)
class ProfilerStats:
    """The figures of a function that is `perfkit.profiled`.

    Of ``calls`` calls ``profiled`` were profiled, and ``skipped`` would have been but for another profiler at work.
    """

    name: str
    calls: int
    profiled: int
    skipped: int
