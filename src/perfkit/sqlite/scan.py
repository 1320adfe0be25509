"""A query that is read bit by bit, on a connection of its own, and not for longer than is good for the others."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from perfkit._base.maintenance import Alarm
from perfkit.sqlite.connecting import open_reader
from perfkit.sqlite.errors import StreamExpired
from perfkit.sqlite.patience import Patience
from perfkit.sqlite.reading import made_rows, note_reading

if TYPE_CHECKING:
    from perfkit.sqlite.options import Options

__all__ = ["Scan"]

_BYTES = 1 << 20  # of text and blobs in a chunk, about
_ROWS = 512  # in a chunk, at most
_FIRST = 16


class Scan:
    """An open query. Chunks are asked for one at a time, from any thread.

    An alarm ends it when it has been open for ``max_age`` seconds, whether or not anybody asks for more.
    """

    _connection: sqlite3.Connection | None = None  # here, because an interrupt may leave `__init__` undone

    def __init__(self, options: Options, sql: str, parameters: Any, unpack: tuple[str, ...], max_age: float) -> None:
        self._options = options
        self._asked = sql, parameters
        self._unpack = unpack
        self._max_age = max_age
        self._lock = threading.Lock()
        self._cursor: sqlite3.Cursor | None = None
        self._why: BaseException | None = None
        self._rows = _FIRST
        self._since = 0.0
        self._alarm = Alarm(self._expire)

    def age(self) -> float:
        """Return for how many seconds it has been reading."""
        return time.monotonic() - self._since if self.is_open else 0.0

    @property
    def is_open(self) -> bool:
        """Whether it reads from the database at the moment."""
        return self._connection is not None

    def chunk(self) -> list[Any]:
        """Return the next rows; none at the end. Raises StreamExpired, or why it was ended."""
        with self._lock:
            if self._why is not None:
                raise self._why
            try:
                return self._next()
            except BaseException as error:
                self._close()
                if self._why is not None:  # it was ended meanwhile: the interruption is not the reason
                    raise self._why from error
                note_reading(error)
                raise

    def end(self, why: BaseException) -> None:
        """End it: the next `chunk` raises ``why``."""
        if self._why is None:
            self._why = why
        connection = self._connection
        if connection is not None:
            with suppress(sqlite3.ProgrammingError):  # closed this moment
                connection.interrupt()
        if self._lock.acquire(blocking=False):  # else whoever is at it closes it
            try:
                self._close()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Close it; it must not be asked any more."""
        with self._lock:
            self._close()

    def __del__(self) -> None:
        if self._connection is not None:
            self.close()

    def _next(self) -> list[Any]:
        if self._cursor is None:
            self._open()
        cursor = self._cursor
        if cursor is None:  # it came to its end before
            return []
        raw = cursor.fetchmany(self._rows)
        if not raw:
            self._close()
            return []
        self._rows = _room(raw)
        factory = self._options.row_factory
        if factory is None and not self._unpack:
            return raw
        return made_rows(cursor, raw, self._unpack)

    def _open(self) -> None:
        if self._since:
            return
        patience = Patience(self._options.path, self._options.busy_timeout)
        self._connection = patience.call(_reader, self._options)
        self._since = time.monotonic()
        if self._max_age < threading.TIMEOUT_MAX:
            self._alarm.set(self._max_age)
        self._cursor = self._connection.cursor()
        self._cursor.row_factory = None
        patience.call(self._cursor.execute, *self._asked)

    def _expire(self) -> None:
        self.end(
            StreamExpired(
                f"the stream was open for its max_age of {self._max_age:g} s; what it reads from keeps the WAL growing."
                " Read faster, in several streams, or allow it more time",
                path=self._options.path,
                max_age=self._max_age,
            )
        )

    def _close(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            self._alarm.cancel()
            connection.close()


def _reader(options: Options) -> sqlite3.Connection:
    return open_reader(options, check_same_thread=False)


def _room(rows: list[tuple[Any, ...]]) -> int:
    """Return how many rows like these make a chunk."""
    size = sum(len(value) for row in rows for value in row if isinstance(value, (str, bytes)))
    return max(1, min(_ROWS, _BYTES * len(rows) // (size + 1)))
