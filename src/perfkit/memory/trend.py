"""Where usage is going. Decides alone: the time is passed in.

The slope is the median of those between any two measurements (H. Theil 1950, P. K. Sen, "Estimates of the regression
coefficient based on Kendall's tau", JASA 1968): nearly a third of them may be outliers, such as spikes and collections.
Its interval is Sen's.
"""

from __future__ import annotations

import math
from collections import deque, namedtuple
from itertools import combinations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class _Forecast(NamedTuple):
        rate: float
        seconds: float
        soonest: float
        latest: float

else:
    _Forecast = namedtuple("_Forecast", ["rate", "seconds", "soonest", "latest"])

__all__ = ["Forecast", "Trend"]

_MOST = 60  # measurements: the slopes between them are its square by two
_FEWEST = 5
_TWO_SIDED_95 = 1.96


class Forecast(_Forecast):
    """When the limit will be reached if usage goes on as it did.

    ``rate`` is the growth in bytes a second, ``seconds`` the time left; with 95 % certainty it is between ``soonest``
    and ``latest``. Infinity: not at all. A program that grows in steps reaches it earlier or later.
    """

    __slots__ = ()


class Trend:
    """The last measurements, each at least a step after the one before."""

    __slots__ = ("_points", "_step")

    def __init__(self, step: float = 1.0) -> None:
        self._step = step
        self._points: deque[tuple[float, int]] = deque()

    def add(self, now: float, used: int) -> None:
        """Take note of a measurement, unless the last one is too close."""
        if self._points and now - self._points[-1][0] < self._step:
            return
        self._points.append((now, used))
        if len(self._points) > _MOST:
            self._points.popleft()

    def clear(self) -> None:
        """Begin anew, as after usage has been brought down: what went before says nothing of what comes."""
        self._points.clear()

    def forecast(self, now: float, used: int, limit: int) -> Forecast | None:
        """Return when ``limit`` will be reached, or None while there are too few measurements to tell."""
        points = list(self._points)
        if points and now > points[-1][0]:
            points.append((now, used))
        if len(points) < _FEWEST:
            return None
        slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2))
        low, high = _interval(slopes, len(points))
        rate = slopes[len(slopes) // 2]
        left = max(0, limit - used)
        return Forecast(rate, _lasts(left, rate), _lasts(left, high), _lasts(left, low))


def _interval(slopes: list[float], n: int) -> tuple[float, float]:
    """Return the slopes between which the true one is, by the spread of Kendall's statistic."""
    spread = _TWO_SIDED_95 * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    first = max(0, math.floor((len(slopes) - spread) / 2))
    last = min(len(slopes) - 1, math.ceil((len(slopes) + spread) / 2))
    return slopes[first], slopes[last]


def _lasts(left: float, rate: float) -> float:
    if left <= 0:
        return 0.0
    return left / rate if rate > 0 else math.inf
