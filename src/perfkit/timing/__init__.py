"""Measuring: timers, percentiles of how long calls take, profiles of some of them."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit._base.latency_summary import LatencySummary as LatencySummary
    from perfkit.timing.profiling import profiled as profiled
    from perfkit.timing.report import ProfileReport as ProfileReport
    from perfkit.timing.stats import ProfilerStats as ProfilerStats
    from perfkit.timing.stats import TrackerStats as TrackerStats
    from perfkit.timing.timer import Lap as Lap
    from perfkit.timing.timer import Timer as Timer
    from perfkit.timing.tracker import PerformanceTracker as PerformanceTracker
    from perfkit.timing.tracker import Timing as Timing
    from perfkit.timing.tracker import timed as timed
    from perfkit.timing.tracker import tracker_of as tracker_of
    from perfkit.timing.tree import Spent as Spent

# Each on first use: dataclasses alone would cost a millisecond.
_HOMES = {
    "Lap": ".timer",
    "LatencySummary": "perfkit._base.latency_summary",
    "PerformanceTracker": ".tracker",
    "ProfileReport": ".report",
    "ProfilerStats": ".stats",
    "Spent": ".tree",
    "Timer": ".timer",
    "Timing": ".tracker",
    "TrackerStats": ".stats",
    "profiled": ".profiling",
    "timed": ".tracker",
    "tracker_of": ".tracker",
}

__all__ = [
    "Lap",
    "LatencySummary",
    "PerformanceTracker",
    "ProfileReport",
    "ProfilerStats",
    "Spent",
    "Timer",
    "Timing",
    "TrackerStats",
    "profiled",
    "timed",
    "tracker_of",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
