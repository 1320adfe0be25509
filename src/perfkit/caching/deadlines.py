"""When which entry expires: a heap that is asked for what is over. Pure: the time is passed in.

An entry may be put in again with another time, or be deleted; what the heap then still has of it is skipped when its
turn comes, and swept when there is more of that than of anything else.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from perfkit.caching.entry import BORN, DEAD, EXPIRES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfkit.caching.entry import Entry

__all__ = ["Deadlines"]

_FEW = 64


class Deadlines:
    """Entries by the time they expire at."""

    __slots__ = ("_count", "_kept", "heap")

    def __init__(self) -> None:
        self.heap: list[tuple[float, int, Entry]] = []  # the number keeps equal times from comparing entries
        self._count = 0
        self._kept = _FEW  # how many there were after the last sweep, or few

    def add(self, entry: Entry) -> None:
        """Take note of when an entry expires."""
        self._count = count = self._count + 1
        heappush(self.heap, (entry[EXPIRES], count, entry))
        if len(self.heap) > 2 * self._kept:
            self._sweep()

    def over(self, now: float) -> Iterator[Entry]:
        """Yield the living entries that have expired, and let go of them."""
        heap = self.heap
        while heap and heap[0][0] <= now:
            expires, _, entry = heappop(heap)
            if _is_current(expires, entry):
                yield entry

    def clear(self) -> None:
        """Forget all."""
        self.heap.clear()

    def _sweep(self) -> None:
        self.heap[:] = [item for item in self.heap if _is_current(item[0], item[2])]
        heapify(self.heap)
        self._kept = max(_FEW, len(self.heap))


def _is_current(expires: float, entry: Entry) -> bool:
    return bool(entry[BORN] != DEAD and entry[EXPIRES] == expires)
