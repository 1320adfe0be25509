"""Single flight: of all who want a missing key, one computes it and the others wait, across threads and loops.

The name and the idea are those of Go's ``golang.org/x/sync/singleflight``. Two things are added. Waiting that could
never end is not begun: each flight knows which others it waits for, and whoever would close a circle computes for
itself. And who is cancelled or interrupted takes nobody along: the lead passes to another.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["Abandoned", "Flight", "current"]

# One lock for all flights: the graph of who waits for whom spans caches. It is taken only where somebody waits.
_graph = threading.RLock()  # re-entrant: the collector may close a coroutine that waits, anywhere


_LOOK_EVERY = 1.0  # seconds, for whoever waits for another thread's event loop, which may be stopped for good


class Abandoned(Exception):
    """A flight's leader was cancelled or interrupted: whoever waits tries again."""


class Flight:
    """One computation under way, and those who wait for it.

    ``parent`` is the flight whose computation asked for this one, found by a context variable: so it is known in tasks
    and in threads that a leader starts in its own context (``asyncio.to_thread`` does), too.
    """

    __slots__ = ("_error", "_loop", "_loop_thread", "_parent", "_value", "_waits_for", "_wakers", "is_over", "tags")

    def __init__(self, tags: tuple[str, ...] = (), *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin; ``loop`` is the event loop, running in this thread, that has to run on for this to end.

        ``tags`` are those that the value will have.
        """
        self.tags = tags
        self._parent = current.get()
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._waits_for: list[Flight] | None = None
        self._wakers: list[Callable[[], object]] | None = None
        self.is_over = False

    def succeed(self, value: Any) -> None:
        """End with a value for all who wait."""
        self._end(value, None)

    def fail(self, error: Exception) -> None:
        """End with an error for all who wait."""
        self._end(None, error)

    def abandon(self) -> None:
        """End, unless it has ended, with nothing: those who wait try again. See to it that all have been woken.

        Harmless the second time, which is for whoever was interrupted.
        """
        if not self.is_over:
            self._end(None, Abandoned())
        elif self._wakers is not None:
            self._wake_all()

    def would_deadlock(self, *, blocks_thread: int | None = None) -> bool:
        """Tell whether waiting for this from where we are could never end; else take note that we wait.

        ``blocks_thread``: the waiter stops everything in this thread, its event loop too.
        """
        mine = list(_lineage(current.get()))
        with _graph:
            for flight in _reachable(self):
                if flight in mine or flight._stands(blocks_thread):
                    return True
            for flight in mine:
                flight._waits_for = [*(flight._waits_for or ()), self]
        return False

    def _stands(self, blocked_thread: int | None) -> bool:
        """Tell whether its loop doesn't run, or would not while a thread is blocked."""
        loop = self._loop
        return loop is not None and (self._loop_thread == blocked_thread or not loop.is_running())

    def wait(self) -> Any:
        """Return what comes of it, once it is over; blocks the thread."""
        gate = threading.Lock()
        gate.acquire()
        try:
            if self._wake(gate.release):
                while not gate.acquire(timeout=-1 if self._loop is None else _LOOK_EVERY):
                    self._give_up_if_it_stands()
        finally:
            self._waited()
        return self._outcome()

    async def wait_in_loop(self) -> Any:
        """Return what comes of it, once it is over; whichever thread or loop it runs in."""
        import asyncio

        loop = asyncio.get_running_loop()
        over = loop.create_future()
        try:
            if self._wake(lambda: _call_in(loop, over)):
                while self._loop not in (None, loop) and not over.done():
                    await asyncio.wait((over,), timeout=_LOOK_EVERY)
                    self._give_up_if_it_stands()
                await over
        finally:
            self._waited()
        return self._outcome()

    def _give_up_if_it_stands(self) -> None:
        if not self.is_over and self._stands(None):
            raise Abandoned

    def _wake(self, waker: Callable[[], object]) -> bool:
        """Have ``waker`` called at the end; False if that has been."""
        with _graph:
            self._wakers = [*(self._wakers or ()), waker]
        return not self.is_over  # looked at after the waker is there, as `_end` looks for wakers after it is over

    def _waited(self) -> None:
        with _graph:
            for flight in _lineage(current.get()):
                flight._waits_for = [other for other in flight._waits_for or () if other is not self]

    def _outcome(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def _end(self, value: Any, error: BaseException | None) -> None:
        self._value, self._error, self.is_over = value, error, True
        if self._wakers is not None:
            self._wake_all()

    def _wake_all(self) -> None:
        with _graph:
            wakers = self._wakers or ()
        for wake in wakers:
            with contextlib.suppress(RuntimeError):  # a thread that has been woken already
                wake()


current: ContextVar[Flight | None] = ContextVar("perfkit flight", default=None)


def _lineage(flight: Flight | None) -> Iterator[Flight]:
    while flight is not None:
        yield flight
        flight = flight._parent


def _reachable(flight: Flight) -> Iterator[Flight]:
    """Yield what a flight waits for, itself first, however indirectly."""
    seen, left = {flight}, [flight]
    while left:
        one = left.pop()
        yield one
        new = [other for other in one._waits_for or () if other not in seen]
        seen.update(new)
        left += new


def _call_in(loop: asyncio.AbstractEventLoop, over: asyncio.Future[None]) -> None:
    try:
        loop.call_soon_threadsafe(_settle, over)
    except RuntimeError:  # the loop is closed, and nobody waits there any more
        pass


def _settle(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def _renew() -> None:
    global _graph  # noqa: PLW0603 (a fork may have copied it while another thread held it)
    _graph = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
