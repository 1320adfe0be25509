"""Readers: threads with a connection each that can't write, and answer many waiters in one go.

A reader takes one query after another from the queue that all share, and tells of what it has done when nothing waits,
or 64 are done, or a query takes long: SQLite then calls back from inside of it. So nobody waits for somebody else's
long query, and short ones cost the event loop one wake-up for many. Another reader is woken when a query takes long
while others wait; with short ones more threads would only fight for the interpreter.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from perfkit.sqlite.batch import Failed
from perfkit.sqlite.connecting import open_reader
from perfkit.sqlite.errors import DatabaseClosed, TransactionRefused
from perfkit.sqlite.patience import Patience
from perfkit.sqlite.reading import note_reading

if TYPE_CHECKING:
    from perfkit.sqlite.batch import Operation
    from perfkit.sqlite.options import Options
    from perfkit.sqlite.writer import Deliver

__all__ = ["Readers"]


_MANY = 64  # answers in one delivery
_STEPS = 5000  # of SQLite's virtual machine, after which a query counts as long: about a tenth of a millisecond


class Readers:
    """The threads and what they share. ``waiting`` may be appended to by anyone, who then has to `wake` one."""

    def __init__(self, options: Options, deliver: Deliver) -> None:
        self.waiting: deque[Operation] = deque()
        self.idle: set[_Reader] = set()
        self.is_closing = self.has_ended = False
        self.options = options
        self.deliver = deliver
        self._readers = [_Reader(self, number) for number in range(1, options.readers + 1)]

    def start(self) -> None:
        """Start the threads; each opens its connection by itself, so the first queries wait for that."""
        for reader in self._readers:
            reader.thread.start()

    def wake(self) -> None:
        """Have a reader look at the queue, if one is idle."""
        for reader in tuple(self.idle):
            if reader.wake():
                return

    def close(self) -> None:
        """End the threads once nothing waits."""
        self.is_closing = True
        for reader in self._readers:
            reader.wake()

    def join(self, timeout: float | None = None) -> None:
        """Wait for their end."""
        for reader in self._readers:
            if reader.thread.ident is not None:
                reader.thread.join(timeout)

    def refuse(self) -> None:
        """Turn away what came after the end."""
        self.has_ended = True
        with suppress(IndexError):
            while True:
                operation = self.waiting.popleft()
                self.deliver([operation], [Failed(DatabaseClosed("the database was closed", path=self.options.path))])

    @property
    def reads(self) -> int:
        """How many queries were answered."""
        return sum(reader.reads for reader in self._readers)

    @property
    def busy(self) -> int:
        """How many had to be tried again, because another process had the database."""
        return sum(reader.patience.retries for reader in self._readers)

    def oldest(self) -> float:
        """Return for how many seconds the longest query has been running."""
        begun = [reader.since for reader in self._readers if reader.since]
        return time.monotonic() - min(begun) if begun else 0.0


class _Reader:
    """One thread."""

    def __init__(self, readers: Readers, number: int) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self.reads = 0
        self.since = 0.0  # when the query that runs was begun
        self.patience = Patience(readers.options.path, readers.options.busy_timeout)
        self.thread = threading.Thread(target=self._run, name=f"perfkit-sqlite-reader-{number}", daemon=True)
        self._readers = readers
        self._done: list[Operation] = []
        self._outcomes: list[Any] = []
        self._running: Operation | None = None
        self._connection: sqlite3.Connection | None = None

    def wake(self) -> bool:
        """Have it look at the queue, also if it is about to wait; False if somebody else has, and it hasn't yet."""
        try:
            self._gate.release()
        except RuntimeError:
            return False
        return True

    def _run(self) -> None:
        readers = self._readers
        while self._wait():
            try:
                operation = readers.waiting.popleft()
            except IndexError:  # another was faster
                continue
            if operation[0].cancelled():
                continue
            self._running = operation
            outcome = self._answer(operation)
            self._running = None
            self._done.append(operation)
            self._outcomes.append(outcome)
            if len(self._done) >= _MANY:
                self._tell()
        if self._connection is not None:
            self._connection.close()

    def _wait(self) -> bool:
        """Wait for work; False when the thread is to end."""
        readers = self._readers
        while not readers.waiting:
            self._tell()
            if readers.is_closing:
                return False
            readers.idle.add(self)
            if readers.waiting or readers.is_closing:  # it came while nobody was idle yet
                readers.wake()
            self._gate.acquire()
            readers.idle.discard(self)
        return True

    def _answer(self, operation: Operation) -> Any:
        _, work, argument, _ = operation
        self.since = time.monotonic()
        try:
            if self._connection is None:
                self._connection = self._opened()
            self.patience.renew()
            answer = self.patience.call(work.read, self._connection, argument)
            self._refuse_staying()
        except BaseException as error:  # noqa: BLE001 (it is raised again where the query is waited for)
            note_reading(error)
            return Failed(error)
        else:
            return answer
        finally:
            self.since = 0.0
            self.reads += 1

    def _refuse_staying(self) -> None:
        """Raise TransactionRefused for a BEGIN: what is read in it is of its moment, for everybody."""
        connection = self._connection
        if connection is not None and connection.in_transaction:
            connection.rollback()
            raise TransactionRefused(
                "a query can't begin a transaction: to read several times from one moment's state borrow a connection"
                " by connection(), or use transaction()",
                path=self._readers.options.path,
            )

    def _opened(self) -> sqlite3.Connection:
        connection = self.patience.call(open_reader, self._readers.options)
        connection.set_progress_handler(self._takes_long, _STEPS)
        return connection

    def _takes_long(self) -> bool:
        """Called from inside of a query now and then; True ends it."""
        self._tell()
        if self._readers.waiting:
            self._readers.wake()
        return self._running is not None and self._running[0].cancelled()

    def _tell(self) -> None:
        """Deliver what is done."""
        if not self._done:
            return
        done, self._done = self._done, []
        outcomes, self._outcomes = self._outcomes, []
        self._readers.deliver(done, outcomes)
