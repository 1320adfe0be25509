"""Checking the stored form of a histogram: what it says of itself must agree, or it was damaged or made up."""

import math
import sys

from perfkit._base.histogram import LAST, SCHEME, bounds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_MOST = 2**63  # so many were never counted
_SLACK = 1 + 1e-6  # a total is the sum of many floats, each rounded


def checked(data: "Mapping[str, Any]") -> "tuple[list[int], float, float, float]":
    """Return the counts, total, minimum and maximum of what ``Histogram.to_dict`` returned, else raise ValueError."""
    scheme = data.get("scheme")
    if scheme != SCHEME:
        raise ValueError(f"a histogram's 'scheme' must be {SCHEME!r}, not {scheme!r}")
    counts = _counts(data.get("buckets"))
    if data.get("count") != sum(counts):
        raise ValueError(f"a histogram's 'count' must be that of its buckets, {sum(counts)}, not {data.get('count')!r}")
    total, low, high = (_seconds(key, data.get(key)) for key in ("total", "min", "max"))
    if counts:
        _compare(counts, total, low, high)
    elif total or low or high:
        raise ValueError("an empty histogram's 'total', 'min' and 'max' must be 0")
    return counts, total, low, high


def agreeing(counts: "list[int]", total: float, low: float, high: float) -> "tuple[float, float, float]":
    """Return total, minimum and maximum as the counts have them.

    They may be ahead of the counts: by what is being recorded in this moment, or by what an interrupt has kept from
    being counted.
    """
    used = [number for number, count in enumerate(counts) if count]
    if not used:
        return 0.0, 0.0, 0.0
    low, high = _within(low, used[0]), _within(high, used[-1])
    least, most = sum(counts) * low, sum(counts) * high
    if not least / _SLACK <= total <= most * _SLACK:
        total = min(max(total, least), most)
    return total, low, high


def _within(value: float, bucket: int) -> float:
    """Return a time in seconds, or the closest to it that lies in a bucket."""
    start, end = bounds(bucket)
    if value * 1e9 < start:
        value = start / 1e9
        return value if value * 1e9 >= start else math.nextafter(value, math.inf)
    while value * 1e9 >= end:
        value = math.nextafter(min(value, end / 1e9), 0.0)
    return value


def _counts(buckets: "Any") -> "list[int]":
    """Return what the pairs were made of: the counts of all buckets up to the highest."""
    if not isinstance(buckets, list | tuple):
        raise ValueError(f"a histogram's 'buckets' must be a list, not {buckets!r}")
    counts: list[int] = []
    for pair in buckets:
        if not _is_pair(pair) or pair[0] < len(counts):
            allowed = f"pairs [number, count], the numbers ascending in 0..{LAST}, the counts 1 or more"
            raise ValueError(f"a histogram's 'buckets' must be {allowed}; {pair!r} is not")
        counts.extend([0] * (pair[0] - len(counts)))
        counts.append(pair[1])
    return counts


def _is_pair(pair: "Any") -> bool:
    """Tell whether this is a bucket's number and its count."""
    if not isinstance(pair, list | tuple) or [type(number) for number in pair] != [int, int]:
        return False
    number, count = pair
    return bool(0 <= number <= LAST and 0 < count <= _MOST)


def _seconds(key: str, value: "Any") -> float:
    if type(value) not in (int, float) or not 0 <= value <= sys.float_info.max:  # exact of ints of any size
        raise ValueError(f"a histogram's {key!r} must be a finite number of seconds, 0 or more, not {value!r}")
    return float(value)


def _compare(counts: "list[int]", total: float, low: float, high: float) -> None:
    """Refuse figures that no durations in these buckets have."""
    lowest = next(number for number, count in enumerate(counts) if count)
    for key, value, bucket in (("min", low, lowest), ("max", high, len(counts) - 1)):
        start, end = bounds(bucket)
        if not start <= value * 1e9 < end:
            raise ValueError(
                f"a histogram's {key!r} must lie in bucket {bucket}, {start}..{end} ns, not be {value!r} s"
            )
    count = sum(counts)
    if low > high or not count * low / _SLACK <= total <= count * high * _SLACK:
        raise ValueError(f"a histogram's 'total' must be what {count} of 'min'..'max' can add up to, not {total!r}")
