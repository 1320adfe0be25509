"""What a state file tells of itself."""

from dataclasses import dataclass

from perfkit._base.latency_summary import LatencySummary
from perfkit.statefile.store import Store

__all__ = ["LatencySummary", "StateFileStats", "stats_of"]


@dataclass(frozen=True, slots=True)
class StateFileStats:
    """One state file's figures since it was made, in this process alone.

    Attributes:
        name: what the state file is called.
        path: the file.
        hits: reads answered from memory after one ``stat``. May be low by a few where threads count at the same moment.
        parses: how often the content was decoded because it had changed.
        edits: ``edit()`` blocks whose document is in the file.
        saves: documents that ``save()`` made the content.
        unchanged: edits, saves and groups that wrote nothing, because the content was the same to the byte.
        groups: commits made by ``update()``.
        updates: mutators that those commits held; ``updates / groups`` is how well they share a write.
        conflicts: calls of ``save()`` refused because somebody had written since.
        recovered: corrupt files moved aside.
        held_bytes: memory the cached content takes, estimated; the watchdog can have it back.
        reads: seconds a look into the file took (open, read, compare, decode if it had changed).
        writes: seconds a write took, until it was as durable as asked.
        waits: seconds until the lock was had.
    """

    name: str
    path: str
    hits: int
    parses: int
    edits: int
    saves: int
    unchanged: int
    groups: int
    updates: int
    conflicts: int
    recovered: int
    held_bytes: int
    reads: LatencySummary
    writes: LatencySummary
    waits: LatencySummary

    GAUGES = frozenset({"held_bytes"})
    COLUMNS = ("hits", "parses", "edits", "updates", "saves", "conflicts", "held_bytes", "reads", "writes", "waits")


def stats_of(name: str, store: Store) -> StateFileStats:
    """Collect the figures of one store."""
    reader = store.reader
    return StateFileStats(
        name=name,
        path=store.path,
        hits=reader.hits,
        parses=reader.parses,
        edits=store.edits,
        saves=store.saves,
        unchanged=store.unchanged,
        groups=store.groups,
        updates=store.updates,
        conflicts=store.conflicts,
        recovered=store.recovered,
        held_bytes=reader.held_bytes(),
        reads=reader.reads.summary(),
        writes=store.writes.summary(),
        waits=store.waits.summary(),
    )
