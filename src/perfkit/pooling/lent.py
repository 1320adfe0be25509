"""Connections lent by ``acquire()``, which hands out the bare connection: how its entry is found again."""

from __future__ import annotations

import weakref
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.pooling.entry import Entry

__all__ = ["Lent"]


class Lent(dict[int, Any]):
    """Entries by the identity of their connection. One whose connection is gone is let go of, which ends it.

    While it is lent the borrower alone holds the connection, where that can be weakly referenced. Where it can't (a
    sqlite3.Connection), the entry holds it too, and one that is never given back is not found by this.
    """

    def put(self, entry: Entry) -> Any:
        """Return the connection of an entry, which is kept under it."""
        if entry.watch is None:
            self._watch(entry)
        conn = entry.conn
        if entry.watch:
            entry.conn = None
        self[entry.key] = entry  # last: from here on an interrupt has the borrower let go of the connection
        return conn

    def _watch(self, entry: Entry) -> None:
        key = entry.key
        try:
            entry.watch = weakref.ref(entry.conn, lambda _: self.pop(key, None))
        except TypeError:
            entry.watch = False
