"""Telling those who wait: tasks by one call into their loop for many of them, threads each by a gate of its own."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from perfkit._base.exceptions import without_frames
from perfkit.sqlite.batch import Failed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from perfkit.sqlite.batch import Operation

__all__ = ["Gate", "ToLoop", "ToThreads"]


class ToLoop:
    """Delivers to futures of an event loop. Each batch costs the loop one wake-up."""

    def __init__(self, max_pending: int) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.line: deque[asyncio.Future[None]] = deque()  # callers that wait for room in the queue
        self.coming: WeakSet[asyncio.Future[None]] = WeakSet()  # that were let in, and haven't queued up yet
        self.waiting: deque[Operation] = deque()
        self._max_pending = max_pending

    def __call__(self, operations: Sequence[Operation], outcomes: Sequence[Any]) -> None:
        """Deliver outcomes; see `Deliver`."""
        try:
            self.loop.call_soon_threadsafe(  # type: ignore[union-attr]  # None is caught too
                self._answer, operations, outcomes
            )
        except (RuntimeError, AttributeError):  # the loop is closed, or there was none: nobody waits
            return

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver to this loop from now on."""
        self.loop = loop
        self.line.clear()
        self.coming.clear()

    def turn_away(self, error: BaseException) -> None:
        """Tell those who wait for room that there will be none."""
        while self.line:
            future = self.line.popleft()
            if not future.done():
                future.set_exception(without_frames(error))

    def _answer(self, operations: Sequence[Operation], outcomes: Sequence[Any]) -> None:
        for operation, outcome in zip(operations, outcomes, strict=True):
            future: asyncio.Future[Any] = operation[0]  # type: ignore[assignment]  # that is what this class is for
            if future.done():
                continue
            if type(outcome) is Failed:
                future.set_exception(_carried(outcome.taken()))
            else:
                future.set_result(outcome)
        if self.line:
            self.admit()

    def admit(self) -> None:
        """Let in as many as there is room for."""
        room = self._max_pending - len(self.waiting) - len(self.coming)
        while self.line and room > 0:
            future = self.line.popleft()
            if not future.done():
                future.set_result(None)
                self.coming.add(future)
                room -= 1


def _carried(error: BaseException) -> BaseException:
    """Return what a future can carry: it refuses StopIteration."""
    if not isinstance(error, StopIteration):
        return error
    other = RuntimeError("the function raised StopIteration")
    other.__cause__ = error
    return other


class Gate:
    """A thread that waits for an outcome."""

    __slots__ = ("__weakref__", "_is_done", "_is_withdrawn", "_lock", "_outcome")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._outcome: Any = None
        self._is_done = self._is_withdrawn = False

    def cancelled(self) -> bool:
        """Tell whether the thread has given up."""
        return self._is_withdrawn

    def settle(self, outcome: Any) -> None:
        """Hand over the outcome, the first time."""
        if not self._is_done:
            self._outcome, self._is_done = outcome, True
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the outcome; False if the time is up, or raise what interrupts it: then nobody waits any more."""
        try:
            came = self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        except BaseException:
            self._is_withdrawn = True
            raise
        self._is_withdrawn = not came
        return came

    def result(self) -> Any:
        """Wait, and return the result or raise the error."""
        self.wait()
        return self.outcome()

    def outcome(self) -> Any:
        """Return the result that has come, or raise the error; once, for it keeps neither."""
        outcome, self._outcome = self._outcome, None
        if type(outcome) is not Failed:
            return outcome
        raise outcome.taken()


class ToThreads:
    """Delivers to threads."""

    def __init__(self, max_pending: int) -> None:
        self.line: deque[Gate] = deque()
        self.coming: WeakSet[Gate] = WeakSet()
        self._lock = threading.RLock()  # a signal handler may come by it in the middle
        self.waiting: deque[Operation] = deque()
        self._max_pending = max_pending

    def __call__(self, operations: Sequence[Operation], outcomes: Sequence[Any]) -> None:
        """Deliver outcomes; see `Deliver`."""
        for operation, outcome in zip(operations, outcomes, strict=True):
            operation[0].settle(outcome)  # type: ignore[attr-defined]  # a Gate: that is what this class is for
        if self.line:
            self.admit()

    def turn_away(self, error: BaseException) -> None:
        """Tell those who wait for room that there will be none."""
        with self._lock:
            while self.line:
                self.line.popleft().settle(Failed(without_frames(error)))

    def admit(self) -> None:
        """Let in as many as there is room for."""
        with self._lock:
            room = self._max_pending - len(self.waiting) - len(self.coming)
            while self.line and room > 0:
                gate = self.line.popleft()
                if not gate.cancelled():
                    self.coming.add(gate)
                    gate.settle(None)
                    room -= 1
