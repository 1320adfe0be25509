"""Waiting for a lock that another process has, in small steps that give everybody a turn."""

from __future__ import annotations

import random
import sqlite3
import time
from typing import TYPE_CHECKING, Any, TypeVar

from perfkit._base.clock import Deadline
from perfkit.sqlite.errors import DatabaseBusy

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

__all__ = ["Patience", "primary_code"]

# SQLite's own busy timeout backs off to 100 ms, so whoever has waited longest has the worst chance.
_STEP = 0.001


def primary_code(error: BaseException) -> int | None:
    """Return the primary result code of an error of SQLite's, or None."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None


class Patience:
    """Retries for up to ``timeout`` seconds in all, counted from the first refusal since the last `renew`."""

    __slots__ = ("_deadline", "_path", "_timeout", "retries")

    def __init__(self, path: str, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._deadline: Deadline | None = None
        self.retries = 0

    def renew(self) -> None:
        """Start with all patience again."""
        self._deadline = None

    def call(self, function: Callable[..., T], *args: Any) -> T:
        """Return ``function(*args)``, again and again while SQLite says that the database is busy.

        Raises DatabaseBusy when the time is up.
        """
        while True:
            try:
                return function(*args)
            except sqlite3.OperationalError as error:
                if primary_code(error) != sqlite3.SQLITE_BUSY:
                    raise
                self._wait(error)

    def _wait(self, error: sqlite3.OperationalError) -> None:
        if self._deadline is None:
            self._deadline = Deadline(self._timeout)
        if self._deadline.is_over():
            raise DatabaseBusy(
                f"{self._path} was locked by another process for the busy_timeout of {self._timeout:g} s; nothing"
                " was written. Look for a long transaction there, or a connection left in the middle of one",
                path=self._path,
                timeout=self._timeout,
            ) from error
        self.retries += 1
        time.sleep(_STEP * random.uniform(0.5, 1.5))  # noqa: S311 (it keeps processes out of step)
