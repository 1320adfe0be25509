"""Opening connections: checked before anything is written, and set up alike each time.

No file of a database is ever opened here but by SQLite: closing any descriptor of a file drops all of the process's
POSIX locks on it, SQLite's too ("How To Corrupt An SQLite Database File", 2.2).
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from perfkit.sqlite.errors import DatabaseCorrupt, DatabaseError
from perfkit.sqlite.guard import Connection, Guard
from perfkit.sqlite.lent import LentReader
from perfkit.sqlite.patience import primary_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.sqlite.options import Options
    from perfkit.sqlite.patience import Patience

__all__ = [
    "guarded",
    "open_lent",
    "open_reader",
    "open_upkeep",
    "open_writer",
    "reader_uri",
    "set_foreign_keys",
    "set_up_lent",
    "set_up_reader",
]

# Where SQLite itself starts to move the WAL into the database. The file is kept at the size it grew to, up to the
# second, because overwriting is cheaper to flush than growing.
_WAL_BYTES = 40 << 20
_WAL_KEPT = 64 << 20
_STATEMENTS = 256
# Those that say how one connection works. The others are of the file, or of writing.
_OF_READERS = {
    *("automatic_index", "cache_size", "cache_spill", "case_sensitive_like", "cell_size_check", "foreign_keys"),
    *("mmap_size", "recursive_triggers", "reverse_unordered_selects", "temp_store", "threads", "trusted_schema"),
}


def open_writer(options: Options, patience: Patience) -> Connection:
    """Return the connection that writes, its file checked and in WAL mode.

    Raises DatabaseCorrupt with the file as it was; DatabaseBusy; DatabaseError where there can be no WAL;
    sqlite3.OperationalError.
    """
    connection: Connection = _connected(options, options.path, factory=Connection)
    try:
        _check(connection, options.path, patience)
        patience.call(_set_up_writer, connection, options)
        connection.row_factory = options.row_factory
        if options.on_connect is not None:
            options.on_connect(connection)
    except BaseException:
        connection.end()
        raise
    return connection


def set_foreign_keys(connection: sqlite3.Connection, options: Options) -> None:
    """Enforce foreign keys, if that was asked for: after the migrations, which may rebuild tables."""
    for name, value in options.pragmas.items():
        if name.lower() == "foreign_keys":
            _pragma(connection, name, value)


def open_reader(options: Options, *, check_same_thread: bool = True) -> sqlite3.Connection:
    """Return a connection that can't write."""
    connection: sqlite3.Connection = _opened_to_read(options, set_up_reader, check_same_thread=check_same_thread)
    return connection


def open_lent(options: Options) -> LentReader:
    """Return a connection that can't write, to be lent."""
    connection: LentReader = _opened_to_read(options, set_up_lent, check_same_thread=False, factory=LentReader)
    return connection


def _opened_to_read(options: Options, set_up: Callable[[Any, Options], None], **more: Any) -> Any:
    connection = _connected(options, reader_uri(options.path), uri=True, **more)
    try:
        set_up(connection, options)
    except BaseException:
        connection.close()
        raise
    return connection


def set_up_reader(connection: sqlite3.Connection, options: Options) -> None:
    """Make a connection one that only reads, with the options' row factory."""
    for name, value in options.pragmas.items():
        if name.lower() in _OF_READERS:
            _pragma(connection, name, value)
    connection.execute("PRAGMA query_only=ON")
    connection.row_factory = options.row_factory
    if options.on_connect is not None:
        options.on_connect(connection)


def set_up_lent(connection: LentReader, options: Options) -> None:
    """Make a connection one that only reads, to be lent."""
    set_up_reader(connection, options)
    connection.lend()


def open_upkeep(options: Options) -> sqlite3.Connection:
    """Return a connection for checkpoints."""
    connection: sqlite3.Connection = _connected(options, options.path, check_same_thread=False)
    _set_durability(connection, options)
    return connection


def reader_uri(path: str) -> str:
    """Return what opens a file read-only."""
    root = "//" if path.startswith("/") else ""  # or a path with two slashes would begin with a host
    return f"file:{root}{quote(os.fsencode(path))}?mode=ro"


def _connected(options: Options, database: str, **more: Any) -> Any:
    try:
        return sqlite3.connect(
            database,
            timeout=0,  # we wait by ourselves; see patience.py
            isolation_level=None,  # or the module would begin transactions of its own
            cached_statements=_STATEMENTS,
            **more,
        )
    except sqlite3.OperationalError as error:
        directory = os.path.dirname(options.path)
        if not os.path.isdir(directory):
            error.add_note(f"there is no directory {directory}: create it first, for example with os.makedirs()")
        elif os.path.isdir(options.path):
            error.add_note(f"{options.path} is a directory: name a file in it")
        else:
            error.add_note(f"the path is {options.path}")
        raise


def _check(connection: sqlite3.Connection, path: str, patience: Patience) -> None:
    """Have SQLite read header and schema, before anything is written."""
    try:
        patience.call(lambda: connection.execute("SELECT count(*) FROM sqlite_schema").fetchone())
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        raise DatabaseCorrupt(
            f"{path} is no SQLite database, or a damaged one ({error}); it was not touched. Check the path, restore a"
            " backup, or try `sqlite3 FILE .recover`",
            path=path,
        ) from error


def _set_up_writer(connection: sqlite3.Connection, options: Options) -> None:
    if _asked(connection, "PRAGMA page_count") == 0:  # a new file: later it would take a VACUUM
        _pragma(connection, "auto_vacuum", "INCREMENTAL")
    for name, value in options.pragmas.items():
        if name.lower() != "foreign_keys":
            _pragma(connection, name, value)
    mode = _asked(connection, "PRAGMA journal_mode=WAL")
    if mode != ("memory" if options.is_memory else "wal"):
        raise DatabaseError(
            f"{options.path} can't be switched to WAL (journal_mode is {mode!r}): it has to be on a local file system"
            " that this process may write to",
            path=options.path,
        )
    _set_durability(connection, options)
    _pragma(connection, "wal_autocheckpoint", max(1, _WAL_BYTES // _asked(connection, "PRAGMA page_size")))
    _pragma(connection, "journal_size_limit", _WAL_KEPT)


def _set_durability(connection: sqlite3.Connection, options: Options) -> None:
    power = options.durability == "power"
    _pragma(connection, "synchronous", "FULL" if power else "NORMAL")
    if power:  # macOS: through the drive's cache too; elsewhere these do nothing
        _pragma(connection, "fullfsync", 1)
        _pragma(connection, "checkpoint_fullfsync", 1)


def _pragma(connection: sqlite3.Connection, name: str, value: object) -> None:
    text = str(int(value) if isinstance(value, bool) else value).replace("'", "''")
    cursor = connection.cursor()
    cursor.row_factory = None
    cursor.execute(f"PRAGMA {name}='{text}'" if isinstance(value, str) else f"PRAGMA {name}={text}").fetchall()


def _asked(connection: sqlite3.Connection, question: str) -> Any:
    return connection.execute(question).fetchone()[0]


def guarded(connection: Connection, options: Options) -> Guard:
    """Put the guard on a writer's connection."""
    guard = Guard(options.path, options.owned)
    connection.watch(guard)
    return guard
