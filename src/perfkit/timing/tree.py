"""Where the time of a timer went: the timers inside it, added up by name."""

from __future__ import annotations

from dataclasses import dataclass

from perfkit._base.durations import format_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["MAX_NAMES", "OTHERS", "Branch", "Spent", "drawn", "spent"]

MAX_NAMES = 1000  # names kept below one timer; what comes after them is added up as OTHERS
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Spent:
    """What ran under one name inside a timer: how often, for how many seconds in all, and what ran inside that."""

    name: str
    count: int
    seconds: float
    children: tuple[Spent, ...]


class Branch:
    """What was spent under one name so far. Not thread-safe."""

    __slots__ = ("below", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.below: dict[str, Branch] | None = None

    def add(self, name: str, seconds: float, below: dict[str, Branch] | None) -> None:
        """Add one that ended inside this, with what ended inside it."""
        if self.below is None:
            self.below = {}
        branch = self.below.get(name)
        if branch is None:
            if len(self.below) >= MAX_NAMES:
                name = OTHERS
            branch = self.below.setdefault(name, Branch())
        branch.count += 1
        branch.seconds += seconds
        if below:
            branch._take(below)

    def _take(self, below: dict[str, Branch]) -> None:
        if self.below is None:
            self.below = below
            return
        for name, theirs in below.items():
            mine = self.below.get(name)
            if mine is None and len(self.below) >= MAX_NAMES:
                mine = self.below.setdefault(OTHERS, Branch())
            if mine is None:
                self.below[name] = theirs
                continue
            mine.count += theirs.count
            mine.seconds += theirs.seconds
            if theirs.below:
                mine._take(theirs.below)


def spent(below: dict[str, Branch] | None) -> tuple[Spent, ...]:
    """Return branches as frozen objects, what took longest first."""
    made = [Spent(name, branch.count, branch.seconds, spent(branch.below)) for name, branch in (below or {}).items()]
    return tuple(sorted(made, key=lambda one: -one.seconds))


def drawn(name: str, seconds: float, children: Iterable[Spent], note: str = "") -> str:
    """Return a tree as text, a line each: the name, its time, and how often it ran where that is not once."""
    lines = [(0, name, seconds, 1), *_lines(children, 1)]
    width = max(2 * depth + len(label) for depth, label, _, _ in lines)
    text = [
        f"{'  ' * depth + label:<{width}}  {format_seconds(took):>9}" + (f"  {count} times" if count > 1 else "")
        for depth, label, took, count in lines
    ]
    return "\n".join([text[0] + note, *text[1:]])


def _lines(children: Iterable[Spent], depth: int) -> Iterator[tuple[int, str, float, int]]:
    for child in children:
        yield depth, child.name, child.seconds, child.count
        yield from _lines(child.children, depth + 1)
