"""The writer: one daemon thread that commits what has come while it committed what came before."""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from perfkit._base.exceptions import without_frames
from perfkit._base.histogram import LatencyRecorder
from perfkit._base.logs import logger
from perfkit.sqlite.batch import Failed, Queue, settle
from perfkit.sqlite.carrying import carrying
from perfkit.sqlite.connecting import guarded, open_writer, set_foreign_keys
from perfkit.sqlite.errors import DatabaseClosed
from perfkit.sqlite.migrating import migrate
from perfkit.sqlite.patience import Patience
from perfkit.sqlite.sink import SQLiteSink
from perfkit.sqlite.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfkit.sqlite.batch import Operation
    from perfkit.sqlite.options import Options

__all__ = ["Deliver", "Writer"]


class Deliver(Protocol):
    """Tells waiters what became of their operations, many at a time. Called by our threads; never raises."""

    def __call__(self, operations: Sequence[Operation], outcomes: Sequence[Any]) -> None:
        """Deliver ``outcomes[i]`` to who waits for ``operations[i]``; a second time is ignored."""


class Writer:
    """The thread, its connection and its queue.

    Anyone may append an operation to ``queue`` and then has to `wake` the thread if it ``is_idle``. In that order:
    the thread says that it is idle before it looks at the queue for the last time. (This relies on the interpreter to
    carry out reads and writes of attributes one after another.)
    """

    def __init__(self, options: Options, deliver: Deliver, before_end: Callable[[], object]) -> None:
        self.queue = Queue(options.max_batch)
        self.is_idle = False
        self.is_open = False
        self.writes = self.batches = self.largest = 0
        self.commits = LatencyRecorder()
        self.patience = Patience(options.path, options.busy_timeout)
        self.upkeep = Upkeep(options)
        self._options = options
        self._deliver = deliver
        self._before_end = before_end
        self._closers: deque[Operation] = deque()
        self._has_ended = False
        self._end_error: BaseException | None = None  # what came of closing
        self._is_closing = False
        self._gate = threading.Lock()
        self._gate.acquire()
        self.thread = threading.Thread(target=self._run, name="perfkit-sqlite-writer", daemon=True)
        self.sink: SQLiteSink | None = None

    def start(self, opened: Operation) -> None:
        """Start the thread. It delivers ``opened`` when the database can be used, or with why it can't."""
        self._opened = opened
        self.thread.start()

    def wake(self) -> None:
        """Have the thread look at its queue."""
        try:
            self.is_idle = False  # in one go with what follows: an interrupt may strike after a call, not here
            self._gate.release()
        except RuntimeError:  # somebody else has
            return

    def close(self, *closed: Operation) -> None:
        """End the thread once its queue is empty; ``closed`` is delivered then."""
        self._closers += closed
        self._is_closing = True
        self.wake()
        if self._has_ended:
            self._tell_the_rest()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread's end."""
        if self.thread.ident is not None:
            self.thread.join(timeout)

    def _run(self) -> None:
        try:
            with carrying():  # migrations and on_connect
                self.sink = self._open()
        except BaseException as error:  # noqa: BLE001 (it is raised again where the opening is waited for)
            self._deliver([self._opened], [Failed(error)])
            return
        self.is_open = True
        self._deliver([self._opened], [None])
        while self._wait():
            self._serve(self.queue.take())
        self._end()

    def _serve(self, batch: Sequence[Operation]) -> None:
        """Carry out a batch. A function of its own, so that an idle writer keeps nothing of the last one alive."""
        if not batch:  # all were cancelled: others may have their places
            self._deliver((), ())
            return
        self._deliver(batch, self._settled(batch))
        self._keep_up(self.upkeep.after_batch)

    def _open(self) -> SQLiteSink:
        connection = open_writer(self._options, self.patience)
        try:
            sink = SQLiteSink(connection, guarded(connection, self._options), self.patience)
            if self._options.migrations is not None:
                migrate(sink, self._options.path, self._options.migrations)
            set_foreign_keys(connection, self._options)
        except BaseException:
            connection.end()
            raise
        return sink

    def _settled(self, batch: Sequence[Operation]) -> Sequence[Any]:
        assert self.sink is not None  # noqa: S101 (opened before anything is taken)
        self.patience.renew()
        started = time.perf_counter()
        try:
            outcomes = settle(self.sink, batch)
        except BaseException as error:  # noqa: BLE001 (a rollback that failed: the waiters have to be told all the same)
            logger("sqlite").exception("a batch of %s was broken off", self._options.path)
            return [Failed(without_frames(error)) for _ in batch]
        self.commits.record(time.perf_counter() - started)
        self.batches += 1
        self.writes += len(batch)
        self.largest = max(self.largest, len(batch))
        return outcomes

    def _wait(self) -> bool:
        """Wait for work, and meanwhile see to the database; False when the thread is to end."""
        while not self.queue.waiting:
            if self._is_closing:
                return False
            self.is_idle = True
            if not self.queue.waiting and not self._is_closing and not self._gate.acquire(timeout=self.upkeep.due()):
                self._keep_up(self.upkeep.when_idle)
            self.is_idle = False
        return True

    def _keep_up(self, step: Callable[[SQLiteSink], object]) -> None:
        assert self.sink is not None  # noqa: S101 (as above)
        try:
            step(self.sink)
        except Exception:  # noqa: BLE001 (nobody waits for it, and the next batch may go well)
            logger("sqlite").exception("the upkeep of %s failed", self._options.path)

    def _end(self) -> None:
        assert self.sink is not None  # noqa: S101 (as above)
        self.is_open = False
        try:
            self._before_end()
            self.upkeep.at_end(self.sink)
            self.sink.connection.end()
        except BaseException as error:  # noqa: BLE001 (it is raised again where the closing is waited for)
            self._end_error = without_frames(error)
        self._has_ended = True
        self._tell_the_rest()

    def _tell_the_rest(self) -> None:
        """Answer those who came when nothing was carried out any more. Harmless in several threads at once."""
        with suppress(IndexError):
            while True:
                error = self._end_error
                self._deliver([self._closers.popleft()], [Failed(without_frames(error)) if error else None])
        self.refuse()

    def refuse(self) -> None:
        """Turn away what came after the end."""
        with suppress(IndexError):
            while True:
                operation = self.queue.waiting.popleft()
                self._deliver([operation], [Failed(DatabaseClosed("the database was closed", path=self._options.path))])
