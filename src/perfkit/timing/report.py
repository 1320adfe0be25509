"""What the profile of one call tells."""

from __future__ import annotations

import io
import pstats
from dataclasses import dataclass

from perfkit._base.durations import format_seconds

__all__ = ["ProfileReport"]


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """The profile of one call: where its time went.

    ``seconds`` is how long the call took, waits included, and ``failed`` whether it raised; ``stats`` the
    `pstats.Stats` of what ran, to sort, to dump to a file for other viewers (``dump_stats``), or to add to another.
    ``is_mixed`` says that other threads were there, and CPython 3.12 or later, whose cProfile sees them all: what they
    ran meanwhile is in it, too. ``str()`` of it is the table of the ``top`` functions.
    """

    name: str
    seconds: float
    failed: bool
    is_mixed: bool
    stats: pstats.Stats
    sort: str
    top: int

    def __str__(self) -> str:
        text = io.StringIO()
        # pstats prints to a stream that it is made with, and has no other way
        table = pstats.Stats(stream=text)
        table.add(self.stats)
        table.sort_stats(self.sort).print_stats(self.top)
        notes = ", and raised" if self.failed else ""
        if self.is_mixed:
            notes += "; what other threads ran meanwhile is in it, too"
        return f"{self.name}: {format_seconds(self.seconds)}{notes}\n{text.getvalue().strip()}\n"
