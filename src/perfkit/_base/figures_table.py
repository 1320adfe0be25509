"""Figures as a table for people: a block for each kind of object, a line for each object."""

from __future__ import annotations

from perfkit._base.durations import format_seconds
from perfkit._base.figures import is_figures, is_summary, items, one_line, told_apart
from perfkit._base.sizes import format_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = ["drawn"]

_NOTHING = "no live objects"
_GAP = "  "
_SECONDS = frozenset({"max", "oldest_reader", "retry_after", "seconds", "seconds_in_state", "since_success"})


def drawn(snapshots: Iterable[Any]) -> str:
    """Return all figures that tables show, as text."""
    blocks: dict[str, list[tuple[str, Any]]] = {}
    for kind, name, figures in told_apart(snapshots):
        blocks.setdefault(kind, []).append((name, figures))
    return "\n\n".join(_block(kind, rows) for kind, rows in blocks.items()) or _NOTHING


def _block(kind: str, rows: list[tuple[str, Any]]) -> str:
    cells = [[one_line(name), *(text for _, text in _cells(figures))] for name, figures in rows]
    table = [[kind.upper(), *(head for head, _ in _cells(rows[0][1]))], *cells]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        _GAP.join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
        for row in table
    )


def _cells(figures: Any) -> Iterator[tuple[str, str]]:
    """Yield heading and text of each column."""
    for name in getattr(type(figures), "COLUMNS", None) or [name for name, _ in items(figures)]:
        value = getattr(figures, name)
        head = name.removeprefix("is_").replace("_", " ")
        if is_summary(value):
            yield f"{head} p50", format_seconds(value.p50) if value.count else "-"
            yield "p99", format_seconds(value.p99) if value.count else "-"
        elif name != "name" and not is_figures(value):
            yield head.removesuffix(" bytes"), _text(name, value)


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return _number(name, value)
    return one_line(value) if isinstance(value, str) else f"{len(value):,}"


def _number(name: str, value: float) -> str:
    if name.endswith("bytes"):
        return format_size(int(value))
    if name in _SECONDS:
        return format_seconds(value)
    if name.endswith("ratio"):
        return f"{value:.1%}"
    is_whole = isinstance(value, int) or abs(value) >= 1000
    return f"{value:,.0f}" if is_whole else f"{value:,.3g}"
