"""Draws a series in plain signs, for a terminal: x is before, # after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfkit.demo.results import Series

__all__ = ["COLUMNS", "ROWS", "drawn"]

COLUMNS, ROWS = 60, 8
_LEGEND = "x before    # after"


def drawn(series: Series) -> tuple[str, ...]:
    """Return the lines: a column each a stretch of time, with the most that was in use in it."""
    most = max([series.limit, *(used for _, used in (*series.before, *series.after))])
    span = max([1e-9, *(at for at, _ in (*series.before, *series.after))])
    theirs, ours = (_heights(points, span, most) for points in (series.before, series.after))
    limit = _row(series.limit, most)
    lines = []
    for row in range(ROWS, 0, -1):
        signs = (_sign(row, a, b, "-" if row == limit else " ") for a, b in zip(theirs, ours, strict=True))
        label = f"{most * row / ROWS / 1e6:.0f} MB"
        lines.append(f"  {label:>8} |{''.join(signs)}{' limit' if row == limit else ''}")
    return (*lines, f"           0 s{_LEGEND:^{COLUMNS - 12}}{f'{span:.1f} s':>9}")


def _row(used: float, most: float) -> int:
    return max(1, round(used / most * ROWS)) if used else 0


def _heights(points: Sequence[tuple[float, int]], span: float, most: float) -> list[int]:
    highest = [0] * COLUMNS
    for at, used in points:
        column = min(COLUMNS - 1, int(at / span * COLUMNS))
        highest[column] = max(highest[column], used)
    return [_row(used, most) for used in highest]


def _sign(row: int, theirs: int, ours: int, nothing: str) -> str:
    """Return what is seen in a place: the upper edge of theirs in front of ours."""
    if row == theirs:
        return "x"
    return "#" if row <= ours else nothing
