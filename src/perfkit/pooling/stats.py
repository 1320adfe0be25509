"""The figures of a pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfkit._base.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfkit._base.latency_summary import LatencySummary
    from perfkit.pooling.core import Core

__all__ = ["PoolStats", "stats_of"]


@dataclass(frozen=True, slots=True)
class PoolStats:
    """What a pool is doing, and what it has done since it was made.

    ``size`` connections exist: ``idle`` ones, and ``in_use`` ones, which are lent, or being reset or checked;
    ``connecting`` more are being made, ``waiting`` callers wait. ``peak`` is the most that were in use at once.
    ``created`` counts connections made, ``closed`` those that left, by reason: "lifetime", "idle", "uses", "dead"
    (found so by ``validate``), "drained", "surplus" (more than ``max_size``), "discarded", "failed over", "lost"
    (whoever had it is gone), "closed" (the pool was). ``acquired`` counts lendings, ``timeouts`` callers who got none
    in time, ``turned_away`` those whom ``PoolFull`` met, ``errors`` failed attempts to connect. ``wait`` is how long
    callers waited for a connection, ``lifetime`` how long closed ones had lived; both in seconds.
    """

    name: str
    size: int
    idle: int
    in_use: int
    connecting: int
    waiting: int
    peak: int
    min_size: int
    max_size: int
    created: int
    closed: Mapping[str, int]
    acquired: int
    timeouts: int
    turned_away: int
    errors: int
    wait: LatencySummary
    lifetime: LatencySummary

    GAUGES = frozenset({"size", "idle", "in_use", "connecting", "waiting", "peak", "min_size", "max_size"})
    COLUMNS = ("size", "idle", "in_use", "waiting", "acquired", "created", "timeouts", "errors", "wait")


def stats_of(core: Core, *, timeouts: int, waits: Histogram, lifetimes: Histogram) -> PoolStats:
    """Read the figures. Under the lock."""
    idle = len(core.idle)
    acquired = core.past_uses + sum(entry.uses for entry in core.entries)
    waits.record_zeros(acquired - waits.count)  # those who waited for nothing, which nobody recorded
    return PoolStats(
        name=core.name,
        size=core.size,
        idle=idle,
        in_use=core.size - idle,
        connecting=core.being_made,
        waiting=len(core.waiting),
        peak=core.note_peak(),
        min_size=core.min_size,
        max_size=core.max_size,
        created=core.created,
        closed=dict(core.closed),
        acquired=acquired,
        timeouts=timeouts,
        turned_away=core.turned_away,
        errors=core.errors,
        wait=waits.summary(),
        lifetime=lifetimes.summary(),
    )
