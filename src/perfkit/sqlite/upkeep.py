"""What a database needs beside its writes: checkpoints, statistics for the planner, space given back. Never VACUUM.

A PASSIVE checkpoint waits for nobody. While there is much to write, one runs now and then in a thread beside the
writer, so that the one SQLite does by itself in a commit (see ``connecting.py``) finds little left to do; else the
writer does it when it has nothing to write. See SQLite's pages "Write-Ahead Logging", "PRAGMA optimize" and "PRAGMA
auto_vacuum".
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from perfkit._base.logs import logger
from perfkit._base.workers import Workers
from perfkit.sqlite.connecting import open_upkeep
from perfkit.sqlite.patience import primary_code

if TYPE_CHECKING:
    from perfkit.sqlite.options import Options
    from perfkit.sqlite.sink import SQLiteSink

__all__ = ["Upkeep"]


_QUIET = 1.0  # seconds without work until the writer looks after the database
_HOUR = 3600.0  # between two runs of PRAGMA optimize
_MANY = 2000  # rows changed, after which a checkpoint beside the writer is worth its flushes
_APART = 0.25  # seconds between two of those, at least
_LARGE = 40 << 20  # bytes of WAL, after which it is emptied, and not only moved into the database
_PATIENCE = 1.0  # seconds for those who read from the WAL to move on
_PAGES = 100  # given back at a time: a third of a millisecond

_workers = Workers(2, "perfkit-sqlite-checkpoint")


class Upkeep:
    """Decides what is due, and does it: in the writer's thread, but for checkpoints beside it."""

    def __init__(self, options: Options) -> None:
        self.checkpoints = 0
        self._options = options
        self._changes = self._seen = 0  # rows changed so far, and up to the last checkpoint
        self._is_vacuuming = True  # until there is nothing to give back
        self._optimized = time.monotonic()
        self._again = 0.0  # when the WAL may be emptied again
        self._beside = _Beside(options)

    def after_batch(self, sink: SQLiteSink) -> None:
        """Note how many rows were changed so far; start a checkpoint beside the writer if that is much.

        What has come to the WAL while that ran is done here: little, and it lets SQLite begin at the WAL's start again,
        which keeps it small, and flushing it cheap.
        """
        self._changes = changes = sink.connection.total_changes
        if self._beside.has_caught_up:
            self._beside.has_caught_up = False
            self._checkpoint(sink, "PASSIVE")
            return
        if changes - self._seen >= _MANY and not self._options.is_memory and self._beside.start():
            self._seen = changes
            self._is_vacuuming = True
            self.checkpoints += 1
            self._keep_small(sink)

    def due(self) -> float:
        """Return the seconds that the writer may idle until something is to be done; below 0 for ever."""
        if self._options.is_memory:
            return -1
        if self._changes != self._seen or self._is_vacuuming:
            return _QUIET
        return min(max(_QUIET, self._optimized + _HOUR - time.monotonic()), threading.TIMEOUT_MAX)

    def when_idle(self, sink: SQLiteSink) -> None:
        """Do the next thing that is due. Short, for a caller may come at any moment."""
        if self._changes != self._seen:
            self._checkpoint(sink, "PASSIVE")
            self._is_vacuuming = True
        elif self._is_vacuuming:
            self._is_vacuuming = _give_back(sink, _PAGES)
        elif time.monotonic() >= self._optimized + _HOUR:
            self._optimize(sink)

    def everything(self, sink: SQLiteSink, _: Any = None) -> None:
        """Do it all now, and empty the WAL unless somebody goes on reading from it."""
        self._optimize(sink)
        _give_back(sink, 0)
        self._empty(sink, _PATIENCE)

    def at_end(self, sink: SQLiteSink) -> None:
        """Do what should be done before the connection is closed, which empties the WAL."""
        self._beside.close()
        with suppress(sqlite3.Error):  # another process writes, or the disk is full: the next one to close does it
            self._optimize(sink)

    def wal_bytes(self) -> int:
        """Return the size of the WAL file."""
        try:
            return os.stat(os.path.realpath(self._options.path) + "-wal").st_size  # SQLite follows links first
        except OSError:
            return 0

    def _keep_small(self, sink: SQLiteSink) -> None:
        """Empty a WAL that has grown large because no moment was without a reader: hold up writing until there is one.

        Some that reads for long may be in the way. So this takes no more than a tenth of the time.
        """
        now = time.monotonic()
        if now < self._again or self.wal_bytes() < _LARGE:
            return
        self._empty(sink, _PATIENCE / 4)
        self._again = now + 10 * (time.monotonic() - now)

    def _empty(self, sink: SQLiteSink, patience: float) -> None:
        with self._beside.paused():
            until = time.monotonic() + patience
            while self._checkpoint(sink, "TRUNCATE") and time.monotonic() < until:
                time.sleep(patience / 100)

    def _checkpoint(self, sink: SQLiteSink, how: str) -> bool:
        """Move the WAL into the database; True if somebody was in the way."""
        self._seen = self._changes
        self.checkpoints += 1
        try:
            return bool(_plain(sink).execute(f"PRAGMA wal_checkpoint({how})").fetchone()[0])
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY:
                raise
            return True

    def _optimize(self, sink: SQLiteSink) -> None:
        self._optimized = time.monotonic()
        _plain(sink).execute("PRAGMA analysis_limit=400").fetchall()
        with suppress(sqlite3.OperationalError):  # another process writes: it is not worth waiting for
            _plain(sink).execute("PRAGMA optimize").fetchall()


def _give_back(sink: SQLiteSink, pages: int) -> bool:
    """Give free pages at the end of the file back to the file system (0: all); tell whether there may be more."""
    ask = _plain(sink)
    free = ask.execute("PRAGMA freelist_count").fetchone()[0]
    if not free or ask.execute("PRAGMA auto_vacuum").fetchone()[0] != 2:
        return False
    with suppress(sqlite3.OperationalError):  # another process writes
        sink.connection.executescript(f"PRAGMA incremental_vacuum({pages})")  # execute() would do a single page
    return bool(0 < pages < free)


def _plain(sink: SQLiteSink) -> sqlite3.Cursor:
    """Return a cursor that gives tuples, whatever the database's row factory does."""
    cursor: sqlite3.Cursor = sink.connection.cursor()
    cursor.row_factory = None
    return cursor


class _Beside:
    """Checkpoints in a thread of their own, one at a time and not too often."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._last = 0.0
        self._is_closed = False
        self.has_caught_up = False  # nothing but what came since it began was left in the WAL

    def start(self) -> bool:
        """Start one; False if one is under way, or was a moment ago."""
        now = time.monotonic()
        if now - self._last < _APART or self._lock.locked():
            return False
        self._last = now
        try:
            _workers.submit(self._run)
        except RuntimeError:  # no thread is to be had: SQLite's own checkpoints do
            return False
        return True

    def paused(self) -> threading.Lock:
        """Return what keeps it from running while it is held."""
        return self._lock

    def close(self) -> None:
        """Close the connection, after the checkpoint that is under way."""
        with self._lock:
            self._is_closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(self) -> None:
        with self._lock:
            if self._is_closed:
                return
            try:
                if self._connection is None:
                    self._connection = open_upkeep(self._options)
                _, there, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self.has_caught_up = there == moved
            except sqlite3.Error as error:  # a full disk: SQLite's own checkpoints will tell, if it lasts
                logger("sqlite").debug("a checkpoint of %s failed: %s", self._options.path, error)
