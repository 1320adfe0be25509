"""Connections lent by ``acquire()``, which hands out the bare connection: how its entry is found again."""

from __future__ import annotations

import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from perfkit.pooling.entry import Entry

__all__ = ["Lent"]


class Lent:
    """Entries by the identity of their connection. One whose connection is gone is let go of, which ends it.

    While it is lent the borrower alone holds the connection, where that can be weakly referenced. Where it can't (a
    sqlite3.Connection), the entry holds it too, and one that is never given back is not found by this.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}

    def put(self, entry: Entry) -> Any:
        """Return the connection of an entry, which is kept under it."""
        conn = entry.conn
        key = id(conn)
        entries = self._entries
        entries[key] = entry
        if entry.watch is None:
            try:
                entry.watch = weakref.ref(conn, lambda _: entries.pop(key, None))
            except TypeError:
                entry.watch = False
        if entry.watch:
            entry.conn = None
        return conn

    def pop(self, conn: Any) -> Entry | None:
        """Return the entry of a connection, which is not kept any more; None if there is none."""
        entry = self._entries.pop(id(conn), None)
        if entry is not None:
            entry.conn = conn
        return entry
