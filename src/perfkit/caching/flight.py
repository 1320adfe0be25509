"""Single flight: of all who want a missing key, one computes it and the others wait, across threads and loops.

The name and the idea are those of Go's ``golang.org/x/sync/singleflight``. Two things are added. Waiting that could
never end is not begun: each flight knows which others it waits for, and whoever would close a circle computes for
itself. And who is cancelled or interrupted takes nobody along: the lead passes to another.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar, copy_context

from perfkit._base.exceptions import without_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from typing import Any

__all__ = ["Abandoned", "Flight", "Place", "current", "running"]

# One lock for all flights: the graph of who waits for whom spans caches. It is taken only where somebody waits.
_graph = threading.RLock()  # re-entrant: the collector may close a coroutine that waits, anywhere


_LOOK_EVERY = 1.0  # seconds, for whoever waits for another thread's event loop, which may be stopped for good


class Abandoned(Exception):
    """A flight's leader was cancelled or interrupted: whoever waits tries again."""


class Place:
    """Where one computation stands among the others: whose part it is, and what it waits for.

    This and not the flight is what contexts have, which outlive computations: it knows no values.
    """

    __slots__ = ("_thread", "is_over", "loop", "parent", "task", "waits_for")

    def __init__(self, loop: asyncio.AbstractEventLoop | None, task: asyncio.Task[Any] | None) -> None:
        self.parent = living(current.get())
        self.waits_for: list[Place] | None = None
        self.is_over = False
        self.loop = loop
        self.task = task
        self._thread = threading.get_ident()

    def enter(self) -> None:
        """Have what is begun from here on be part of this."""
        _held = copy_context()  # or 3.11 crashes where the collector runs in a set, and a finaliser sets a variable too
        current.set(self)

    def leave(self) -> None:
        """Have what is begun from here on be part of what this is a part of; harmless the second time.

        Tasks that share a context may have left it in another order than they entered. Then another stands here.
        """
        if current.get() is self:
            _held = copy_context()  # see above
            current.set(living(self.parent))

    def end(self) -> None:
        """Be over. What is still a part of this is now part of what this was a part of."""
        self.is_over = True
        self.parent = living(self.parent)
        self.loop = self.task = None

    def stands(self) -> bool:
        """Tell whether its event loop doesn't run."""
        loop = self.loop
        return loop is not None and not loop.is_running()

    def is_stopped_by(self, blocked_thread: int | None) -> bool:
        """Tell whether it would never end while a thread is blocked; its event loop may not run as it is."""
        return not self.is_over and (self._thread == blocked_thread or self.stands())

    def is_of_another(self, task: asyncio.Task[Any] | None) -> bool:
        """Tell whether it belongs to another task that shares the context of this one, which is no part of it."""
        other: Any = self.task
        context_of = getattr(task, "get_context", None)  # new in 3.12; before, calls that would be one may be several
        if other is None or other is task or context_of is None:
            return False
        return other.get_context() is context_of()


# What the code that runs is part of. In a context variable, so it is known in tasks and in threads that are started in
# their starter's context (``asyncio.to_thread`` does), too.
current: ContextVar[Place | None] = ContextVar("perfkit flight", default=None)


class Flight:
    """One computation under way, and those who wait for it."""

    __slots__ = ("_error", "_value", "_wakers", "is_over", "place", "tags")

    def __init__(
        self,
        tags: tuple[str, ...] = (),
        loop: asyncio.AbstractEventLoop | None = None,
        task: asyncio.Task[Any] | None = None,
    ) -> None:
        """Begin; ``loop``, which runs in this thread, has to run on for this to end, and ``task`` makes the value.

        ``tags`` are those that the value will have.
        """
        self.tags = tags
        self.place = Place(loop, task)
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

    def may_wait(self, *, blocks_thread: int | None = None) -> list[Place] | None:
        """Take note that we wait for this, and return who does, for `wait`; None if we might wait for ever.

        ``blocks_thread``: the waiter stops everything in this thread, its event loop too.
        """
        mine = _all_we_are_part_of()
        with _graph:
            for place in _reachable(self.place):
                if place in mine or place.is_stopped_by(blocks_thread):
                    return None
            for place in mine:
                place.waits_for = [*(place.waits_for or ()), self.place]
        return mine

    def wait(self, waiting: list[Place]) -> Any:
        """Return what comes of it, once it is over; blocks the thread."""
        gate = threading.Lock()
        gate.acquire()
        try:
            if self._wake(gate.release):
                while not gate.acquire(timeout=-1 if self.place.loop is None else _LOOK_EVERY):
                    self._give_up_if_it_stands()
        finally:
            self._waited(waiting)
        return self._outcome()

    async def wait_in_loop(self, waiting: list[Place]) -> Any:
        """Return what comes of it, once it is over; whichever thread or loop it runs in."""
        import asyncio

        loop = asyncio.get_running_loop()
        over = loop.create_future()
        try:
            if self._wake(lambda: _call_in(loop, over)):
                while self.place.loop not in (None, loop) and not over.done():
                    await asyncio.wait((over,), timeout=_LOOK_EVERY)
                    self._give_up_if_it_stands()
                await over
        finally:
            self._waited(waiting)
        return self._outcome()

    def _give_up_if_it_stands(self) -> None:
        if not self.is_over and self.place.stands():
            raise Abandoned

    def _wake(self, waker: Callable[[], object]) -> bool:
        """Have ``waker`` called at the end; False if that has been."""
        with _graph:
            self._wakers = [*(self._wakers or ()), waker]
        return not self.is_over  # looked at after the waker is there, as `_end` looks for wakers after it is over

    def _waited(self, waiting: list[Place]) -> None:
        with _graph:
            for place in waiting:
                _remove_one(self.place, place)

    def _outcome(self) -> Any:
        error = self._error
        if error is not None:  # each who waited gets one of his own, which says where it came from
            raise without_frames(error).with_traceback(error.__traceback__)
        return self._value

    def _end(self, value: Any, error: Exception | None) -> None:
        self._value, self._error = value, error
        self.place.end()
        self.is_over = True
        if self._wakers is not None:
            self._wake_all()

    def _wake_all(self) -> None:
        with _graph:
            wakers = self._wakers or ()
        for wake in wakers:
            with contextlib.suppress(RuntimeError):  # a thread that has been woken already
                wake()


def living(place: Place | None) -> Place | None:
    """Return a place, or the first it is part of that isn't over."""
    while place is not None and place.is_over:
        place = place.parent
    return place


def _all_we_are_part_of() -> list[Place]:
    """Return the computations that can't end while the code that runs is waiting."""
    mine: list[Place] = []
    task: asyncio.Task[Any] | None = None
    place = living(current.get())
    while place is not None:
        task = task or (None if place.task is None else running()[1])
        if not place.is_of_another(task):
            mine.append(place)
        place = living(place.parent)
    return mine


def running() -> tuple[asyncio.AbstractEventLoop | None, asyncio.Task[Any] | None]:
    """Return this thread's event loop and task; Nones where there is none, and under another framework's."""
    import asyncio

    loop = asyncio._get_running_loop()
    return loop, None if loop is None else asyncio.current_task(loop)


def _reachable(place: Place) -> Iterator[Place]:
    """Yield what a computation waits for, itself first, however indirectly."""
    seen, left = {place}, [place]
    while left:
        one = left.pop()
        yield one
        new = [other for other in one.waits_for or () if other not in seen]
        seen.update(new)
        left += new


def _remove_one(waited_for: Place, waiter: Place) -> None:
    """Take out one wait of several: two tasks of one computation may wait for the same other."""
    left = list(waiter.waits_for or ())
    with contextlib.suppress(ValueError):
        left.remove(waited_for)
    waiter.waits_for = left


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
