"""Recording latencies: a histogram of log-linear buckets, and a recorder that gives each thread one of its own.

A duration is counted in whole nanoseconds. Each power of two is cut into 64 buckets, as in Gil Tene's HdrHistogram,
and the bucket is found by `int.bit_length`: no logarithm, no search, no dependency.
"""

import threading
import weakref
from bisect import bisect_left
from itertools import accumulate, zip_longest
from math import ceil, floor

from perfkit._base import fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from perfkit._base.latency_summary import LatencySummary as LatencySummary

    Entry = tuple[weakref.ref[Callable[[float], None]], "Histogram"]

SCHEME = "log-linear/64/ns"  # what bucket numbers mean, so that what was stored is never read as something else
LAST = 45 * 64 - 1  # the bucket that ends at 2**50 ns, about 13 days
_INFINITY = float("inf")


def __getattr__(name: str) -> object:
    """Load `LatencySummary` on first use: dataclasses take longer to import than all of this."""
    if name != "LatencySummary":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from perfkit._base.latency_summary import LatencySummary

    return LatencySummary


class Histogram:
    """Durations, counted in buckets no wider than 1/64 of their value.

    A percentile is at most 1 % off, or half a nanosecond where that is more; ``count``, ``min`` and ``max`` are exact,
    ``total`` and ``mean`` as exact as adding floats is. Durations of nearly 2**50 ns (13 days) and more share the last
    bucket, for which ``max`` answers. All figures of an empty histogram are 0.0; ``count`` tells.

    One thread records; others may read meanwhile. They may miss what is being recorded at that moment, nothing else.
    Cost: `record` about 130 ns (CPython 3.11), a read some 20 µs; 8 bytes a bucket up to the highest used, and 32 for
    each that counts more than 256: at most some 100 KB.
    """

    __slots__ = ("_counts", "_max", "_min", "_total")

    def __init__(self) -> None:
        self._counts: list[int] = []
        self._total = 0.0
        self._min = _INFINITY
        self._max = 0.0

    def record(self, seconds: float) -> None:
        """Count one duration; a negative one as 0.0, for clocks are stepped. Raises ValueError for NaN and infinity."""
        try:
            bucket = floor(seconds * 1e9)  # 20 ns faster than int()
        except (OverflowError, ValueError):
            raise ValueError(f"a duration must be a finite number of seconds, not {seconds!r}") from None
        if seconds < self._min:  # true of every negative one, so that only new minima pay for telling
            if seconds <= 0:
                seconds, bucket = 0.0, 0
            self._min = seconds
        if seconds > self._max:  # noqa: PLR1730 (calling max() would cost another 40 ns)
            self._max = seconds
        self._total += seconds
        shift = bucket.bit_length() - 7
        if shift > 0:  # only the leading 7 bits tell buckets apart: 64 of them for each further bit
            bucket = (shift << 6) + (bucket >> shift)
        try:
            self._counts[bucket] += 1
        except IndexError:
            self._count_beyond(bucket)

    def _count_beyond(self, bucket: int) -> None:
        """Count in a bucket that the list doesn't reach yet; in the last, where it is past that."""
        bucket = min(bucket, LAST)
        self._counts.extend([0] * (bucket + 1 - len(self._counts)))
        self._counts[bucket] += 1

    def record_zeros(self, count: int) -> None:
        """Count so many durations of 0.0 at once."""
        if count <= 0:
            return
        self._min = 0.0
        if not self._counts:
            self._counts.append(0)
        self._counts[0] += count

    @property
    def count(self) -> int:
        """How many durations were recorded."""
        return sum(self._counts)

    @property
    def total(self) -> float:
        """Their sum in seconds."""
        return self._total

    @property
    def min(self) -> float:
        """The shortest in seconds, exactly."""
        return 0.0 if self._min == _INFINITY else self._min

    @property
    def max(self) -> float:
        """The longest in seconds, exactly."""
        return self._max

    @property
    def mean(self) -> float:
        """Their mean in seconds, never outside ``min`` and ``max``."""
        count = self.count
        return min(max(self._total / count, self._min), self._max) if count else 0.0

    def percentile(self, q: float) -> float:
        """Return the shortest of the durations that at least ``q`` percent of all don't exceed, in seconds.

        That is the inverted distribution function (Hyndman & Fan 1996, definition 1): no interpolation, but a duration
        that was recorded, give or take the bucket's 1 %; at the ends exactly the shortest and the longest. 0.0 when
        empty. Raises ValueError unless ``q`` is in 0..100.
        """
        if not 0 <= q <= 100:  # so is NaN refused
            raise ValueError(f"a percentile must be in 0..100, not {q!r}")
        return self._percentiles(q)[0]

    def _percentiles(self, *qs: float) -> "list[float]":
        reached = list(accumulate(self._counts))
        if not reached:
            return [0.0] * len(qs)
        # Rounded first: 99.9 % of 1000 are 999, though the float 99.9 is a little more than that.
        return [self._ranked(ceil(round(q * reached[-1] / 100, 6)), reached) for q in qs]

    def _ranked(self, rank: int, reached: "list[int]") -> float:
        """Return the duration of a rank, where ``reached`` has the number of durations up to each bucket."""
        if rank <= 1:
            return self._min
        if rank >= reached[-1]:
            return self._max
        start, end = bounds(bisect_left(reached, rank))
        return min(max((start + end) / 2e9, self._min), self._max)

    def merge(self, other: "Histogram") -> None:
        """Count here what ``other`` has counted, as if it had been recorded here too. ``other`` stays as it is."""
        other = other.copy()
        self._min = min(self._min, other._min)
        self._max = max(self._max, other._max)
        self._total += other._total
        self._counts = [mine + theirs for mine, theirs in zip_longest(self._counts, other._counts, fillvalue=0)]

    def copy(self) -> "Histogram":
        """Return a histogram of the same durations, apart from this one."""
        twin = Histogram()
        # The counts are read first, because `record` writes them last: every duration counted lies in the bounds read.
        # With the GIL no thread runs in between; without it the total may be ahead by what is recorded meanwhile.
        twin._counts, twin._total, twin._min, twin._max = self._counts[:], self._total, self._min, self._max
        return twin

    def summary(self) -> "LatencySummary":
        """Return the figures that tables show."""
        from perfkit._base.latency_summary import LatencySummary

        still = self.copy()
        p50, p90, p95, p99, p999 = still._percentiles(50, 90, 95, 99, 99.9)
        return LatencySummary(still.count, still.mean, p50, p90, p95, p99, p999, still.max, still.total)

    def count_within(self, seconds: float) -> int:
        """Return how many durations were at most ``seconds``, and those in its bucket, which may be 1/64 longer."""
        if seconds >= self._max:
            return self.count
        return sum(self._counts[: _bucket_of(seconds) + 1])

    def to_dict(self) -> "dict[str, Any]":
        """Return the histogram as JSON can hold it; `from_dict` makes an equal one of that.

        Shape: ``{"scheme": str, "count": int, "total": float, "min": float, "max": float, "buckets": [[number, count],
        …]}``, times in seconds, buckets ascending and without the empty ones.
        """
        from perfkit._base.histogram_form import agreeing

        still = self.copy()
        total, low, high = agreeing(still._counts, still.total, still.min, still.max)
        buckets = [[number, count] for number, count in enumerate(still._counts) if count]
        facts = {"count": still.count, "total": total, "min": low, "max": high}
        return {"scheme": SCHEME, **facts, "buckets": buckets}

    @classmethod
    def from_dict(cls, data: "Mapping[str, Any]") -> "Histogram":
        """Return the histogram that `to_dict` wrote. Raises ValueError, saying why, for what it can't have written."""
        from perfkit._base.histogram_form import checked

        made = cls()
        made._counts, made._total, low, made._max = checked(data)
        made._min = low if made._counts else _INFINITY
        return made


def _bucket_of(seconds: float) -> int:
    """Return the bucket of a duration, 0 or more and less than infinite."""
    bucket = floor(seconds * 1e9)
    shift = bucket.bit_length() - 7
    return min((shift << 6) + (bucket >> shift) if shift > 0 else bucket, LAST)


def bounds(bucket: int) -> "tuple[float, float]":
    """Return where a bucket starts and where the next one does, in nanoseconds. The last one has no end."""
    if bucket == LAST:
        return 127 << 43, _INFINITY
    if bucket < 64:
        return bucket, bucket + 1
    shift = (bucket >> 6) - 1
    start = (bucket & 63 | 64) << shift
    return start, start + (1 << shift)


class LatencyRecorder:
    """A histogram that any number of threads record into at once, without a lock.

    Each thread has a `Histogram` of its own; reading merges them. Those of threads that have ended are folded into one
    when the next thread records for the first time, so memory follows the threads alive, not those that ever were. A
    read may miss what is being recorded at that moment, nothing else, and waits for nobody. A forked child starts with
    the counts it inherited and counts on by itself.

    Whoever counts in every nanosecond calls ``local.record(seconds)`` itself, as `record` does, and ``join()(seconds)``
    where that has no such attribute yet.

    Cost: `record` about 170 ns (CPython 3.11); a thread's first one, a read for each thread alive, and folding one that
    has ended some 30 µs each.
    """

    __slots__ = ("__weakref__", "_lock", "_state", "local")

    def __init__(self) -> None:
        self.local = threading.local()
        self._lock = threading.RLock()  # a signal handler or a finaliser may record in the middle
        # What ended threads counted, and the threads alive. Replaced as a whole, so that neither a read nor a fork ever
        # meets a histogram that is in both or in neither.
        self._state: tuple[Histogram, tuple[Entry, ...]] = Histogram(), ()
        fork.after_in_child(self)

    def record(self, seconds: float) -> None:
        """Count one duration for this thread; see `Histogram.record`."""
        try:
            record = self.local.record
        except AttributeError:
            record = self.join()
        record(seconds)

    def join(self) -> "Callable[[float], None]":
        """Give this thread a histogram, and fold those of threads that have ended."""
        mine = Histogram()
        # Only the thread's local data will hold this bound method, so it dies with the thread, whoever started that. It
        # dies at once, and is folded, if an interrupt keeps it from getting there, or a finaliser joins meanwhile.
        record = mine.record
        entry: Entry = weakref.ref(record), mine

        def joined(ended: Histogram, entries: "tuple[Entry, ...]") -> "tuple[Histogram, tuple[Entry, ...]]":
            ended, alive = _folded(ended, entries)
            return ended, (*alive, entry)

        self._change(joined)
        self.local.record = record
        return record

    def _change(self, change: "Callable[[Histogram, tuple[Entry, ...]], tuple[Histogram, tuple[Entry, ...]]]") -> None:
        """Replace the state, from what it is now, whatever this thread's handlers and finalisers do meanwhile."""
        with self._lock:
            while True:
                before = self._state
                after = change(*before)
                if self._state is before:
                    self._state = after
                    return

    def histogram(self) -> Histogram:
        """Return what all threads have recorded so far in one histogram, apart from theirs."""
        ended, alive = self._state
        return _merged(ended, (histogram for _, histogram in alive))

    def summary(self) -> "LatencySummary":
        """Return the figures that tables show, over all threads."""
        return self.histogram().summary()

    def merge(self, histogram: Histogram) -> None:
        """Count here what another histogram has counted, which stays as it is."""
        self._change(lambda ended, alive: (_merged(ended, (histogram,)), alive))

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()


def _folded(ended: Histogram, entries: "Iterable[Entry]") -> "tuple[Histogram, list[Entry]]":
    """Return ``ended`` with the histograms of threads that have ended since, and the entries of the others."""
    alive: list[Entry] = []
    gone: list[Histogram] = []
    for token, histogram in entries:
        if token() is None:
            gone.append(histogram)
        else:
            alive.append((token, histogram))
    return (_merged(ended, gone) if gone else ended), alive


def _merged(first: Histogram, rest: "Iterable[Histogram]") -> Histogram:
    merged = first.copy()
    for histogram in rest:
        merged.merge(histogram)
    return merged
