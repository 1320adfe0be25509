"""The writer's connection, guarded: what callers run on it can't end the transaction they share, nor close it."""

from __future__ import annotations

import sqlite3
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from perfkit.sqlite.errors import TooManyParameters, TransactionRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Connection", "Guard"]

_MANY = 1000  # cursors that are remembered before those that are gone are forgotten

_TRANSACTION, _SAVEPOINT, _ATTACH, _DETACH = 22, 32, 24, 25  # of sqlite3.h; the module has no names for the last two


class Cursor(sqlite3.Cursor):
    """A cursor that runs nothing once the transaction of its unit is lost: it would be committed there and then."""

    connection: Connection

    def execute(self, *statement: Any) -> Cursor:
        """Execute a statement."""
        self.connection.check()
        super().execute(*statement)
        return self

    def executemany(self, *statement: Any) -> Cursor:
        """Execute a statement for many rows."""
        self.connection.check()
        super().executemany(*statement)
        return self

    def executescript(self, *statements: Any) -> Cursor:
        """Execute several statements."""
        self.connection.check()
        super().executescript(*statements)
        return self


class Connection(sqlite3.Connection):
    """What ``run(fn)`` gives to ``fn``: a `sqlite3.Connection` that stays as it is."""

    _is_unit = False
    _opened: list[weakref.ref[Cursor]]

    @contextmanager
    def unit(self) -> Iterator[None]:
        """Let what runs in the block run in its transaction alone, and leave no cursor of its own open.

        A cursor that is read from goes on seeing the database of its time, and so would the whole connection.
        """
        self._is_unit, self._opened = True, []
        try:
            yield
        finally:
            self._is_unit = False
            for reference in self._opened:
                cursor = reference()
                if cursor is not None:
                    cursor.close()

    def check(self) -> None:
        """Raise if the transaction of the unit that runs is lost."""
        if self._is_unit and not self.in_transaction:
            raise sqlite3.OperationalError(
                "the transaction was rolled back under this function, by ON CONFLICT ROLLBACK, RAISE(ROLLBACK) or a"
                " full disk: nothing more can be done in it. Let that error out instead of going on"
            )

    def execute(self, *statement: Any) -> Cursor:
        """Execute a statement by a new cursor, for which sqlite3's own doesn't ask `cursor`."""
        return self.cursor().execute(*statement)  # type: ignore[no-any-return]  # a Cursor's

    def executemany(self, *statement: Any) -> Cursor:
        """Execute a statement for many rows by a new cursor."""
        return self.cursor().executemany(*statement)  # type: ignore[no-any-return]  # as above

    def executescript(self, *statements: Any) -> Cursor:
        """Execute several statements by a new cursor."""
        return self.cursor().executescript(*statements)  # type: ignore[no-any-return]  # as above

    def cursor(self, factory: Any = Cursor) -> Any:
        """Return a new cursor."""
        cursor = super().cursor(factory)
        if self._is_unit:
            self._opened.append(weakref.ref(cursor))
            if len(self._opened) > _MANY:
                self._opened = [reference for reference in self._opened if reference() is not None]
        return cursor

    def close(self) -> NoReturn:
        """Refuse: the connection is the database's, and others' work is on it."""
        raise sqlite3.ProgrammingError("the connection belongs to the perfkit database: leave it open")

    def set_authorizer(self, authorizer_callback: Any) -> NoReturn:  # noqa: ARG002 (sqlite3's name for it)
        """Refuse: the authorizer guards everybody's transaction."""
        raise sqlite3.ProgrammingError("the connection's authorizer is perfkit's: it keeps transactions apart")

    def end(self) -> None:
        """Close it: for its owner."""
        super().close()

    def watch(self, guard: Guard) -> None:
        """Let a guard say what may be prepared."""
        super().set_authorizer(guard)


class Guard:
    """An authorizer that denies transaction statements unless it is ``off``.

    SQLite asks when it prepares a statement, not when it runs one again. So the guard costs nothing; but what was
    allowed once is prepared, and allowed for ever. Our own statements have texts of their own for that reason.
    """

    __slots__ = ("_path", "denied", "off")

    def __init__(self, path: str) -> None:
        self._path = path
        self.off = False
        self.denied: str | None = None

    def __call__(self, action: int, first: str | None, *_: object) -> int:
        """Tell SQLite whether a statement that does ``action`` may be prepared."""
        if self.off or action not in (_TRANSACTION, _SAVEPOINT, _ATTACH, _DETACH):
            return sqlite3.SQLITE_OK
        self.denied = {_SAVEPOINT: "SAVEPOINT", _ATTACH: "ATTACH", _DETACH: "DETACH"}.get(action, first or "BEGIN")
        return sqlite3.SQLITE_DENY

    def explained(self, error: BaseException, connection: sqlite3.Connection) -> BaseException:
        """Return an error that says what to do, where SQLite's own doesn't; else the error itself."""
        if not isinstance(error, sqlite3.Error):
            return error
        denied, self.denied = self.denied, None
        if denied and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_AUTH:
            return self._refusal(denied, error)
        if str(error).startswith("too many SQL variables"):
            limit = connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
            return _caused(
                TooManyParameters(
                    f"the statement has more than {limit} parameters, which is SQLite's limit: use executemany() for"
                    " rows, or a temporary table, or json_each(?) for a long list",
                    path=self._path,
                    limit=limit,
                ),
                error,
            )
        return error

    def _refusal(self, denied: str, error: sqlite3.Error) -> BaseException:
        if denied in {"ATTACH", "DETACH"}:
            text = f"{denied} can't be part of a transaction: execute() it by itself"
        else:
            text = (
                f"{denied} is refused: perfkit begins and commits the transaction, which others may share."
                " For several statements in one transaction use transaction(), or a function with run()"
            )
        return _caused(TransactionRefused(text, path=self._path), error)


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
