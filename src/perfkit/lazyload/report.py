"""`perfkit.lazy_report`, and the figures for `perfkit.stats()`. Apart, for dataclasses take time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from perfkit.lazyload.ledger import Record, ledger, place

__all__ = ["LazyImport", "LazyReport", "LazyStats", "lazy_report", "lazy_stats"]


State = Literal["lazy", "loaded", "failed", "eager"]


@dataclass(frozen=True, slots=True)
class LazyImport:
    """One lazy import, and what became of it.

    ``state`` is ``"lazy"``, ``"loaded"``, or ``"failed"`` if the last use failed; ``error`` is how. It is ``"eager"``
    for a statement in a block that can't wait and was carried out where it stands. ``declared_at`` and ``used_at`` (of
    the use that loaded it, or failed) are ``"file:line"``. The load began at ``loaded_at`` (seconds since the epoch),
    and took ``seconds`` and ``rss_bytes`` of memory, all that the module imports included. ``rss_bytes`` may be
    negative, and is None where the system has no ``/proc``.

    Of what the interpreter itself imports lazily (Python 3.15; ``is_native``) nothing else is known than whether the
    module is loaded: the others are None.
    """

    name: str
    state: State
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

    @property
    def eager(self) -> LazyReport:
        """Those in blocks that could not wait, as ``from a import b`` before Python 3.15, where b is no module."""
        return self._only("eager")

    def _only(self, state: str) -> LazyReport:
        return LazyReport(each for each in self if each.state == state)

    def __str__(self) -> str:
        rows = [("module", "state", "ms", "MB", "declared at", "used at"), *map(_row, self)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(_aligned, range(6), row, widths)).rstrip() for row in rows]
        errors = ["", *(f"\n    {each.error}" if each.error else "" for each in self)]
        return "\n".join(map("".join, zip(lines, errors, strict=True)))


def lazy_report() -> LazyReport:
    """Return what was declared lazily, what of that is loaded, when and why, and what it cost.

    One entry for each line that declares a module, in the order they were reached; of `attach_stub`, one for each name.
    ``print(perfkit.lazy_report())`` prints a table, with the errors of those whose last use failed. Thread-safe. Cost:
    some microseconds an entry.
    """
    return LazyReport(map(_entry, ledger.records()))


def _entry(record: Record) -> LazyImport:
    first = record.first
    used = record.failed if record.error else first
    return LazyImport(
        name=record.name,
        state=_state(record),
        declared_at=record.declared_at,
        used_at=None if used is None else place(used.code, used.line),
        loaded_at=None if first is None else first.at,
        seconds=record.seconds,
        rss_bytes=record.rss,
        error=record.error or None,
        is_native=record.is_native,
    )


def _state(record: Record) -> State:
    if record.error:
        return "failed"
    if record.is_done or (record.is_native and record.name in sys.modules):
        return "eager" if record.is_eager else "loaded"
    return "lazy"


def _row(entry: LazyImport) -> tuple[str, ...]:
    milliseconds = "" if entry.seconds is None else f"{entry.seconds * 1e3:.1f}"
    megabytes = "" if entry.rss_bytes is None else f"{entry.rss_bytes / 1e6:.1f}"
    return entry.name, entry.state, milliseconds, megabytes, entry.declared_at, entry.used_at or ""


def _aligned(column: int, text: str, width: int) -> str:
    return text.rjust(width) if column in {2, 3} else text.ljust(width)


@dataclass(frozen=True, slots=True)
class LazyStats:
    """The figures of all lazy imports together: how many are in each state, and what the loads took."""

    name: str
    lazy: int
    loaded: int
    failed: int
    eager: int
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
        eager=states.count("eager"),
        seconds=sum(record.seconds or 0.0 for record in records),
        rss_bytes=sum(record.rss or 0 for record in records),
    )
