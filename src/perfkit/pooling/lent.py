"""Connections lent by ``acquire()``, which hands out the bare connection: how its entry is found again."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.pooling.entry import Entry

__all__ = ["Lent"]


class Lent(dict[int, Any]):
    """Entries by the identity of their connection. One whose connection is gone is let go of later, which ends it.

    Not at once: the collector tells of a connection's end before it calls the ``__del__`` of what held it, and that may
    give it back.

    While it is lent the borrower alone holds the connection, where that can be weakly referenced. Where it can't (a
    sqlite3.Connection), the entry holds it too, and one that is never given back is not found by this.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gone: deque[int] = deque()  # whose connection is

    def put(self, entry: Entry) -> Any:
        """Return the connection of an entry, which is kept under it."""
        if entry.watch is None:
            self._watch(entry)
        conn = entry.conn
        if entry.watch:
            entry.conn = None
        self[entry.key] = entry  # last: from here on an interrupt has the borrower let go of the connection
        return conn

    def check(self, entry: Entry) -> None:
        """See whether the connection that comes back was gone already. If so, its own end may have closed it."""
        if entry.watch and entry.watch() is None:
            entry.watch = None
            entry.retire("discarded")

    def let_go(self) -> None:
        """Let go of those whose connection is gone."""
        while self.gone:
            key = self.gone[0]
            entry = self.get(key)
            if entry is not None and entry.watch and entry.watch() is None:
                self.pop(key, None)
            self.gone.popleft()

    def _watch(self, entry: Entry) -> None:
        key, gone = entry.key, self.gone
        try:
            entry.watch = weakref.ref(entry.conn, lambda _: gone.append(key))
        except TypeError:
            entry.watch = False
