"""When which entry expires. Pure: the time is passed in.

Most caches have one ttl, so that what comes later expires later: such entries queue, the others go onto a heap. An
entry may leave before its time or get another; what the queue and the heap then still have of it is skipped when its
turn comes, and swept out when it is a third of all, so that little is kept alive by it.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush

from perfkit.caching.entry import BORN, DEAD, EXPIRES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfkit.caching.entry import Entry

__all__ = ["Deadlines"]

_FEW = 64


class Deadlines:
    """Entries by the time they expire at; ``len`` counts what is skipped as well."""

    __slots__ = ("_count", "_entries", "_heap", "_stale", "_times")

    def __init__(self) -> None:
        self._times: deque[float] = deque()  # the queue, in two: a pair for each would cost more than an entry's hit
        self._entries: deque[Entry] = deque()
        self._heap: list[tuple[float, int, Entry]] = []  # the number keeps equal times from comparing entries
        self._count = 0
        self._stale = 0

    def __len__(self) -> int:
        return len(self._times) + len(self._heap)

    def add(self, entry: Entry) -> None:
        """Take note of when an entry expires."""
        expires = entry[EXPIRES]
        if not self._times or expires >= self._times[-1]:
            self._times.append(expires)
            self._entries.append(entry)
        else:
            self._count += 1
            heappush(self._heap, (expires, self._count, entry))

    def forget(self) -> None:
        """Take note that an entry has left, or got another time."""
        self._stale += 1
        if self._stale > _FEW and self._stale * 3 > len(self):
            self._sweep()

    def over(self, now: float) -> Iterator[Entry]:
        """Yield the living entries that have expired, each of which the caller removes and tells `forget`."""
        while self._times and self._times[0] <= now:
            expires, entry = self._times.popleft(), self._entries.popleft()
            self._stale -= 1  # what was stale is gone, and what was not will be told
            if _is_current(expires, entry):
                yield entry
        while self._heap and self._heap[0][0] <= now:
            expires, _, entry = heappop(self._heap)
            self._stale -= 1
            if _is_current(expires, entry):
                yield entry

    def clear(self) -> None:
        """Forget all."""
        self._times.clear()
        self._entries.clear()
        self._heap.clear()
        self._stale = 0

    def _sweep(self) -> None:
        current = [pair for pair in zip(self._times, self._entries, strict=True) if _is_current(*pair)]
        self._times = deque(expires for expires, _ in current)
        self._entries = deque(entry for _, entry in current)
        self._heap[:] = [item for item in self._heap if _is_current(item[0], item[2])]
        heapify(self._heap)
        self._stale = 0


def _is_current(expires: float, entry: Entry) -> bool:
    return bool(entry[BORN] != DEAD and entry[EXPIRES] == expires)
