"""What `Database` and `AsyncDatabase` share: arguments, states, and how a call becomes an operation."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from perfkit import registry
from perfkit._base import fork
from perfkit._base.calling import named, refusing
from perfkit._base.clock import Deadline
from perfkit.sqlite.carrying import carried_by, carrying
from perfkit.sqlite.engine import Engine
from perfkit.sqlite.errors import DatabaseClosed, DatabaseError, DatabaseForked, TransactionRefused
from perfkit.sqlite.functions import check_function, checked_result
from perfkit.sqlite.options import MEMORY, Options, checked_path, checked_pragmas, checked_seconds
from perfkit.sqlite.reading import columns_of
from perfkit.sqlite.scan import Scan
from perfkit.sqlite.session import Session
from perfkit.sqlite.sink import Many, Query
from perfkit.sqlite.statements import Kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from perfkit._base.atomic import Durability
    from perfkit.sqlite.backing_up import Backup
    from perfkit.sqlite.batch import Operation, Waiter
    from perfkit.sqlite.options import Migration, RowFactory
    from perfkit.sqlite.sink import SQLiteSink
    from perfkit.sqlite.stats import DatabaseStats
    from perfkit.sqlite.writer import Deliver

__all__ = ["CLOSED", "NEW", "DatabaseBase", "backed_up", "constructor", "inside", "many", "nothing"]

# The sessions that the running code is in the middle of: what would wait for one of them would wait for itself.
inside: ContextVar[tuple[Session, ...]] = ContextVar("perfkit.sqlite transactions", default=())

NEW, OPEN, CLOSED, FORKED = "not opened yet", "open", "closed", "opened before a fork"


# What sqlite3.connect() and aiosqlite.connect() take.
_INSTEAD = {
    "timeout": "busy_timeout= is how long to wait for another process's lock",
    "isolation_level": "perfkit begins and commits by itself",
    "detect_types": "use packed() and unpack= for Python's values",
    "check_same_thread": "any thread may use it",
    "autocommit": "perfkit begins and commits by itself",
    "factory": "on_connect= sets connections up",
    "uri": "path= is a plain path",
}


def _refuse_arguments(given: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    for name in keywords.keys() & _INSTEAD.keys():
        raise TypeError(f"{type(given[0]).__name__}() takes no {name}: {_INSTEAD[name]}")


class DatabaseBase:
    """A path, its options, and the engine while it is open."""

    _in_a_transaction = "`with db.transaction() as tx` gave, such as tx.execute()"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Durability = "process",
        readers: int = 2,
        max_pending: int = 10_000,
        max_batch: int = 1000,
        busy_timeout: float = 5.0,
        pragmas: Mapping[str, Any] | None = None,
        migrations: Sequence[Migration] | None = None,
        row_factory: RowFactory | None = sqlite3.Row,
        on_connect: Callable[[sqlite3.Connection], object] | None = None,
        name: str | None = None,
    ) -> None:
        place = checked_path(path)
        if place == MEMORY:
            readers = min(readers, 0) if isinstance(readers, int) else readers  # nobody else sees what is in there
        self._options = Options(
            place,
            durability,
            readers,
            max_pending,
            max_batch,
            busy_timeout,
            checked_pragmas(pragmas),
            migrations,
            row_factory,
            on_connect,
        )
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, or None for the file's name, not {name!r}")
        self.name = name or os.path.basename(place)
        self._kinds = Kinds()
        self._state = NEW
        self._is_watched = True  # calls have to look at the state, or at who calls
        self._engine: Engine | None = None
        self._starting: Engine | None = None  # the same, from before it is open
        self._writer_thread = -1
        self._carried = False  # the writer is in a function of a caller's
        self._begin()
        fork.after_in_child(self)
        registry.register(self, part="sqlite")

    def _begin(self) -> None:
        """Set what a subclass has of its own."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<perfkit.{type(self).__name__} {self._options.path!r}, {self._state}>"

    @property
    def path(self) -> str:
        """The file's absolute path, or ``":memory:"``."""
        return self._options.path

    def stats(self) -> DatabaseStats:
        """Return the figures since it was opened. Cost: some 20 µs."""
        engine = self._engine or Engine(self._options, _to_nobody)
        return engine.stats(self.name)

    # -- states

    def _check(self) -> None:
        """Raise unless calls are served."""
        if self._state == CLOSED:
            raise self._closed_error()
        if self._state == FORKED:
            raise self._forked_error()

    def _forked_error(self) -> DatabaseForked:
        return DatabaseForked(
            f"{self.path} was opened before this process was forked: make another {type(self).__name__} in the"
            " child. SQLite's connections can't be carried over",
            path=self.path,
        )

    def _closed_error(self) -> DatabaseClosed:
        return DatabaseClosed(f"{self.path} was closed: make another {type(self).__name__} to use it", path=self.path)

    def _refuse_writer(self) -> None:
        """Raise in code that the writer runs, which would wait for itself."""
        engine = self._starting
        if engine is not None and carried_by(engine.writer.thread):
            raise TransactionRefused(
                "this runs in the writer, and would wait for itself: use the connection that the function was given",
                path=self.path,
            )

    def _refuse_nesting(self) -> None:
        self._refuse_writer()
        engine = self._engine
        if engine is not None and any(session in engine.sessions and not session.is_over for session in inside.get()):
            raise TransactionRefused(
                "this is inside of a transaction() of the same database, and would wait for its end: use what"
                f" {self._in_a_transaction}",
                path=self.path,
            )

    def _start(self, deliver: Deliver, opened: Waiter) -> Engine:
        """Have a new engine open the file."""
        self._starting = engine = Engine(self._options, deliver)
        engine.start((opened, None, None, False))
        return engine

    def _has_opened(self, engine: Engine) -> None:
        self._engine = engine
        self._writer_thread = engine.writer.thread.ident or -1
        self._state = OPEN
        engine.readers.start()
        self._is_watched = False
        weakref.finalize(self, engine.close).atexit = False

    def _has_closed(self) -> bool:
        """Accept no more calls; True the first time."""
        if self._state not in (NEW, OPEN):
            return False
        self._state, self._is_watched = CLOSED, True
        return True

    def _after_fork_in_child(self) -> None:
        if self._engine is not None:
            self._engine.park(self._forked_error())
        if self._state != CLOSED and self._engine is not None:
            self._state = FORKED
        self._is_watched = True

    # -- calls

    def _opened_engine(self) -> Engine:
        assert self._engine is not None  # noqa: S101 (asked after opening)
        return self._engine

    def _submit(self, waiter: Waiter, work: Any, argument: Any, alone: bool = False) -> None:
        """Queue an operation for the writer."""
        writer = self._opened_engine().writer
        writer.queue.waiting.append((waiter, work, argument, alone))
        if writer.is_idle:
            writer.wake()
        if not writer.is_open:  # closed since this call looked
            writer.refuse()

    def _ask(self, waiter: Waiter, how: Query, sql: str, parameters: Any, unpack: Sequence[str]) -> None:
        """Queue a query for the readers, or for the writer where there are none."""
        asked = sql, parameters, columns_of(unpack)
        readers = self._opened_engine().readers
        if not self._options.readers:
            self._submit(waiter, how, asked)
            return
        readers.waiting.append((waiter, how, asked, False))
        if readers.idle:
            readers.wake()
        if readers.has_ended:  # as above
            readers.refuse()

    def _session(self, timeout: float | None) -> tuple[Session, Deadline]:
        """Make a session, which counts as open from now on."""
        seconds = None if timeout is None else checked_seconds("timeout", timeout, above_zero=True)
        deadline = Deadline(None if seconds == float("inf") else seconds)
        engine = self._opened_engine()
        session = Session(self.path, deadline, engine.deliver)
        engine.sessions.add(session)
        engine.transactions += 1
        self._is_watched = True
        return session, deadline

    def _has_ended(self, session: Session) -> None:
        self._opened_engine().sessions.discard(session)
        self._watch_less()

    def _watch_less(self) -> None:
        self._is_watched = False
        # Looked at afterwards: it may have come this moment.
        if self._opened_engine().sessions or self._carried or self._state != OPEN:
            self._is_watched = True

    def _unit(self, fn: Callable[[sqlite3.Connection], Any]) -> Callable[[sqlite3.Connection, Any], Any]:
        """Return the work of a run."""
        check_function("run()", fn)

        def carried(connection: sqlite3.Connection, _: Any) -> Any:
            self._carried = self._is_watched = True
            try:
                with carrying():
                    return checked_result(fn(connection))
            finally:
                self._carried = False
                self._watch_less()

        return carried

    def _scan(self, sql: str, parameters: Any, unpack: Sequence[str], max_age: float) -> Scan:
        scan = Scan(
            self._options, sql, parameters, columns_of(unpack), checked_seconds("max_age", max_age, above_zero=True)
        )
        self._opened_engine().scans.add(scan)
        return scan

    def _note_readers(self, error: TimeoutError) -> None:
        """Say which argument decides how many connections are lent."""
        readers = self._options.readers
        error.add_note(f"{max(1, readers)} at a time, as readers={readers} says: give one back, or allow more readers")

    def _refuse_memory(self, what: str) -> None:
        if self._options.is_memory:
            raise DatabaseError(
                f"{what} needs a file: what is in {MEMORY!r} is seen by the writer's connection alone; use run(fn)",
                path=self.path,
            )


def constructor(name: str) -> Any:
    """Return the ``__init__`` of the class of that name: errors in a call of it are told in its words."""
    return refusing(_refuse_arguments)(named(DatabaseBase.__init__, name))


def many(sql: str, rows: Iterable[Any]) -> tuple[Many, tuple[Any, ...]]:
    """Return the work of an executemany; the rows are taken now, because they may be needed twice."""
    if not isinstance(sql, str):
        raise TypeError(f"sql must be a str, one SQL statement, not {sql!r}")
    if not isinstance(rows, Iterable):
        raise TypeError(f"rows must be an iterable of parameters, such as [(1,), (2,)], not {rows!r}")
    return Many(sql), tuple(rows)


def backed_up(backup: Backup) -> Callable[[SQLiteSink, Any], str]:
    """Return the work of a backup from the writer's connection."""
    return lambda sink, _: backup.from_connection(sink.connection)


nothing = Query(lambda *_: None)


def _to_nobody(operations: Sequence[Operation], outcomes: Sequence[Any]) -> None:
    """Nobody waits."""
