"""Connections lent by ``acquire()``, which hands out the bare connection: how its entry is found again."""

from __future__ import annotations

import weakref
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
        self.gone: dict[int, Entry] = {}  # whose connection is; whoever decides next lets go of them

    def put(self, entry: Entry) -> Any:
        """Return the connection of an entry, which is kept under it."""
        if entry.watch is None:
            self._watch(entry)
        conn = entry.conn
        if entry.watch:
            entry.conn = None
        self[entry.key] = entry  # last: from here on an interrupt has the borrower let go of the connection
        return conn

    def back_from_the_gone(self, conn: Any) -> Entry | None:
        """Return the entry of a connection that the collector has begun to end. It is not to be lent again."""
        entry = self.gone.pop(id(conn), None)
        if entry is not None:
            entry.watch = None
            entry.retire("discarded")
        return entry

    def _watch(self, entry: Entry) -> None:
        key = entry.key

        def gone(_: object) -> None:
            entry = self.pop(key, None)
            if entry is not None:
                self.gone[key] = entry

        try:
            entry.watch = weakref.ref(entry.conn, gone)
        except TypeError:
            entry.watch = False
