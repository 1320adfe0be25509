"""The writer's connection, guarded: what callers run on it can't end the transaction they share, nor close it."""

from __future__ import annotations

import sqlite3
from typing import Any, NoReturn

from perfkit.sqlite.errors import TooManyParameters, TransactionRefused

__all__ = ["Connection", "Guard"]

_TRANSACTION, _SAVEPOINT, _ATTACH, _DETACH = 22, 32, 24, 25  # of sqlite3.h; the module has no names for the last two


class Connection(sqlite3.Connection):
    """What ``run(fn)`` gives to ``fn``: a `sqlite3.Connection` that stays as it is."""

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
