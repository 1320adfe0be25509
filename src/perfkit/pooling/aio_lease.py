"""How a task waits for a connection, and how it holds one for the length of an ``async with``."""

from __future__ import annotations

import asyncio

from perfkit._base.exceptions import to_raise
from perfkit.pooling.base import C
from perfkit.pooling.lease import LeaseBase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from perfkit.pooling.aio import AsyncPool
    from perfkit.pooling.entry import Entry

__all__ = ["AsyncLease", "Ticket"]


class Ticket(asyncio.Future["Entry"]):
    """A task's place in the queue; done when something is given."""

    __slots__ = ("deadline", "patience")
    deadline: float
    patience: float

    since = 0.0  # of no interest; see `Core._hand`

    def give(self, entry: Entry) -> bool:
        """Hand over a connection; False if it isn't waited for any more."""
        if self.done():  # cancelled
            return False
        self.set_result(entry)
        return True

    def nudge(self) -> None:
        """Say that something is idle, which others may take first."""
        raise AssertionError("a task is always handed over to")

    def fail(self, error: Exception) -> None:
        """Hand over an error instead."""
        if not self.done():
            self.set_exception(to_raise(error))


class AsyncLease(LeaseBase[C]):
    """What ``pool.connection()`` returns, for one ``async with``."""

    __slots__ = ()
    _block = "async with"
    _pool: AsyncPool[C]

    async def __aenter__(self) -> C:
        if self._is_entered:
            raise RuntimeError("this connection() is entered already; call pool.connection() for each async with")
        self._is_entered = True  # before waiting: another might come by meanwhile
        pool = self._pool
        try:
            self._entry = entry = pool._taken() or await pool._take(self._timeout)
        except BaseException:
            self._is_entered = False
            raise
        if pool._is_watching:
            pool._watch(entry)
        return entry.conn  # type: ignore[no-any-return]  # connect() made it

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entry, self._entry, self._is_entered = self._entry, None, False
        if entry is None:
            return
        if kind is None:
            self._pool._give(entry)
        else:
            self._pool._give_after(entry, kind)

    def __enter__(self) -> C:
        raise TypeError("an AsyncPool is for tasks: use `async with`, or a perfkit.Pool")

    def __exit__(self, *raised: object) -> None: ...
