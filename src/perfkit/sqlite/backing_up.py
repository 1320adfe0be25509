"""Backups: a copy of one moment, put in place at once."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
import stat
from typing import TYPE_CHECKING

from perfkit._base import atomic
from perfkit.sqlite.connecting import open_reader
from perfkit.sqlite.options import MEMORY, checked_path
from perfkit.sqlite.patience import Patience

if TYPE_CHECKING:
    from perfkit.sqlite.options import Options

__all__ = ["Backup"]

_BESIDE = ("-wal", "-shm", "-journal")


class Backup:
    """A backup that is to be made: by `from_file`, or by `from_connection` for a database in memory."""

    def __init__(self, options: Options, path: str | os.PathLike[str], *, replace: bool) -> None:
        self._options = options
        self._path = checked_path(path)
        self._replace = replace
        if self._path == MEMORY:
            raise ValueError("a backup's path must name a file, not ':memory:'")

    def from_file(self) -> str:
        """Make it from a connection of its own, so that writing goes on meanwhile; return its path."""
        self._check()
        patience = Patience(self._options.path, self._options.busy_timeout)
        with contextlib.closing(patience.call(open_reader, self._options)) as source:
            return self.from_connection(source)

    def from_connection(self, source: sqlite3.Connection) -> str:
        """Make it from a connection that nobody else uses meanwhile; return its path."""
        self._check()
        directory, name = os.path.split(os.path.realpath(self._path))
        temp = os.path.join(directory, f".{name}.{secrets.token_hex(4)}.perfkit-tmp")
        try:
            _make(temp, self._mode())
            _copy(source, temp)
            self._put_in_place(temp, os.path.join(directory, name))
        finally:
            for ending in ("", *_BESIDE):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temp + ending)
        return self._path

    def _check(self) -> None:
        """Refuse what would overwrite something, or fall prey to another database's leavings."""
        target = os.path.realpath(self._path)  # SQLite follows links too, before it looks for what is beside a file
        if os.path.isdir(target):
            raise IsADirectoryError(errno.EISDIR, "a backup is a file: name one in this directory", self._path)
        if target.endswith(_BESIDE):
            raise ValueError(
                f"{target} is what SQLite calls a part of {target.rpartition('-')[0]}: choose another path"
            )
        if os.path.exists(target):
            if not self._options.is_memory and os.path.samefile(target, self._options.path):
                raise ValueError(f"{self._path} is the database itself: a backup needs a path of its own")
            if not self._replace:
                raise FileExistsError(
                    errno.EEXIST, "there is a file already; replace=True replaces it at once", self._path
                )
        for ending in ("-wal", "-journal"):
            if os.path.exists(target + ending):
                raise FileExistsError(
                    errno.EEXIST,
                    "a database of that name is open, or was left in the middle of something: SQLite would take this"
                    " file for a part of the backup. Close it, or choose another path",
                    target + ending,
                )

    def _mode(self) -> int:
        """Nobody may read the copy who may not read the database."""
        return 0o600 if self._options.is_memory else stat.S_IMODE(os.stat(self._options.path).st_mode)

    def _put_in_place(self, temp: str, target: str) -> None:
        fd = os.open(temp, os.O_RDWR)
        try:
            atomic.sync_file(fd)
        finally:
            os.close(fd)
        with atomic.flushed_directory(target):
            if self._replace or os.name == "nt":
                (os.replace if self._replace else os.rename)(temp, target)  # on Windows a rename replaces nothing
            else:
                os.link(temp, target)  # which, unlike a rename, never replaces what has come meanwhile


def _make(path: str, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if os.name != "nt":
            os.fchmod(fd, mode)
    finally:
        os.close(fd)


def _copy(source: sqlite3.Connection, path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as target:
        target.execute("PRAGMA synchronous=OFF")  # flushed as a whole afterwards
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # one file, with nothing beside it
