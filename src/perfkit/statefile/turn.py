"""asyncio's way of waiting for a `PathLock`: on the loop, while everything that touches a file runs in workers.

Waiting never takes a worker: they are few, and whoever holds the lock may need one to give it back.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from perfkit._base.clock import Deadline
from perfkit._base.offload import Offloader
from perfkit.statefile.calls import missing_directory
from perfkit.statefile.lock import Hold, PathLock, lock_for, poll_delays

__all__ = ["Turn", "workers"]

T = TypeVar("T")

workers = Offloader(max_workers=8, name="perfkit-statefile")


class _Queued(Exception):
    """Another thread or task of this process holds the lock; ours comes in turn."""


class _Busy(Exception):
    """Another process holds the lock."""


class Turn:
    """A lock being waited for, then held: a `Ticket` whose lock operations run in workers."""

    def __init__(
        self,
        target: Callable[[], str],
        owner: object,
        *,
        on_queued: Callable[["Turn"], None],
        on_had: Callable[[float], None],
    ) -> None:
        self.lock: PathLock | None = None
        self.owner = owner
        self._target = target
        self._on_queued = on_queued
        self._on_had = on_had
        self._loop = asyncio.get_running_loop()
        self._granted: asyncio.Future[None] = self._loop.create_future()
        self._entered = self._acquired = self._told = self._at_work = False
        self._asked = time.perf_counter()

    async def hold(self, work: Callable[[Hold], T], deadline: Deadline) -> T:
        """Return ``work(hold)``, called in a worker as soon as the lock is had, and keep the lock.

        Raises StateFileTimeout, StateFileLockError, OSError, and what ``work`` raises. Whatever comes of it, `leave`.
        """
        delays = poll_delays()
        while True:
            try:
                return await self._in_worker(partial(self._attempt, work))
            except _Queued:
                self._on_queued(self)
                if not await self._comes(deadline.remaining()):
                    raise self._timed_out(deadline) from None
            except _Busy:
                if deadline.is_over():
                    raise self._timed_out(deadline) from None
                await asyncio.sleep(next(delays))

    async def once(self, work: Callable[[Hold], T], deadline: Deadline) -> T:
        """As `hold`, but give the lock back in the same worker call."""
        return await self.hold(partial(self._and_leave, work), deadline)

    async def finish(self, work: Callable[[Hold], T]) -> T:
        """Return ``work(hold)``, called in a worker under the lock that is held, and give the lock back."""
        assert self.lock is not None  # noqa: S101 (held: see above)
        hold = Hold(self.lock, self)
        hold.check_process()  # here too: a forked child has no loop to wait on
        return await self._in_worker(lambda _: self._and_leave(work, hold))

    def leave(self) -> None:
        """Give the lock back, or stop waiting for it. Harmless the second time."""
        if self.lock is None:
            return
        if self.lock.holds(self):
            self.lock.sidecar.release()
        self._acquired = False
        self.lock.leave(self)

    __del__ = leave  # a loop that was closed in the middle of an edit

    def waits_for(self, loop: object) -> bool:
        """Tell whether nothing of it goes on while ``loop`` stands still; see `Ticket`."""
        return self._loop is loop and not self._at_work

    def deliver(self) -> None:
        """Wake the task that waits; see `Ticket`."""
        if self._told:
            return
        try:
            self._loop.call_soon_threadsafe(self._grant)
            self._told = True
        except RuntimeError:  # the loop is closed, and the task will never take its turn: on to the next
            self.leave()

    def _grant(self) -> None:
        if not self._granted.done():
            self._granted.set_result(None)

    async def _comes(self, seconds: float | None) -> bool:
        await asyncio.wait([self._granted], timeout=seconds)
        return self._granted.done()

    async def _in_worker(self, work: Callable[[PathLock], T]) -> T:
        self._at_work = True
        return await workers.run(self._work, work)

    def _work(self, work: Callable[[PathLock], T]) -> T:
        try:
            if self.lock is None:
                self.lock = lock_for(self._target())
            with self.lock.at_work(self.owner):
                return work(self.lock)
        finally:
            self._at_work = False  # said here, for the loop may stand still

    def _attempt(self, work: Callable[[Hold], T], lock: PathLock) -> T:
        """In a worker: do ``work`` if the lock can be had now."""
        if not self._entered:
            lock.enter(self)
            self._entered = True
        if not lock.holds(self):
            raise _Queued
        if not self._acquired:
            with missing_directory(lock.target):
                self._acquired = lock.sidecar.try_acquire()
            if not self._acquired:
                raise _Busy
            self._on_had(time.perf_counter() - self._asked)
        return work(Hold(lock, self))

    def _and_leave(self, work: Callable[[Hold], T], hold: Hold) -> T:
        try:
            return work(hold)
        finally:
            self.leave()

    def _timed_out(self, deadline: Deadline) -> BaseException:
        return (self.lock or lock_for(self._target())).timed_out(deadline.timeout)
