"""The writer's connection, guarded: callers can't end their transaction, close it, or set what perfkit sets."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, NoReturn

from perfkit.sqlite.errors import TooManyParameters, TransactionRefused
from perfkit.sqlite.lent import Lent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EXECUTE", "MIGRATION", "RUN", "SESSION", "Connection", "Guard", "note_several"]

# What to do instead of beginning or ending a transaction, by where that was tried.
EXECUTE = (
    "perfkit begins and commits the transaction, which others may share. For several statements in one transaction use"
    " transaction(), or a function with run()"
)
RUN = (
    "perfkit commits when the function is over, and undoes it if it raises. Leave it out: `with conn:`, conn.commit(),"
    " conn.rollback() and conn.executescript() do it too. Use conn.execute() for one statement after another"
)
SESSION = (
    "the transaction() is committed at the end of its block, and rolled back if an exception leaves it. Leave it out;"
    " to have a part of it undone, use run() in it"
)
MIGRATION = (
    "each migration is a transaction of its own already. Leave it out: `with conn:`, conn.commit() and"
    " conn.executescript() do it too; a script is a str in migrations="
)

# Of sqlite3.h; the module has no names for the last two.
_PRAGMA, _TRANSACTION, _SAVEPOINT, _ATTACH, _DETACH = 19, 22, 32, 24, 25
_NAMING = {
    *(sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_TEMP_TABLE, sqlite3.SQLITE_CREATE_VTABLE),
    *(sqlite3.SQLITE_CREATE_VIEW, sqlite3.SQLITE_CREATE_TEMP_VIEW, sqlite3.SQLITE_ALTER_TABLE),
}
_HIDDEN = (
    "SELECT t.name FROM temp.sqlite_schema t JOIN main.sqlite_schema m ON m.name = t.name COLLATE NOCASE"
    " WHERE t.type IN ('table', 'view') AND m.type IN ('table', 'view') AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
)


class Connection(Lent):
    """What ``run(fn)`` gives to ``fn``: a `sqlite3.Connection` that stays as it is.

    Nothing more is carried out once SQLite has rolled the transaction back, because it would be committed by itself.
    """

    _guard: Guard

    def check(self) -> None:
        """Raise TransactionRefused if it is lent, and the transaction is not there any more."""
        if self._opened is not None and not self.in_transaction:
            raise self._guard.lost()

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that is closed with the unit of work."""
        if factory is not None:
            raise sqlite3.ProgrammingError("cursor() takes no factory here: perfkit has one of its own")
        return super().cursor()

    def close(self) -> NoReturn:
        """Refuse: the connection is the database's, and others' work is on it."""
        raise sqlite3.ProgrammingError("the connection belongs to the perfkit database: leave it open")

    def set_authorizer(self, authorizer_callback: Any) -> NoReturn:  # noqa: ARG002 (sqlite3's name for it)
        """Refuse: the authorizer guards everybody's transaction."""
        raise sqlite3.ProgrammingError("the connection's authorizer is perfkit's: it keeps transactions apart")

    def set_progress_handler(self, progress_handler: Any, n: int) -> None:
        """Set it, but not while it is lent: it would interrupt others."""
        self._refuse_setting("progress handler")
        super().set_progress_handler(progress_handler, n)

    def setlimit(self, category: int, limit: int, /) -> int:
        """Set a limit, but not while it is lent: it would hold for others."""
        self._refuse_setting("limits")
        return super().setlimit(category, limit)

    def end(self) -> None:
        """Close it: for its owner."""
        super().close()

    def watch(self, guard: Guard) -> None:
        """Let a guard say what may be prepared."""
        self._guard = guard
        super().set_authorizer(guard)

    def _refuse_setting(self, what: str) -> None:
        if self._opened is not None:
            raise sqlite3.ProgrammingError(f"the connection's {what} would stay for others: set them in on_connect=")


class Guard:
    """An authorizer that denies transaction statements, and the setting of ``owned`` pragmas, unless it is ``off``.

    What is ``alone`` is denied those pragmas only.

    SQLite asks when it prepares a statement, not when it runs one again. So the guard costs nothing; but what was
    allowed once is prepared, and allowed for ever. Our own statements have texts of their own for that reason.
    """

    __slots__ = ("_has_named", "_owned", "_path", "alone", "denied", "off", "where")

    def __init__(self, path: str, owned: Mapping[str, str]) -> None:
        self._path = path
        self._owned = owned  # name -> why
        self.off = self.alone = False
        self.where = EXECUTE
        self.denied: str | None = None
        self._has_named = False  # a table, since that was looked at

    def __call__(self, action: int, first: str | None, second: str | None, *_: object) -> int:
        """Tell SQLite whether a statement that does ``action`` may be prepared."""
        if action == _PRAGMA and second is not None and not self.off and (first or "").lower() in self._owned:
            self.denied = f"PRAGMA {(first or '').lower()}"
            return sqlite3.SQLITE_DENY
        if action in _NAMING:
            self._has_named = True
        if self.off or self.alone or action not in (_TRANSACTION, _SAVEPOINT, _ATTACH, _DETACH):
            return sqlite3.SQLITE_OK
        self.denied = {_SAVEPOINT: "SAVEPOINT", _ATTACH: "ATTACH", _DETACH: "DETACH"}.get(action, first or "BEGIN")
        return sqlite3.SQLITE_DENY

    def lost(self) -> TransactionRefused:
        """Return the error of whoever goes on in a transaction that SQLite has rolled back."""
        return TransactionRefused(
            "SQLite has rolled the transaction back (by ON CONFLICT ROLLBACK, RAISE(ROLLBACK), or for a full disk):"
            " nothing more can be done in it. Let the error that says so pass, or use ABORT instead of ROLLBACK",
            path=self._path,
        )

    def refuse_hiding(self, connection: sqlite3.Connection) -> None:
        """Raise TransactionRefused if a temporary table has the name of one that stays, which would be lost to all."""
        if not self._has_named:
            return
        self._has_named = False
        hidden = sqlite3.Cursor(connection).execute(_HIDDEN).fetchone()
        if hidden:
            raise TransactionRefused(
                f"a temporary table {hidden[0]!r} would hide the database's own for all who write, and what they write"
                f" would be gone when it is closed: give it another name, or drop it first, as temp.{hidden[0]}",
                path=self._path,
            )

    def explained(self, error: BaseException, connection: sqlite3.Connection) -> BaseException:
        """Return an error that says what to do, where SQLite's own doesn't; else the error itself."""
        if not isinstance(error, (sqlite3.Error, sqlite3.Warning)):
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
        note_several(error)
        return error

    def _refusal(self, denied: str, error: BaseException) -> BaseException:
        name = denied.removeprefix("PRAGMA ")
        if name != denied:
            text = f"PRAGMA {name} can be read, and is perfkit's to set: {self._owned[name]}"
        elif denied in {"ATTACH", "DETACH"}:
            text = f"{denied} can't be part of a transaction: execute() it by itself"
        else:
            text = f"{denied} is refused: {self.where}"
        return _caused(TransactionRefused(text, path=self._path), error)


def note_several(error: BaseException) -> None:
    """Say what to do with several statements in one string, if that is what an error is about."""
    if "one statement at a time" in str(error):
        error.add_note("for several statements use a function with run(), or transaction(); for a schema, migrations=")


def _caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error
