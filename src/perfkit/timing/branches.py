"""Where the time of a timer goes: what ends inside it, added up by name."""

from __future__ import annotations

__all__ = ["MAX_NAMES", "OTHERS", "Branch"]

MAX_NAMES = 1000  # names kept right below one; what comes after them is added up as OTHERS
OTHERS = "(others)"


class Branch:
    """What was spent under one name so far. Not thread-safe."""

    __slots__ = ("below", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.below: dict[str, Branch] | None = None

    def add(self, name: str, seconds: float, below: dict[str, Branch] | None) -> None:
        """Add one that ended inside this, with what ended inside it."""
        branch = self._below(name)
        branch.count += 1
        branch.seconds += seconds
        if below:
            branch._take(below)

    def _take(self, below: dict[str, Branch]) -> None:
        """Add what is below another; that stays as it is, for whoever has its timer."""
        for name, theirs in below.items():
            mine = self._below(name)
            mine.count += theirs.count
            mine.seconds += theirs.seconds
            if theirs.below:
                mine._take(theirs.below)

    def _below(self, name: str) -> Branch:
        if self.below is None:
            self.below = {}
        if name not in self.below and len(self.below) >= MAX_NAMES:
            name = OTHERS
        return self.below.setdefault(name, Branch())
