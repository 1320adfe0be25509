"""A transaction that one caller holds open on the writer, statement by statement, while everybody else waits."""

from __future__ import annotations

import sqlite3
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from perfkit._base.exceptions import without_frames
from perfkit.sqlite.batch import Failed
from perfkit.sqlite.errors import DatabaseClosed, TransactionRefused, TransactionTimeout
from perfkit.sqlite.guard import EXECUTE, SESSION
from perfkit.sqlite.patience import primary_code

if TYPE_CHECKING:
    from perfkit._base.clock import Deadline
    from perfkit.sqlite.batch import Operation
    from perfkit.sqlite.sink import SQLiteSink
    from perfkit.sqlite.writer import Deliver

__all__ = ["COMMIT", "ROLLBACK", "Session"]

_STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock


class _End:
    """Work that ends a session."""

    def __init__(self, name: str) -> None:
        self.name = name


COMMIT, ROLLBACK = _End("commit"), _End("rollback")
_NOBODY = object()  # for the argument of an end that nobody waits for


class Session:
    """The writer's side of ``transaction()``: work for an operation that is ``alone``.

    The caller `post`s operations, the last of which is `COMMIT` or `ROLLBACK`. What was posted is answered in any case,
    also when the time is up meanwhile, or the database is closed.
    """

    def __init__(self, path: str, deadline: Deadline, deliver: Deliver) -> None:
        self._path = path
        self._deadline = deadline
        self._deliver = deliver
        self._posted: SimpleQueue[Operation] = SimpleQueue()
        self._lock = threading.Lock()
        self._over: BaseException | None = None  # why nothing more is carried out

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or will without anything more being carried out."""
        return self._over is not None

    def post(self, operation: Operation) -> None:
        """Have an operation carried out. Raises why, if the session is over."""
        with self._lock:
            if self._over is None:
                self._posted.put(operation)
                return
        raise self._why()

    def abandon(self, why: BaseException | None = None) -> None:
        """Roll back, now or as soon as it would begin; from any thread. Harmless if it is over."""
        with self._lock:
            if self._over is None:
                self._over = why or TransactionRefused("the transaction has been left: it is over", path=self._path)
                self._posted.put((_Nobody(), ROLLBACK, _NOBODY, False))

    def forked(self, why: BaseException) -> None:
        """End it in a forked child, where no writer would answer."""
        self._lock = threading.Lock()  # a thread that is only in the parent may have held it
        self._posted = SimpleQueue()
        self._over = why

    def __call__(self, sink: SQLiteSink, begun: Operation) -> None:
        """Run on the writer: tell ``begun``, then carry out what is posted until the end."""
        if self._over is not None:
            raise self._why()
        sink.begin()
        try:
            sink.guard.where = SESSION
            sink.connection.set_progress_handler(self._deadline.is_over, _STEPS)
            self._deliver([begun], [None])
            while self._next(sink):
                pass
        finally:
            sink.guard.where = EXECUTE
            sink.connection.set_progress_handler(None, 0)
            sink.rollback()
            self._refuse_the_rest()

    def too_late(self) -> TransactionTimeout:
        """Return the error of a transaction whose time is up."""
        return TransactionTimeout(
            f"the transaction was not over in its timeout of {self._deadline.timeout:g} s, and was rolled back. It"
            " holds up every other write: do what takes long before it, or give it more time",
            path=self._path,
            timeout=self._deadline.timeout,
        )

    def never_begun(self) -> TransactionTimeout:
        """Return the error of a transaction whose turn didn't come in time."""
        return TransactionTimeout(
            f"the transaction did not begin in its timeout of {self._deadline.timeout:g} s: another one was open all"
            " that time, or much was to be written before it. Make the other one shorter, or give this one more time",
            path=self._path,
            timeout=self._deadline.timeout,
        )

    def _next(self, sink: SQLiteSink) -> bool:
        """Carry out the next operation; False at the end."""
        try:
            operation = self._posted.get(timeout=self._deadline.remaining())
        except Empty:
            self._end(self.too_late())
            return False
        waiter, work, argument, _ = operation
        if isinstance(work, _End):
            outcome = self._finished(sink, work)
            if argument is not _NOBODY:
                self._deliver([operation], [outcome])
            return False
        if not waiter.cancelled():
            self._deliver([operation], [self._outcome(sink, work, argument)])
        return not self.is_over

    def _outcome(self, sink: SQLiteSink, work: Any, argument: Any) -> Any:
        try:
            return sink.apply(work, argument)
        except BaseException as error:  # noqa: BLE001 (it is raised again where it is waited for)
            if primary_code(error) == sqlite3.SQLITE_INTERRUPT and self._deadline.is_over():
                error = self.too_late()
            if not sink.is_open:  # rolled back by SQLite: the time is up, the disk is full, ON CONFLICT ROLLBACK
                self._end(error)
            return Failed(error)

    def _finished(self, sink: SQLiteSink, how: _End) -> Any:
        try:
            if how is COMMIT:
                sink.connection.set_progress_handler(None, 0)
                sink.commit()
            else:
                sink.rollback()
        except BaseException as error:  # noqa: BLE001 (as above)
            sink.rollback()
            return Failed(error)
        finally:
            self._end(TransactionRefused("the transaction is over: begin another with transaction()", path=self._path))
        return None

    def _end(self, why: BaseException) -> None:
        with self._lock:
            self._over = self._over or why

    def _refuse_the_rest(self) -> None:
        self._end(DatabaseClosed("the database was closed", path=self._path))
        while True:
            try:
                operation = self._posted.get_nowait()
            except Empty:
                return
            if operation[2] is not _NOBODY:
                self._deliver([operation], [Failed(self._why())])

    def _why(self) -> BaseException:
        assert self._over is not None  # noqa: S101 (asked when it is over)
        return without_frames(self._over)


class _Nobody:
    """Waits for nothing."""

    def cancelled(self) -> bool:
        return False
