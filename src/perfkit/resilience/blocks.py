"""The attempts of a block, which is no function: ``for attempt in retry(...): with attempt: ...``."""

from __future__ import annotations

import sys
from time import sleep

from perfkit.resilience.run import Run, slept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, Self

    from perfkit.resilience.retrying import Retry

__all__ = ["AsyncAttempts", "Attempt", "Attempts"]

_OF_COROUTINES = 0x080 | 0x200  # co_flags of coroutine functions, and of asynchronous generators


class Attempt:
    """One attempt of a ``for`` or ``async for`` over a `perfkit.retry`: ``with attempt: ...``."""

    __slots__ = ("_attempts", "number")

    def __init__(self, attempts: Any, number: int) -> None:
        self._attempts: Attempts = attempts
        self.number = number  #: which attempt it is, from 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        return self._attempts.ended(error)

    async def __aenter__(self) -> NoReturn:
        raise TypeError("an attempt is entered by `with attempt:`, in a coroutine too; what is awaited is `async for`")

    async def __aexit__(self, *raised: object) -> None: ...


class Attempts:
    """The attempts of one block, for ``for``."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._number = 0
        self._began = 0.0
        self._run: Run | None = None
        self._error: Exception | None = None  # of the last attempt, while it is waited for another
        self._wait: float | None = None
        self._is_open = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Attempt:
        if not self._is_first():
            if self._wait is None:
                raise StopIteration
            if self._wait and self._retry._sleep is sleep:
                self._refuse_to_stop_a_loop(sys._getframe(1).f_code.co_flags)
            self._retry._sleep(self._wait)
            self._begin_another()
        return self._next()

    def ended(self, error: BaseException | None) -> bool:
        """Take note of how an attempt ended; tell whether its error is dealt with."""
        self._is_open = False
        self._wait = None
        if error is None:
            if self._run is not None:
                self._retry._count("recovered")
            return False
        if not isinstance(error, Exception):
            return False
        self._run = self._run or Run(self._retry, None, self._began)
        self._wait = self._run.wait_after(error)
        self._error = None if self._wait is None else error
        return self._wait is not None

    def _refuse_to_stop_a_loop(self, flags: int) -> None:
        """Raise RuntimeError in a coroutine. Not wherever an event loop runs: it does in each cell of a notebook."""
        asyncio = sys.modules.get("asyncio")
        if flags & _OF_COROUTINES and asyncio is not None and asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "`for attempt in retry(...)` would stop the event loop while it waits for the next attempt: in a"
                " coroutine write `async for`"
            ) from self._error

    def _is_first(self) -> bool:
        if self._is_open:
            raise RuntimeError("the attempt before was not used: the body of the loop is `with attempt: ...`")
        if self._number:
            return False
        self._began = self._retry._timer()
        if self._retry._budget is not None:
            self._retry._budget.deposit()
        return True

    def _next(self) -> Attempt:
        self._number += 1
        self._is_open = True
        return Attempt(self, self._number)

    def _begin_another(self) -> None:
        error, self._error = self._error, None
        if self._run is None or error is None or self._run.begins_another(error):
            return
        self._wait = None
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context  # the function's own, not what the caller is handling
            del error


class AsyncAttempts(Attempts):
    """The attempts of one block, for ``async for``."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Attempt:
        if not self._is_first():
            if self._wait is None:
                raise StopAsyncIteration
            await slept(self._retry._asleep(self._wait))
            self._begin_another()
        return self._next()
