"""Running blocking calls off the event loop.

One hop, a bounded number of daemon threads, and cancellation that can be trusted.

``loop.run_in_executor`` leaves a cancelled call running behind its caller's back. Here a call that was cancelled before
it started never runs, and one that had started is waited for: when CancelledError is raised the call is over, so
whatever it took can be given back. asyncio's own executor also keeps the interpreter from exiting while a thread is
stuck; daemon threads don't.
"""

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar, TypeVarTuple

from perfkit._base.workers import Workers

__all__ = ["Offloader", "settle"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_WAITING, _STARTED, _WITHDRAWN = range(3)


class _Call:
    """One function to run in a worker, and the future of the task that awaits it."""

    __slots__ = ("_args", "_context", "_fn", "_future", "_loop", "_mutex", "_state")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], future: "asyncio.Future[Any]") -> None:
        self._fn = fn
        self._args = args
        self._context: Context = copy_context()
        self._future = future
        self._loop = future.get_loop()
        self._mutex = threading.Lock()
        self._state = _WAITING

    def withdraw(self) -> bool:
        """Keep the call from running; False if it has started."""
        return self._move_to(_WITHDRAWN)

    def run(self) -> None:
        if not self._move_to(_STARTED):
            return
        result, error = None, None
        try:
            result = self._context.run(self._fn, *self._args)
        except BaseException as raised:  # noqa: BLE001 (it is raised again in the awaiting task)
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._settle, result, error)
        except RuntimeError:  # the loop was closed under us, and nobody is left who could be told
            return

    def _move_to(self, state: int) -> bool:
        with self._mutex:
            if self._state != _WAITING:
                return False
            self._state = state
            return True

    def _settle(self, result: Any, error: BaseException | None) -> None:
        settle(self._future, result, error)


def settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    """Give a future what a function returned or raised, unless it has something already. Never raises."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, StopIteration):  # which a future can't carry; coroutines change it like this, too
        instead = RuntimeError(f"the function raised {type(error).__name__}, which no coroutine can pass on")
        instead.__cause__ = error
        future.set_exception(instead)
    else:
        future.set_exception(error)


class Offloader:
    """Calls for tasks, made by at most ``max_workers`` named daemon threads."""

    def __init__(self, max_workers: int, name: str) -> None:
        self._workers = Workers(max_workers, name)

    async def run(self, fn: "Callable[[*Ts], T]", *args: *Ts) -> T:
        """Return ``fn(*args)``, called in a worker thread with the caller's context variables.

        Cancelled before a worker took it up, the call never runs. Cancelled later, this waits for its end and then
        raises CancelledError, from the call's own error if it had one; its result is dropped.
        """
        future = asyncio.get_running_loop().create_future()
        call = _Call(fn, args, future)
        try:
            self._workers.submit(call.run)
        except BaseException:  # no thread is to be had, or an interrupt: who is told so must not find it done later
            call.withdraw()
            raise
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.shield(future)
            except asyncio.CancelledError as error:
                if call.withdraw():
                    raise
                cancelled = error
            except BaseException as error:
                if not future.done() or future.exception() is not error:  # thrown into the coroutine: it is closed
                    raise
        if cancelled is not None:
            raise cancelled from future.exception()
        result: T = future.result()
        return result
