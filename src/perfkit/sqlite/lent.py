"""Connections that are lent: they keep account of what is opened on them, and leave nothing of it behind."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import ref

from perfkit.sqlite.patience import primary_code

if TYPE_CHECKING:
    from weakref import ReferenceType

__all__ = ["Lent", "LentCursor", "LentReader"]

_SETTINGS = ("row_factory", "text_factory", "isolation_level", *(["autocommit"] if sys.version_info >= (3, 12) else []))
_MANY = 200  # things opened, after which those that are gone are forgotten
_execute, _cursor = sqlite3.Cursor.execute, sqlite3.Connection.cursor  # without the cost of super()


class Lent(sqlite3.Connection):
    """A connection that can be taken back.

    While it is lent, it keeps account of what is opened on it: what stays open would read from this moment for ever.
    """

    _opened: list[ReferenceType[Any]] | None = None  # cursors and blobs, while it is lent
    _before: tuple[Any, ...] = ()

    def lend(self) -> None:
        """Keep account from now on."""
        self._before = tuple(getattr(self, name) for name in _SETTINGS)
        self._opened = []

    def take_back(self) -> None:
        """Close what was opened since it was lent, and set what was set as it was."""
        self._close_opened()
        for name, value in zip(_SETTINGS, self._before, strict=True):
            if getattr(self, name) is not value:
                with suppress(sqlite3.Error):  # of isolation_level: it is set, and the COMMIT that goes with it denied
                    setattr(self, name, value)

    def check(self) -> None:
        """Raise if nothing may be carried out now."""

    def note(self, error: sqlite3.Error) -> None:
        """Say what to do about an error, where SQLite doesn't."""

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that is closed when the connection is taken back."""
        return self._noted(_cursor(self, factory or LentCursor))

    def execute(self, *args: Any) -> Any:
        """Execute a statement with a cursor of its own."""
        return self._noted(_cursor(self, LentCursor)).execute(*args)

    def executemany(self, *args: Any) -> Any:
        """Execute a statement for many rows with a cursor of its own."""
        return self._noted(_cursor(self, LentCursor)).executemany(*args)

    def executescript(self, *args: Any) -> Any:
        """Execute a script with a cursor of its own."""
        return self._noted(_cursor(self, LentCursor)).executescript(*args)

    def blobopen(self, *args: Any, **more: Any) -> Any:
        """Open a blob, which is closed when the connection is taken back."""
        self.check()
        try:
            return self._noted(super().blobopen(*args, **more))
        except sqlite3.Error as error:
            self.note(error)
            raise

    def _close_opened(self) -> None:
        opened, self._opened = self._opened or (), None
        for each in opened:
            thing = each()
            if thing is not None:
                with suppress(sqlite3.Error):  # the transaction that it was in is gone
                    thing.close()

    def _noted(self, thing: Any) -> Any:
        opened = self._opened
        if opened is not None:
            if len(opened) >= _MANY:
                opened[:] = [each for each in opened if each() is not None]
            opened.append(ref(thing))
        return thing


class LentCursor(sqlite3.Cursor):
    """A cursor that asks its connection whether anything may be carried out, and tells it of errors."""

    connection: Lent

    def execute(self, *args: Any) -> Any:
        """Execute a statement."""
        self.connection.check()
        try:
            return _execute(self, *args)
        except sqlite3.Error as error:
            self.connection.note(error)
            raise

    def executemany(self, *args: Any) -> Any:
        """Execute a statement for many rows."""
        self.connection.check()
        try:
            return super().executemany(*args)
        except sqlite3.Error as error:
            self.connection.note(error)
            raise

    def executescript(self, *args: Any) -> Any:
        """Execute a script."""
        self.connection.check()
        try:
            return super().executescript(*args)
        except sqlite3.Error as error:
            self.connection.note(error)
            raise


class LentReader(Lent):
    """What ``connection()`` lends, over and over: a `sqlite3.Connection` that only reads."""

    def note(self, error: sqlite3.Error) -> None:
        """Say what to write with."""
        if primary_code(error) == sqlite3.SQLITE_READONLY:
            error.add_note(
                "what connection() lends is query-only: write with the database's execute(), run() or transaction()"
            )

    def close(self) -> None:
        """Close it, and what was opened on it, which would go on reading."""
        self._close_opened()
        super().close()

    def renew(self) -> None:
        """Take it back, and have it as it was for the next one."""
        self.take_back()
        if self.in_transaction:
            self.rollback()
        self.lend()
