"""How a thread waits for a connection, and how it holds one for the length of a ``with``."""

from __future__ import annotations

import threading
from typing import Any, Generic

from perfkit.pooling import reports
from perfkit.pooling.base import C

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from perfkit.pooling.entry import Entry
    from perfkit.pooling.threads import Pool

__all__ = ["Lease", "LeaseBase", "Ticket", "WatchedLease"]


class Ticket:
    """A thread's place in the queue. It is told once: ``is_told`` and the gate change with no call between."""

    __slots__ = ("_gate", "entry", "error", "is_told", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.entry: Entry | None = None
        self.error: Exception | None = None
        self.is_told = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def give(self, entry: Entry) -> bool:
        """Hand over a connection; False if it isn't waited for any more."""
        if self.is_told:
            return False
        self.entry, self.is_told = entry, True
        self._gate.release()
        return True

    def nudge(self) -> None:
        """Say that something is idle, which others may take first; nothing if it isn't waited for any more."""
        if not self.is_told:
            self.is_told = True
            self._gate.release()

    def fail(self, error: Exception) -> None:
        """Hand over an error instead, if it is waited for still."""
        if not self.is_told:
            self.error, self.is_told = error, True
            self._gate.release()

    def wait(self, timeout: float) -> bool:
        """Wait until something is given; False if the time is up."""
        return self._gate.acquire(timeout=min(max(timeout, 0.0), threading.TIMEOUT_MAX))


class LeaseBase(Generic[C]):
    """A lease but for how it is entered and left. Dropped while it is entered, it gives its place back."""

    __slots__ = ("_entry", "_is_entered", "_pool", "_timeout")
    _block: str  # what it is for

    def __init__(self, pool: Any, timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._entry: Entry | None = None
        self._is_entered = False

    def __repr__(self) -> str:
        return reports.lease(self, self._pool.name, is_entered=self._is_entered)

    if not TYPE_CHECKING:  # or type checkers would take it for a connection, too

        def __getattr__(self, name: str) -> object:
            raise AttributeError(reports.no_attribute(self, name, self._block))


class Lease(LeaseBase[C]):
    """What ``pool.connection()`` returns, for one ``with``."""

    __slots__ = ()
    _block = "with"
    _pool: Pool[C]

    def __enter__(self) -> C:
        if self._is_entered:
            raise RuntimeError("this connection() is entered already; call pool.connection() for each with")
        self._is_entered = True  # before waiting: another might come by meanwhile
        try:
            self._entry = entry = self._pool._take(self._timeout)
        except BaseException:
            self._is_entered = False
            raise
        return entry.conn  # type: ignore[no-any-return]  # connect() made it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entry, self._entry, self._is_entered = self._entry, None, False
        if entry is None:
            return
        if kind is None:
            self._pool._give(entry)
        else:
            self._pool._give_after(entry, kind)

    async def __aenter__(self) -> C:
        raise TypeError("a Pool is for threads and would stop the event loop: use `with`, or a perfkit.AsyncPool")

    async def __aexit__(self, *raised: object) -> None: ...


class WatchedLease(Lease[C]):
    """A lease that notes when and where it was entered."""

    __slots__ = ()

    def __enter__(self) -> C:
        conn = super().__enter__()
        if self._entry is not None:
            self._pool._watch(self._entry)
        return conn
