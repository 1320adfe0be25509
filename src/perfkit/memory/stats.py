"""The figures of the watchdog, and what its hook is told. Apart, for dataclasses take time."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfkit.memory.levels import Level
    from perfkit.memory.usage import MemoryUsage

__all__ = ["LevelChange", "MemoryStats", "ReclaimerStats", "TierStats"]


@dataclass(frozen=True, slots=True)
class LevelChange:
    """What ``on_level`` is told: the ``level`` from now on, the one ``before``, and the ``usage`` that made it so."""

    level: Level
    before: Level
    usage: MemoryUsage


@dataclass(frozen=True, slots=True)
class TierStats:
    """What a tier did: how often (``runs``), for how many ``seconds``, and the bytes that usage fell by meanwhile."""

    tier: int
    what: str
    runs: int
    freed_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReclaimerStats:
    """The figures of a `perfkit.Reclaimer`.

    ``runs`` counts calls that were made, ``errors`` those that raised, ``hung`` those that were not waited for any
    longer; ``is_busy`` tells that one has not returned. ``skipped`` counts those of a coroutine function that its event
    loop couldn't run: it stood still, or the pass was made in its own thread. ``freed_bytes`` is what usage fell by, in
    ``seconds``.
    """

    name: str
    tier: int
    is_busy: bool
    runs: int
    freed_bytes: int
    seconds: float
    errors: int
    hung: int
    skipped: int


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """The figures of a `perfkit.MemoryWatchdog`.

    ``usage`` is that of now, ``peak_bytes`` the most that was measured, ``reserved_bytes`` what guards have admitted.
    ``is_stuck``: the last pass let much go and usage didn't fall, for the allocator keeps it for the program's next
    objects; nothing is escalated for that. ``passes`` were made, ``vain_passes`` of them changed nothing; ``polls``
    are the looks taken. ``refused`` counts guards that didn't admit.
    """

    name: str
    is_running: bool
    level: Level
    usage: MemoryUsage
    peak_bytes: int
    reserved_bytes: int
    is_stuck: bool
    polls: int
    passes: int
    vain_passes: int
    tracked: int
    refused: int
    tiers: tuple[TierStats, ...]
    reclaimers: tuple[ReclaimerStats, ...]

    GAUGES = frozenset({"peak_bytes", "reserved_bytes", "tracked"})
    STATES = MappingProxyType({"level": ("ok", "high", "critical")})
    COLUMNS = (
        "is_running",
        "level",
        "used_bytes",
        "limit_bytes",
        "peak_bytes",
        "reserved_bytes",
        "passes",
        "vain_passes",
        "refused",
    )

    @property
    def used_bytes(self) -> int:
        """What is in use now."""
        return self.usage.used

    @property
    def limit_bytes(self) -> int:
        """What there may be in use."""
        return self.usage.limit
