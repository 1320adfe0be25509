"""`Database`: threads' way of driving an `Engine`."""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from perfkit.sqlite.backing_up import Backup
from perfkit.sqlite.base import CLOSED, NEW, DatabaseBase, backed_up, constructor, many, nothing
from perfkit.sqlite.delivery import Gate, ToThreads
from perfkit.sqlite.options import checked_seconds
from perfkit.sqlite.reading import ALL, ONE, VALUE
from perfkit.sqlite.thread_stream import Stream
from perfkit.sqlite.thread_transaction import Transaction

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from perfkit.sqlite.sink import Query, Result
    from perfkit.sqlite.thread_lending import Lending

    T = TypeVar("T")

__all__ = ["Database"]


class Database(DatabaseBase):
    """An SQLite file that many threads write and read at once: what waits at the same time is committed together.

    One thread of the database's own writes. While it commits, the calls that come queue up, and the next commit is for
    all of them: so a hundred callers cost one flush, and each is answered after it. Queries are answered by ``readers``
    threads, which never block the writer, nor it them (SQLite's WAL).

    Guarantees:
        * A call returns after the commit that holds what it wrote. Calls are carried out in the order in which they
          were accepted, and what has returned is seen by every read that begins later.
        * A call is carried out whole or not at all: also after ``kill -9``, a full disk, or a power cut. What was
          acknowledged survives what ``durability`` says.
        * A call that fails fails alone, with its own error; the others' work in the same commit stays.
        * At most ``max_pending`` calls wait for the writer; further callers wait until there is room.
        * Other processes may use the file: their locks are waited for, up to ``busy_timeout`` seconds.

    Opened by `open`, by ``with``, or by its first use; to be closed by `close`. One that is collected, or is open when
    the interpreter ends, is closed too, and what was accepted is committed.

    A call that is interrupted (KeyboardInterrupt) before the writer has begun with it never happens; after that it may
    be committed, whole.

    Args:
        path: str or path-like; made absolute now. ``":memory:"`` for a database in memory, which the writer reads too.
        durability: what survives. ``"process"``: the death of this process, at any moment; a power cut may take the
            last commits, and leaves the file sound. ``"power"``: a power cut too, for a flush a commit.
        readers: threads that answer queries, 0 to 64. With 0 the writer does, as it always does in memory.
        max_pending: calls that may wait for the writer, from 1.
        max_batch: calls in one transaction, from 1.
        busy_timeout: seconds to wait for another process's lock, from 0.
        pragmas: settings, such as ``{"foreign_keys": 1, "cache_size": -64_000}``. Those that say how a connection reads
            hold for readers too. Not ``journal_mode``, ``synchronous`` and the like, which are decided here.
        migrations: a list of SQL strings and functions of a connection, to be appended to and never changed otherwise.
            Each is applied once in the file's life, in order, in a transaction of its own, when it is opened;
            ``user_version`` counts them. Foreign keys are not enforced meanwhile.
        row_factory: makes rows, called with a cursor and a tuple; ``sqlite3.Row`` has columns by name and by number.
            None: tuples. It is that of the connections that `run` and `connection` give, too.
        on_connect: called with each new ``sqlite3.Connection``, in whichever thread makes it, to add functions,
            collations or extensions.
        name: what ``stats()`` calls it; the file's name if not given.

    Raises:
        TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Every method raises DatabaseClosed after `close`, DatabaseForked in a child of ``os.fork``, and what `open` raises,
    if it is the first.

    Cost: a thread that writes and ``readers`` that read, with a connection each, while it is open.

    Thread-safe. The design is group commit (D. DeWitt et al., SIGMOD '84) over SQLite's write-ahead log.
    """

    if not TYPE_CHECKING:
        __init__ = constructor("Database")

    def _begin(self) -> None:
        self._deliver = ToThreads(self._options.max_pending)
        self._mutex = threading.Lock()
        self._lending: Lending | None = None

    # -- opening and closing

    def open(self) -> None:
        """Open the file, unless it is open: check it, apply migrations, start the threads.

        Raises:
            DatabaseCorrupt: (also a sqlite3.DatabaseError) it is no SQLite database, or a damaged one; it is untouched.
            DatabaseNewer: it has more migrations than are given.
            DatabaseBusy: another process held it for ``busy_timeout`` seconds.
            DatabaseError: it can't be switched to WAL, because of where it is.
            sqlite3.OperationalError: it can't be opened: a note says why if that is a missing directory.

        And what a migration or ``on_connect`` raises. It may be tried again.
        """
        self._refuse_writer()
        with self._mutex:
            self._check()
            if self._state != NEW:
                return
            opened = Gate()
            engine = self._start(self._deliver, opened)
            opened.result()
            self._deliver.waiting = engine.writer.queue.waiting
            self._has_opened(engine)

    def close(self) -> None:
        """Carry out what was accepted, and close the file; calls that come later raise DatabaseClosed.

        Transactions that are open are rolled back; streams end with DatabaseClosed (rows that are in memory already are
        still given). May be called again.
        """
        self._refuse_writer()
        with self._mutex:
            if self._has_closed():
                self._deliver.turn_away(self._closed_error())
                if self._lending is not None:
                    self._lending.close()
        if self._engine is not None and self._state == CLOSED:
            closed = Gate()
            self._engine.close((closed, None, None, False))
            closed.result()

    def __enter__(self) -> Database:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    if not TYPE_CHECKING:  # whose users are told without it

        async def __aenter__(self):
            raise TypeError("a Database is entered by `with`; `async with` is for perfkit.AsyncDatabase")

        async def __aexit__(self, *_): ...

    # -- writing

    def execute(self, sql: str, parameters: Any = ()) -> Result:
        """Execute one statement, and return its result once it is committed.

        Args:
            sql: one SQL statement. BEGIN, COMMIT and the like are refused: see `transaction`. VACUUM, ATTACH, DETACH
                and PRAGMA run by themselves, outside of any transaction, on the writer's connection alone.
            parameters: a sequence for ``?``, or a mapping for ``:name``.

        Returns:
            A `Result <perfkit.sqlite.Result>` with ``rowcount``, ``lastrowid``, and ``rows`` if the statement gives
            some (``RETURNING``).

        Raises:
            sqlite3.Error: what SQLite says of it; nothing of it is left.
            TypeError: ``sql`` is no str.
            DatabaseBusy: another process held the write lock for ``busy_timeout`` seconds.
            TransactionRefused: it would begin or end a transaction, or set a PRAGMA that perfkit sets; or it would wait
                for itself, being called inside of `transaction`, or by a function that the writer runs.
            TooManyParameters: it has more parameters than SQLite takes.

        Cost: a hand-over to the writer and its share of a commit.
        """
        return self._write(sql, parameters, alone=self._kinds[sql])  # type: ignore[no-any-return]  # the sink made it

    def executemany(self, sql: str, rows: Iterable[Any]) -> Result:
        """Execute one statement for many rows: all of them, or none.

        ``rows`` is an iterable of parameters, taken whole before anything is done. It counts as one operation, however
        many rows there are. Returns a `Result <perfkit.sqlite.Result>` whose ``rowcount`` is that of all rows. Raises
        as `execute`.
        """
        return self._write(*many(sql, rows))  # type: ignore[no-any-return]  # as above

    def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``fn(connection)`` on the writer, as one atomic unit, and return what it returns.

        ``fn`` is an ordinary function; it may execute several statements and read in between. If it raises, nothing of
        it is left, and the exception is the caller's. It may run more than once (when the transaction it shares with
        others is lost, it is done again), so it should do nothing but work on the connection. It must not keep the
        connection, nor begin or end transactions, nor write by the database's own methods. A cursor that it returns
        comes as a `Result <perfkit.sqlite.Result>`.

        Raises what ``fn`` raises; TypeError if it is no ordinary function, or returns a coroutine or a generator; else
        as `execute`.
        """
        result: T = self._write(self._unit(fn), None)
        return result

    def transaction(self, timeout: float | None = 10.0) -> Transaction:
        """Make several statements one transaction: ``with db.transaction() as tx: tx.execute(...)``.

        ``tx`` has the methods `execute`, `executemany`, `run`, `fetch_all`, `fetch_one` and `fetch_value`. The block is
        alone on the writer: all other writes wait, so use `run` where no waiting is needed. It is committed when the
        block ends; an exception rolls it back, and passes through. A statement that fails may be caught in the block,
        which goes on without it. What the database itself would write in the block is refused, also in tasks that the
        block has begun; its queries don't see what isn't committed.

        Args:
            timeout: seconds for all of it, waiting for its turn included; None or math.inf: as long as it takes. When
                the time is up it is rolled back, and its next call or its end raises TransactionTimeout.

        Raises (on entering, or at the end) DatabaseBusy, TransactionTimeout, TransactionRefused inside of another
        transaction of the same database, sqlite3.Error where it can't be committed: then it is rolled back.
        """
        return Transaction(self, timeout)

    def flush(self) -> None:
        """Wait until everything that was accepted before is committed."""
        self._write(nothing, None)

    # -- reading

    def fetch_all(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> list[Any]:
        """Return all rows of a query, a list.

        Args:
            sql: a query; what would write is refused. It sees everything that was acknowledged before it began.
            parameters: as for `execute`.
            unpack: names of columns that hold what `perfkit.packed` made, to be objects again.

        Raises sqlite3.Error; UnpackError; ValueError if there is no column of a name in ``unpack``, TypeError if that
        is no tuple of names; TransactionRefused with ``readers=0`` inside of `transaction`; DatabaseBusy.

        Cost: a hand-over to a reader, and the query.
        """
        rows: list[Any] = self._read(ALL, sql, parameters, unpack)
        return rows

    def fetch_one(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first row of a query, or None if it has none. Arguments and errors are those of `fetch_all`."""
        return self._read(ONE, sql, parameters, unpack)

    def fetch_value(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first column of the first row of a query, or None if it has none; as `fetch_all`."""
        return self._read(VALUE, sql, parameters, unpack)

    def stream(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = (), max_age: float = 60.0) -> Stream:
        """Read a big result bit by bit, in constant memory: ``for row in db.stream(sql): ...``.

        It reads on a connection of its own, from the state of the moment when its first row was asked for. As long as
        it is open the WAL can't be emptied, and may outgrow its usual bound; so it is ended with StreamExpired (also a
        TimeoutError) after ``max_age`` seconds (more than 0; math.inf: never).
        It ends by itself with its last row, and when it is collected; ``with db.stream(sql) as rows`` ends it at the
        end of the block. It is used by one thread at a time.

        Raises ValueError for a ``max_age`` that isn't above 0; DatabaseError for a database in memory, which no second
        connection sees; and, where rows are asked for, as `fetch_all`.

        Cost: opening a connection, so for a few rows `fetch_all` is quicker. Memory for about a megabyte of rows, or
        for one row.
        """
        checked_seconds("max_age", max_age, above_zero=True)
        self._readable()
        self._refuse_memory("stream()")
        return Stream(self._scan(sql, parameters, unpack, max_age))

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[sqlite3.Connection]:
        """Lend a connection that can't write: ``with db.connection() as conn: ...``.

        ``conn`` is a ``sqlite3.Connection``, for code that speaks to one already. At most ``readers`` of them are lent
        at a time, and at least one. When it comes back cursors are closed, a transaction is ended, and the row factory
        and the like are set as they were; until then the WAL can't be emptied. Its PRAGMAs and functions stay.

        Args:
            timeout: how long to wait for one, in seconds from 0; None: as long as a pool does by default.

        Raises (on entering) DatabaseError for a database in memory, which no second connection sees; PoolTimeout if
        none came free in time, and what else a pool's `connection <perfkit.Pool.connection>` raises.
        """
        self._readable()
        self._refuse_memory("connection()")
        from perfkit.sqlite.thread_lending import Lending

        with self._mutex:
            self._check()
            if self._lending is None:
                self._lending = Lending(self._options, self.name)
                weakref.finalize(self, self._lending.close).atexit = False
        is_lent = False
        try:
            with self._lending.connection(timeout) as connection:
                is_lent = True
                yield connection
        except TimeoutError as error:
            if not is_lent:
                self._note_readers(error)
            raise

    # -- upkeep

    def maintain(self) -> None:
        """Look after the file now: statistics for the planner, free pages given back, the WAL emptied.

        All of this is done by itself too, when there is nothing to write. Never a VACUUM: ``execute("VACUUM")``.

        Cost: all writes wait for it, up to a second longer if somebody goes on reading from the WAL.
        """
        self._ready()
        self._write(self._opened_engine().writer.upkeep.everything, None, alone=True)

    def backup(self, path: str | os.PathLike[str], *, replace: bool = False) -> str:
        """Copy the database to another file, at one moment's state, while writing goes on; return its absolute path.

        The file is there whole or not at all, flushed, with the mode of the original, in one piece without a WAL.

        Args:
            path: where to. A file that is there is left alone, unless
            replace: is True; then it is replaced at once.

        Raises FileExistsError, also where a database of that name is open; ValueError for the database's own path;
        OSError, sqlite3.Error.

        Cost: reading and writing all of the file. Nobody waits for it, but for the writes of a database in memory.
        """
        backup = Backup(self._options, path, replace=replace)
        self._ready()
        if self._options.is_memory:
            made: str = self._write(backed_up(backup), None, alone=True)
            return made
        return backup.from_file()

    # -- how calls get there

    def _write(self, work: Any, argument: Any, *, alone: bool = False) -> Any:
        if self._is_watched or get_ident() == self._writer_thread:
            self._ready()
        if len(self._deliver.waiting) >= self._options.max_pending or self._deliver.line:
            self._line_up()
        gate = Gate()
        self._submit(gate, work, argument, alone)
        return gate.result()

    def _read(self, how: Query, sql: str, parameters: Any, unpack: Sequence[str]) -> Any:
        if self._is_watched or get_ident() == self._writer_thread:
            self._readable()
        gate = Gate()
        self._ask(gate, how, sql, parameters, unpack)
        return gate.result()

    def _ready(self) -> None:
        """Make sure that the file is open, and that this call may use it."""
        if self._state == NEW:
            self.open()
        self._check()
        self._refuse_nesting()

    def _readable(self) -> None:
        """As `_ready`; but readers don't wait for a transaction."""
        if self._state == NEW:
            self.open()
        self._check()
        if not self._options.readers:
            self._refuse_nesting()

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._mutex = threading.Lock()  # a thread that is only in the parent may have held it

    def _line_up(self) -> None:
        """Wait until there is room in the queue."""
        self._opened_engine().waits += 1
        gate = Gate()
        self._deliver.line.append(gate)
        if len(self._deliver.waiting) < self._options.max_pending or self._state == CLOSED:  # it came meanwhile
            self._deliver.admit()
        gate.result()
        self._deliver.coming.discard(gate)
