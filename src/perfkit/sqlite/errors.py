"""What can go wrong with a database. ``perfkit.errors`` has the whole tree.

What SQLite itself says of a statement (a constraint, a table that isn't there, a full disk) stays the ``sqlite3`` error
that it is.
"""

import sqlite3

from perfkit.errors import PerfkitError

__all__ = [
    "DatabaseBusy",
    "DatabaseClosed",
    "DatabaseCorrupt",
    "DatabaseError",
    "DatabaseForked",
    "DatabaseLoopError",
    "DatabaseNewer",
    "PackError",
    "StreamExpired",
    "TooManyParameters",
    "TransactionRefused",
    "TransactionTimeout",
    "UnpackError",
]


class DatabaseError(PerfkitError):
    """The root of the errors of databases. ``path`` is the database's file (str)."""

    path: str


class DatabaseBusy(DatabaseError, sqlite3.OperationalError, TimeoutError):
    """Another process held the database's write lock for ``timeout`` seconds; nothing was written."""

    timeout: float


class DatabaseClosed(DatabaseError, sqlite3.ProgrammingError):
    """The database was closed, or is being closed; nothing was done."""


class DatabaseCorrupt(DatabaseError, sqlite3.DatabaseError):
    """The file is no SQLite database, or a damaged one. It was not touched."""


class DatabaseForked(DatabaseError, RuntimeError):
    """The database was opened before a fork, and this is the child: it has to open the file anew."""


class DatabaseLoopError(DatabaseError, RuntimeError):
    """The database is in use by another event loop."""


class DatabaseNewer(DatabaseError, RuntimeError):
    """The file has more migrations than the program knows.

    ``found`` is its ``user_version``, ``known`` the number of migrations that were given.
    """

    found: int
    known: int


class TooManyParameters(DatabaseError, sqlite3.OperationalError):
    """A statement has more parameters than SQLite takes, which is ``limit``."""

    limit: int


class TransactionRefused(DatabaseError, sqlite3.ProgrammingError):
    """What would end, or wait for, a transaction that isn't its own, or set a PRAGMA of perfkit's; it had no effect.

    Or what would hide a table of the database behind a temporary one.
    """


class TransactionTimeout(DatabaseError, TimeoutError):
    """A ``transaction()`` was not over in ``timeout`` seconds, and was rolled back."""

    timeout: float


class StreamExpired(DatabaseError, TimeoutError):
    """A ``stream()`` was open for longer than ``max_age`` seconds."""

    max_age: float


class PackError(PerfkitError, TypeError):
    """``packed()`` has no form for what is at ``where`` in the value."""

    where: str


class UnpackError(PerfkitError, ValueError):
    """What ``unpacked()`` was given is not what ``packed()`` made, or of a type that isn't registered here."""
