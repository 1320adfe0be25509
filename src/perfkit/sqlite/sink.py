"""SQLite as a `Sink` of batches: transactions, savepoints where they are needed, and errors that say what to do."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfkit.sqlite.guard import RUN
from perfkit.sqlite.statements import Undone, may_write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfkit.sqlite.guard import Connection, Guard
    from perfkit.sqlite.patience import Patience

__all__ = ["Many", "Query", "Result", "SQLiteSink"]

# Texts of our own, so that a caller's BEGIN is another statement, which the guard is asked about.
_BEGIN, _COMMIT, _ROLLBACK = "BEGIN IMMEDIATE -- perfkit", "COMMIT -- perfkit", "ROLLBACK -- perfkit"
_SAVE, _RELEASE, _UNDO = "SAVEPOINT perfkit", "RELEASE perfkit", "ROLLBACK TO perfkit"

_MOST = 2000  # queries remembered


@dataclass(slots=True)
class Result:
    """What ``execute`` and ``executemany`` return.

    Attributes:
        rowcount: how many rows were inserted, updated or deleted; -1 for other statements.
        lastrowid: the rowid of the last row inserted by this database's writer; None after ``executemany``.
        rows: what a statement with ``RETURNING`` (or a query) gave, a list; empty for others.
    """

    rowcount: int
    lastrowid: int | None
    rows: list[Any]

    if not TYPE_CHECKING:  # whose users are told without it

        def __iter__(self):
            raise TypeError("a Result is no cursor: iterate over its rows, as in `for row in result.rows`")


def _fetched(cursor: sqlite3.Cursor) -> Result:
    """Return what a statement gave, for it can't be had any more once others' work is done."""
    rows = cursor.fetchall() if cursor.description else []
    return Result(cursor.rowcount, cursor.lastrowid, rows)


class Query:
    """Work that only reads: it needs no savepoint, and no transaction."""

    __slots__ = ("read",)

    def __init__(self, read: Callable[[sqlite3.Connection, Any], Any]) -> None:
        self.read = read


class Many:
    """One statement for many rows: all of them, or none."""

    __slots__ = ("sql",)

    def __init__(self, sql: str) -> None:
        self.sql = sql

    def __call__(self, connection: sqlite3.Connection, rows: Sequence[Any]) -> Result:
        """Execute it."""
        cursor = connection.executemany(self.sql, rows)
        return Result(cursor.rowcount, None, [])


class SQLiteSink:
    """The writer's connection, as `perfkit.sqlite.batch` uses it.

    Work is

    - a str: one statement, with its parameters. SQLite undoes what a single statement did when it fails.
    - a `Query`, called with the connection and the argument.
    - any other callable: a unit, called with the connection and the argument, and undone as a whole if it raises.
    - for an ``alone`` operation a callable that gets this sink instead of the connection.

    Used by one thread.
    """

    def __init__(self, connection: Connection, guard: Guard, patience: Patience) -> None:
        self.connection = connection
        self.guard = guard
        self.patience = patience
        self._undone = Undone()
        self._reading: set[str] = set()  # queries that are known to be some
        self._is_obstructed = False  # a commit failed: a statement out of reach may hold up those of SQLite's own
        self._begin_reading()

    @property
    def is_open(self) -> bool:
        """Whether a transaction is open."""
        return self.connection.in_transaction

    def begin(self) -> None:
        """Begin a transaction that can write. Raises DatabaseBusy."""
        self.patience.call(self.ours, _BEGIN)

    def commit(self) -> None:
        """Commit the open transaction."""
        try:
            self.ours(_COMMIT)
        except BaseException:
            self._is_obstructed = True
            raise

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""
        if self.connection.in_transaction:
            self.ours(_ROLLBACK)

    def apply(self, work: Any, argument: Any) -> Any:
        """Carry out one operation in the open transaction."""
        if type(work) is str and not self._undone[work]:  # nearly all there is: as short as it can be
            cursor = self._cursor
            try:
                self._execute(work, argument)
                rows = cursor.fetchall() if cursor.description else []
            except BaseException as error:  # noqa: BLE001 (it is raised again, explained)
                raise self._failed(error) from error.__cause__
            return Result(cursor.rowcount, cursor.lastrowid, rows)
        if isinstance(work, str):
            return self._unit(lambda: self.statement(work, argument))
        if type(work) is Query:
            return self.query(work, argument)
        return self._unit(lambda: self._called(work, argument))

    def single(self, work: Any, argument: Any, alone: bool) -> Any:
        """Carry out one operation by itself. A single statement is a transaction of SQLite's own."""
        if alone:
            return self._alone(work, argument)
        if isinstance(work, str):
            if self._undone[work] or self._is_obstructed:
                return self.whole(lambda: self.statement(work, argument))
            return self.patience.call(self.apply, work, argument)
        if type(work) is Query:
            return self.patience.call(self.query, work, argument)
        return self.whole(lambda: self._called(work, argument))

    def whole(self, work: Callable[[], Any]) -> Any:
        """Return ``work()``, done in a transaction of its own."""
        self.begin()
        try:
            result = self._lent(work)
            self.commit()
        except BaseException:
            self.rollback()
            raise
        return result

    def statement(self, sql: str, parameters: Any) -> Result:
        """Execute one statement."""
        try:
            return _fetched(self._execute(sql, parameters))
        except BaseException as error:  # noqa: BLE001 (it is raised again, explained)
            raise self._failed(error) from error.__cause__

    def query(self, work: Query, argument: Any) -> Any:
        """Read something."""
        try:
            if argument is not None and argument[0] not in self._reading:
                self._refuse_writing(*argument[:2])
            return work.read(self.connection, argument)
        except Exception as error:  # noqa: BLE001 (as above)
            raise self.explained(error) from error.__cause__

    def explained(self, error: BaseException) -> BaseException:
        """Return an error that says what to do, where SQLite's own doesn't."""
        return self.guard.explained(error, self.connection)

    def _refuse_writing(self, sql: str, parameters: Any) -> None:
        """Raise sqlite3.OperationalError unless it only reads, for this connection could write."""
        writes = isinstance(sql, str) and may_write(sql)
        if writes is None:
            program = sqlite3.Cursor(self.connection).execute(f"EXPLAIN {sql}", parameters).fetchall()
            writes = any(step[1] == "Transaction" and step[3] for step in program)  # its P2: a transaction that writes
        if writes:
            raise sqlite3.OperationalError(
                "fetch_all(), fetch_one() and fetch_value() only read: use execute(), and its rows"
            )
        if len(self._reading) >= _MOST:
            self._reading.clear()
        self._reading.add(sql)

    def _alone(self, work: Any, argument: Any) -> Any:
        if not isinstance(work, str):
            return work(self, argument)
        self.guard.alone = True
        try:
            return self.patience.call(self.statement, work, argument)
        finally:
            self.guard.alone = False

    def _unit(self, work: Callable[[], Any]) -> Any:
        """Return ``work()``, done in the open transaction; if it raises, nothing of it is kept."""
        self.ours(_SAVE)
        try:
            result = self._lent(work)
            self.ours(_RELEASE)
        except BaseException:
            self._undo()
            raise
        return result

    def _undo(self) -> None:
        """Undo a unit; where that can't be done the transaction, and the others in it are done again."""
        if not self.connection.in_transaction:
            return
        try:
            self.ours(_UNDO)
            self.ours(_RELEASE)
        except BaseException:  # noqa: BLE001 (what the unit raised is raised)
            self.rollback()

    def _lent(self, work: Callable[[], Any]) -> Any:
        """Return ``work()``, which uses the connection, and leave nothing of it open."""
        self.connection.lend()
        try:
            result = work()
            self.connection.check()  # it may have caught what told it
            self.guard.refuse_hiding(self.connection)
        finally:
            self.connection.take_back()
        return result

    def _called(self, work: Any, argument: Any) -> Any:
        guard, where = self.guard, self.guard.where
        if type(work) is not Many:
            guard.where = RUN
        try:
            result = work(self.connection, argument)
            return _fetched(result) if isinstance(result, sqlite3.Cursor) else result
        except BaseException as error:  # noqa: BLE001 (as above)
            raise self.explained(error) from error.__cause__
        finally:
            guard.where = where

    def _failed(self, error: BaseException) -> BaseException:
        """End a statement that may have been left in its middle, and return its error, explained."""
        self._cursor.close()
        self._begin_reading()
        return self.explained(error)

    def _begin_reading(self) -> None:
        """Make the cursor for all statements, which saves making one for each."""
        self._cursor = sqlite3.Cursor(self.connection)
        self._cursor.row_factory = self.connection.row_factory
        self._execute = self._cursor.execute

    def ours(self, sql: str) -> None:
        """Execute a statement of perfkit's own."""
        self.guard.off = True
        try:
            self._execute(sql)
        finally:
            self.guard.off = False
