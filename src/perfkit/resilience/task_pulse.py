"""What makes a heartbeat beat in an event loop: a timer of the loop that says when, and tasks that do it."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from contextvars import copy_context
from functools import partial

from perfkit.resilience.pulse import SAID_NO, log_failed_beat, log_failed_hook, raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from perfkit.resilience.heartbeat import Heartbeat

__all__ = ["TaskPulse"]

_tasks: set[asyncio.Task[Any]] = set()  # a loop holds its tasks weakly


class TaskPulse:
    """The pulse of a ``beat`` that is a coroutine function."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "beat is a coroutine function, so the heartbeat has to be started where an event loop runs: call"
                " start() in a coroutine, or use `async with`"
            ) from None
        self._heartbeat = weakref.ref(heartbeat)
        self._timeout = heartbeat._timeout
        self._context = copy_context()
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[Any] | None = None

    def is_alive(self) -> bool:
        """Tell whether the loop is still there."""
        return not self._loop.is_closed()

    def check_here(self) -> None:
        """Raise RuntimeError if another loop runs here."""
        if _running_loop() is not self._loop:
            raise RuntimeError("the heartbeat beats in another event loop: stop() it first")

    def set(self, delay: float) -> bool:
        """Have the loop call."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, _ring, self._heartbeat)
        return True

    def begin(self, beat: Callable[[], Any], number: int) -> bool:
        """Have a task make a beat."""
        self._beat = self._task(_make(self._heartbeat, beat, self._timeout))
        self._beat.add_done_callback(partial(_done, self._heartbeat, number))
        return True

    def tell(self) -> bool:
        """Have a task call the hooks."""
        self._task(_tell(self._heartbeat))
        return True

    def stop(self) -> None:
        """Cancel the timer and the beat under way, on the loop's thread. A hook that calls this goes on."""
        if _running_loop() is self._loop:
            self._cancel()
            return
        with contextlib.suppress(RuntimeError):  # the loop has been closed, and all with it
            self._loop.call_soon_threadsafe(self._cancel)

    async def ended(self) -> None:
        """Wait for the beat that was cancelled, if it takes no longer than a beat may."""
        if self._beat is not None and self._is_another(self._beat):
            await asyncio.wait([self._beat], timeout=self._timeout)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beat is not None and self._is_another(self._beat):
            self._beat.cancel()

    def _is_another(self, task: asyncio.Task[Any]) -> bool:
        """Tell whether a task is not the one that asks."""
        return _running_loop() is not self._loop or task is not asyncio.current_task()

    def _task(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work, context=self._context.copy())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        return task


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _ring(reference: weakref.ref[Heartbeat]) -> None:
    heartbeat = reference()
    if heartbeat is not None:
        heartbeat._tick()


async def _make(reference: weakref.ref[Heartbeat], beat: Callable[[], Any], seconds: float) -> str | None:
    """Make a beat; return why it is a miss, if it is one. While it is awaited the heartbeat isn't referred to."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return SAID_NO if await beat() is False else None
    except Exception as error:  # noqa: BLE001 (whatever it is, the peer wasn't reached)
        log_failed_beat(reference, error)
        return f"beat() was not back within {seconds:g} s" if limit.expired() else raised(error)


def _done(reference: weakref.ref[Heartbeat], number: int, task: asyncio.Task[str | None]) -> None:
    """Say how a beat ended; a task that was cancelled before its first step says so nowhere else."""
    _tasks.discard(task)
    heartbeat = reference()
    if heartbeat is not None:
        heartbeat._ended(number, _why_missed(task))


def _why_missed(task: asyncio.Task[str | None]) -> str | None:
    if task.cancelled():
        return "beat() was cancelled"
    error = task.exception()
    return task.result() if error is None else raised(error)


async def _tell(reference: weakref.ref[Heartbeat]) -> None:
    while (heartbeat := reference()) is not None and (tell := heartbeat._next_change()) is not None:
        try:
            told = tell()
            if asyncio.iscoroutine(told):
                await told
        except Exception as error:  # noqa: BLE001 (it is logged, and stops nothing)
            log_failed_hook(heartbeat, error)
        except asyncio.CancelledError:  # the loop is ending
            heartbeat._is_telling = False
            raise
        del heartbeat, tell
