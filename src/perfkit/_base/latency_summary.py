"""The figures of a latency histogram that tables show; a file apart, for dataclasses take milliseconds to import."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """How long something took: times in seconds, all 0.0 while ``count`` is 0.

    ``total`` is their sum, ``p50`` the median, ``p999`` is passed by one in a thousand. Percentiles are at most 1 %
    off, ``count`` and ``max`` are exact.
    """

    count: int
    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float
    max: float
    total: float
