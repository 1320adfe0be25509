"""The figures of a cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfkit._base.sizes import format_size
from perfkit.caching.loading import Loads
from perfkit.caching.store import CAUSES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfkit._base.latency_summary import LatencySummary
    from perfkit.caching.store import Store

__all__ = ["CacheStats", "stats_of"]


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache has done since it was made.

    ``hits`` and ``misses`` count reads; under threads without a GIL ``hits`` may be a few short. ``expired`` to
    ``cleared`` count the entries that left, by cause. ``refused`` are values that were not kept: too large, turned down
    by ``cache_if``, with a life of 0, or of an instance that can't be weakly referenced. ``loads`` are calls of a
    loader or of the cached function, ``load_failures`` those of them that raised, ``load_time`` how long they took
    (seconds). ``size`` is the number of
    entries, ``bytes`` what they take where the cache has ``max_bytes``, else None.

    ``str()`` is a line for people.
    """

    name: str
    hits: int
    misses: int
    size: int
    maxsize: float | None
    bytes: int | None
    max_bytes: int | None
    expired: int
    evicted: int
    replaced: int
    deleted: int
    cleared: int
    refused: int
    loads: int
    load_failures: int
    load_time: LatencySummary

    GAUGES = frozenset({"size", "maxsize", "bytes", "max_bytes"})
    COLUMNS = ("hits", "misses", "hit_ratio", "size", "bytes", "evicted", "expired", "load_failures", "load_time")

    @property
    def hit_ratio(self) -> float:
        """Hits over reads, from 0 to 1; 0 if there were none."""
        return self.hits / max(1, self.hits + self.misses)

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.hit_ratio:.1%} of {_counted(self.hits + self.misses, 'read', 'reads')} hit,"
            f" {self._room()}, {self.evicted:,} evicted, {self.expired:,} expired,"
            f" {self.refused:,} refused,"
            f" {_counted(self.loads, 'load', 'loads')}, {self.load_failures:,} failed"
        )

    def _room(self) -> str:
        room = _counted(self.size, "entry", "entries")
        if self.maxsize is not None:
            room += f" (maxsize {self.maxsize:,})"
        if self.bytes is None or self.max_bytes is None:
            return room
        return f"{room}, {format_size(self.bytes)} (max_bytes {format_size(self.max_bytes)})"


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def stats_of(
    name: str,
    stores: Sequence[Store],
    loads: Loads | None,
    *,
    maxsize: float | None,
    max_bytes: int | None,
    more_hits: int = 0,
) -> CacheStats:
    """Read the figures of some stores together."""
    size = sum(store.expire() for store in stores)
    causes = {cause: sum(store.evictions[cause] for store in stores) for cause in CAUSES}
    load_time = (loads or Loads()).times.summary()
    return CacheStats(
        name=name,
        hits=more_hits + sum(store.hits() for store in stores),
        misses=sum(store.misses for store in stores),
        size=size,
        maxsize=maxsize,
        bytes=None if max_bytes is None else int(sum(store.size for store in stores)),
        max_bytes=max_bytes,
        expired=causes["expired"],
        evicted=sum(store.evicted for store in stores),
        replaced=causes["replaced"],
        deleted=causes["deleted"],
        cleared=causes["cleared"],
        refused=sum(store.refused for store in stores),
        loads=load_time.count,
        load_failures=0 if loads is None else loads.failures,
        load_time=load_time,
    )
