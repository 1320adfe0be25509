"""Where the time of a timer went, to be looked at: frozen, sorted, drawn. Apart, for dataclasses take time to load."""

from __future__ import annotations

from dataclasses import dataclass

from perfkit._base.durations import format_seconds
from perfkit._base.figures import one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from perfkit.timing.branches import Branch

__all__ = ["Spent", "drawn", "spent"]


@dataclass(frozen=True, slots=True)
class Spent:
    """What ran under one name inside a timer: how often, for how many seconds in all, and what ran inside that."""

    name: str
    count: int
    seconds: float
    children: tuple[Spent, ...]


def spent(below: dict[str, Branch] | None) -> tuple[Spent, ...]:
    """Return branches as frozen objects, what took longest first."""
    made = [Spent(name, branch.count, branch.seconds, spent(branch.below)) for name, branch in (below or {}).items()]
    return tuple(sorted(made, key=lambda one: -one.seconds))


def drawn(name: str, seconds: float, children: Iterable[Spent], note: str = "") -> str:
    """Return a tree as text, a line each: the name, its time, and how often it ran where that is not once."""
    lines = [(0, one_line(name), seconds, 1), *_lines(children, 1)]
    width = max(2 * depth + len(label) for depth, label, _, _ in lines)
    text = [
        f"{'  ' * depth + label:<{width}}  {format_seconds(took):>9}" + (f"  {count} times" if count > 1 else "")
        for depth, label, took, count in lines
    ]
    return "\n".join([text[0] + note, *text[1:]])


def _lines(children: Iterable[Spent], depth: int) -> Iterator[tuple[int, str, float, int]]:
    for child in children:
        yield depth, one_line(child.name), child.seconds, child.count
        yield from _lines(child.children, depth + 1)
