"""`perfkit.lazy_report`, and the figures for `perfkit.stats()`. Apart, for dataclasses take time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perfkit.lazyload.ledger import Record, ledger, place

__all__ = ["LazyImport", "LazyReport", "LazyStats", "lazy_report", "lazy_stats"]


@dataclass(frozen=True, slots=True)
class LazyImport:
    """One lazy import, and what became of it.

    ``state`` is ``"lazy"``, ``"loaded"``, or ``"failed"`` if the last use failed; ``error`` is how. ``declared_at`` and
    ``used_at`` are ``"file:line"``. The first use began at ``loaded_at`` (seconds since the epoch), and the load took
    ``seconds`` and ``rss_bytes`` of memory, all that the module imports included. ``rss_bytes`` may be negative, and is
    None where the system has no ``/proc``.

    Of what the interpreter itself imports lazily (Python 3.15; ``is_native``) nothing else is known than whether the
    module is loaded: the others are None.
    """

    name: str
    state: Literal["lazy", "loaded", "failed"]
    declared_at: str
    used_at: str | None
    loaded_at: float | None
    seconds: float | None
    rss_bytes: int | None
    error: str | None
    is_native: bool


class LazyReport(tuple[LazyImport, ...]):
    """The lazy imports of a program, in the order they were declared. ``str()`` makes a table of them."""

    __slots__ = ()

    @property
    def lazy(self) -> LazyReport:
        """Those that nothing has used yet."""
        return self._only("lazy")

    @property
    def loaded(self) -> LazyReport:
        """Those that are loaded."""
        return self._only("loaded")

    @property
    def failed(self) -> LazyReport:
        """Those whose last use failed."""
        return self._only("failed")

    def _only(self, state: str) -> LazyReport:
        return LazyReport(each for each in self if each.state == state)

    def __str__(self) -> str:
        rows = [("module", "state", "ms", "MB", "declared at", "used at"), *map(_row, self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(map(_aligned, range(6), row, widths)).rstrip() for row in rows)
        return "\n".join(lines)


def lazy_report() -> LazyReport:
    """Return what was declared lazily, what of that is loaded, when and why, and what it cost.

    One entry for each line that declares a module, in the order they were reached; of `attach_stub`, one for each name.
    ``print(perfkit.lazy_report())`` prints a table. Thread-safe. Cost: some microseconds an entry.
    """
    return LazyReport(map(_entry, ledger.records()))


def _entry(record: Record) -> LazyImport:
    first = record.first
    return LazyImport(
        name=record.name,
        state=_state(record),
        declared_at=record.declared_at,
        used_at=None if first is None else place(first.code, first.line),
        loaded_at=None if first is None else first.at,
        seconds=record.seconds,
        rss_bytes=record.rss,
        error=record.error or None,
        is_native=record.is_native,
    )


def _state(record: Record) -> Literal["lazy", "loaded", "failed"]:
    if record.is_done or (record.is_native and record.name in sys.modules):
        return "loaded"
    return "failed" if record.error else "lazy"


def _row(entry: LazyImport) -> tuple[str, ...]:
    milliseconds = "" if entry.seconds is None else f"{entry.seconds * 1e3:.1f}"
    megabytes = "" if entry.rss_bytes is None else f"{entry.rss_bytes / 1e6:.1f}"
    return entry.name, entry.state, milliseconds, megabytes, entry.declared_at, entry.used_at or ""


def _aligned(column: int, text: str, width: int) -> str:
    return text.rjust(width) if column in {2, 3} else text.ljust(width)


@dataclass(frozen=True, slots=True)
class LazyStats:
    """The figures of all lazy imports together: how many are in each state, and what the loaded ones took."""

    name: str
    lazy: int
    loaded: int
    failed: int
    seconds: float
    rss_bytes: int

    GAUGES = frozenset({"lazy", "loaded", "failed", "seconds", "rss_bytes"})


def lazy_stats(name: str, records: Sequence[Record]) -> LazyStats:
    """Read the figures of some records."""
    states = [_state(record) for record in records]
    return LazyStats(
        name=name,
        lazy=states.count("lazy"),
        loaded=states.count("loaded"),
        failed=states.count("failed"),
        seconds=sum(record.seconds or 0.0 for record in records),
        rss_bytes=sum(record.rss or 0 for record in records),
    )
