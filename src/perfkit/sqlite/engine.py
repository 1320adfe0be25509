"""One opened file: its writer, its readers, and what is open on it; what both databases drive."""

from __future__ import annotations

import atexit
import time
import weakref
from typing import TYPE_CHECKING, Any

from perfkit.sqlite.errors import DatabaseClosed
from perfkit.sqlite.readers import Readers
from perfkit.sqlite.stats import DatabaseStats
from perfkit.sqlite.writer import Writer

if TYPE_CHECKING:
    from perfkit.sqlite.batch import Operation
    from perfkit.sqlite.errors import DatabaseForked
    from perfkit.sqlite.options import Options
    from perfkit.sqlite.scan import Scan
    from perfkit.sqlite.session import Session
    from perfkit.sqlite.writer import Deliver

__all__ = ["Engine"]

_AT_EXIT = 10.0  # seconds that the end of the interpreter waits for what was accepted to be committed

# What a forked child inherits is kept for ever: a finaliser would close connections under the parent, whose locks and
# WAL they believe to be theirs.
_parked: list[Any] = []


class Engine:
    """Threads and connections of one database, from opening to closing. It knows nothing of its callers."""

    def __init__(self, options: Options, deliver: Deliver) -> None:
        self.options = options
        self.deliver = deliver
        self.readers = Readers(options, deliver)
        self.writer = Writer(options, deliver, self._end_readers)
        self.sessions: set[Session] = set()
        self.scans: weakref.WeakSet[Scan] = weakref.WeakSet()
        self.transactions = self.waits = 0
        _at_exit.add(self)

    def start(self, opened: Operation) -> None:
        """Open the file. ``opened`` is delivered when that is done, or with why not."""
        self.writer.start(opened)

    def close(self, *closed: Operation) -> None:
        """Carry out what was accepted, and close the file; ``closed`` is delivered then.

        Transactions are rolled back, and streams ended.
        """
        why = DatabaseClosed(f"{self.options.path} was closed", path=self.options.path)
        for session in list(self.sessions):
            session.abandon(why)
        for scan in list(self.scans):
            scan.end(why)
        self.writer.close(*closed)

    def park(self, why: DatabaseForked) -> None:
        """Give up in a forked child, without touching anything of the parent's. Transactions end with ``why``."""
        for session in self.sessions:
            session.forked(why)
        _parked.append((self, *self.scans))
        _at_exit.discard(self)

    def stats(self, name: str) -> DatabaseStats:
        """Collect the figures."""
        writer, readers = self.writer, self.readers
        return DatabaseStats(
            name=name,
            path=self.options.path,
            writes=writer.writes,
            batches=writer.batches,
            mean_batch=writer.writes / writer.batches if writer.batches else 0.0,
            max_batch=writer.largest,
            commits=writer.commits.summary(),
            pending=len(writer.queue.waiting),
            waits=self.waits,
            wal_bytes=writer.upkeep.wal_bytes(),
            checkpoints=writer.upkeep.checkpoints,
            busy_retries=writer.patience.retries + readers.busy,
            transactions=self.transactions,
            reads=readers.reads,
            streams=sum(scan.is_open for scan in list(self.scans)),
            oldest_reader=max([readers.oldest(), *(scan.age() for scan in list(self.scans))]),
        )

    def _end_readers(self) -> None:
        """Close the readers' connections before the writer's: the last to close empties the WAL."""
        self.readers.close()
        self.readers.join()
        self.readers.refuse()


_at_exit: weakref.WeakSet[Engine] = weakref.WeakSet()


def _close_all() -> None:
    """Commit what was accepted before the interpreter ends, and the daemon threads with it."""
    engines = [engine for engine in list(_at_exit) if engine.writer.is_open]
    for engine in engines:
        engine.close()
    until = time.monotonic() + _AT_EXIT
    for engine in engines:
        engine.writer.join(max(0.0, until - time.monotonic()))


atexit.register(_close_all)
