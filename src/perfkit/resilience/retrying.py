"""`perfkit.retry`: attempts made by a `Plan`, around functions and blocks, for threads and for tasks."""

from __future__ import annotations

import itertools
import threading
import time

from perfkit import registry
from perfkit._base import fork
from perfkit._base.calling import refusing
from perfkit._base.closures import call, name_of, refuse_coroutine, wrap
from perfkit._base.decorating import COROUTINE_FUNCTION, kind_of
from perfkit.resilience import limits
from perfkit.resilience.attempts import Plan
from perfkit.resilience.blocks import AsyncAttempts, Attempt, Attempts
from perfkit.resilience.budget import RetryBudget
from perfkit.resilience.run import COUNTED, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from typing import Any, NoReturn, ParamSpec, TypeVar

    from perfkit.resilience.stats import RetryEvent, RetryStats

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., Any])
    On = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool | float | None]

__all__ = ["Attempt", "Retry", "retry"]

_numbers = itertools.count(1)
_NO_BLOCK = "a block can't be run twice by `with`: write `{} attempt in retry(...):`, and `with attempt:` in that loop"


def _refuse_arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Say what to write to whoever puts ``retry`` itself on a function, or doesn't say what to try again."""
    if args or "on" not in kwargs:
        raise TypeError(
            "retry takes keyword arguments alone, and on is one of them: it says which errors are tried again, as in"
            " @retry(on=ConnectionError)"
        )


@refusing(_refuse_arguments)
def retry(
    *,
    on: On,
    attempts: int | None = 5,
    timeout: float | None = 30.0,
    wait: float = 0.1,
    max_wait: float = 5.0,
    factor: float = 2.0,
    budget: RetryBudget | None = None,
    on_retry: Callable[[RetryEvent], object] | None = None,
    name: str | None = None,
    timer: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] | None = None,
) -> Retry:
    """Try again what failed for a moment: ``@retry(on=ConnectionError)``, ``retry(...).call(f)``, or around a block.

    For functions, coroutine functions, methods, classmethods and staticmethods (above or below those). A block::

        for attempt in retry(on=TimeoutError):  # or: async for
            with attempt:
                ...

    Args:
        on: what is tried again; there is no default, for only you know. A subclass of Exception, a tuple of such, or
            ``on(error)``, which returns False or None to raise the error, True to try again, or a number of seconds to
            wait at least (what a ``Retry-After`` says).
        attempts: the most attempts in all, from 1; None for no limit.
        timeout: no attempt begins later than so many seconds after the first one began; None for no limit. A wait that
            would end later is not begun. An attempt that runs is not cut off: give the call a time limit of its own.
            ``attempts`` and ``timeout`` can't both be None.
        wait: the first wait is drawn from 0 to so many seconds (full jitter); 0 or more.
        max_wait: no wait is drawn from more than 0 to so many seconds; ``wait`` or more.
        factor: how many times as long each wait may be as the one before; 1 or more.
        budget: a `perfkit.RetryBudget`, shared with the other calls of the same service, so that retries don't become a
            storm.
        on_retry: ``on_retry(event)`` is called before each wait with a `perfkit.resilience.RetryEvent`, by the caller.
            A plain function. What it raises is logged on ``perfkit.resilience``.
        name: what ``perfkit.stats()``, notes and the log call it; if not given, the first function it decorates.
        timer: the clock, a function that returns seconds.
        sleep: waits so many seconds, instead of `time.sleep`; around coroutine functions what it returns is awaited.

    Guarantees:
        * The error that is raised in the end is the function's own, the last one, with its own cause and context. A
          note on it says how many attempts there were in how long, why there are no more, and how the earlier ones
          failed.
        * `perfkit.errors.BreakerOpen` is never tried again, nor what is no Exception: cancellation, KeyboardInterrupt,
          SystemExit.
        * Waits are random over their whole length, also the longest ones, so that clients don't return in step. Where a
          predicate returned seconds, the jitter comes on top of them.
        * Thread-safe: one object serves any number of functions, threads, tasks and event loops at once.

    Each retry is logged on ``perfkit.resilience`` (debug), and each giving up (info), never with the arguments.

    Returns a `perfkit.resilience.Retry`: the decorator, with ``call``, ``stats`` and ``name``.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Cost: a call that succeeds takes about 0.15 µs more. Full jitter: Marc Brooker, "Exponential Backoff And Jitter"
    (2015).
    """
    return Retry(
        on=on,
        attempts=attempts,
        timeout=timeout,
        wait=wait,
        max_wait=max_wait,
        factor=factor,
        budget=budget,
        on_retry=on_retry,
        name=name,
        timer=timer,
        sleep=sleep,
    )


class Retry:
    """What `perfkit.retry` returns: a decorator, and an iterable of attempts for ``for`` and ``async for``."""

    def __init__(
        self,
        *,
        on: On,
        attempts: int | None,
        timeout: float | None,
        wait: float,
        max_wait: float,
        factor: float,
        budget: RetryBudget | None,
        on_retry: Callable[[RetryEvent], object] | None,
        name: str | None,
        timer: Callable[[], float],
        sleep: Callable[[float], Any] | None,
    ) -> None:
        if attempts is None and timeout is None:
            raise ValueError("attempts and timeout can't both be None: it would never give up")
        limits.check_timer(timer)
        limits.check_callable(sleep, "sleep", "sleep(seconds)")
        self._plan = Plan(
            attempts=None if attempts is None else limits.check_count(attempts, "attempts"),
            timeout=None if timeout is None else limits.check_seconds(timeout, "timeout"),
            wait=limits.check_between(wait, "wait", 0),
            max_wait=limits.check_between(max_wait, "max_wait", 0),
            factor=limits.check_between(factor, "factor", 1),
        )
        if wait > max_wait:
            raise ValueError(f"wait must be at most max_wait, not {wait!r} with a max_wait of {max_wait!r}")
        self._asked = _asked(on)
        self._budget = _checked_budget(budget)
        limits.check_hook(on_retry, "on_retry", "on_retry(event)")
        self._on_retry = on_retry
        self._timer = timer
        self._sleep = sleep or time.sleep
        self._asleep = sleep or _sleep_on_loop
        self._name = name
        self._first: str | None = None  # the first function it decorates
        self._number = next(_numbers)
        self._counts = dict.fromkeys(COUNTED, 0)
        self._lock = threading.RLock()  # re-entrant: a finaliser may call something that is tried again
        fork.after_in_child(self)
        registry.register(self, part="resilience")

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name or self._first or f"retry-{self._number}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def __call__(self, function: F) -> F:
        """Decorate a function: what fails is tried again.

        Raises TypeError for generator functions and classes; and when it is called, for a plain function whose first
        result is a coroutine.
        """
        decorated: F = wrap(function, "retry", sync=self._sync, asynchronous=self._asynchronous)
        self._first = self._first or name_of(function)
        return decorated

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function, again if it fails; return its result, or what to await if it is a coroutine function.

        Raises what the function raises; TypeError for a generator function, and for a plain function that returns a
        coroutine. Cost: 2 µs more than a decorated function, for finding out what kind it is.
        """
        made: R = call(function, "retry", args, kwargs, sync=self._sync, asynchronous=self._asynchronous)
        return made

    def __iter__(self) -> Iterator[Attempt]:
        """Yield attempts, until one succeeds; the error that ends them is raised where it was.

        In a coroutine write ``async for``: raises RuntimeError there when it would stop the event loop for a wait.
        """
        self._check_sleep()
        return Attempts(self)

    def __aiter__(self) -> AsyncIterator[Attempt]:
        """Do as ``__iter__``, and wait on the event loop."""
        return AsyncAttempts(self)

    def __enter__(self) -> NoReturn:
        raise TypeError(_NO_BLOCK.format("for"))

    def __exit__(self, *raised: object) -> None: ...

    async def __aenter__(self) -> NoReturn:
        raise TypeError(_NO_BLOCK.format("async for"))

    async def __aexit__(self, *raised: object) -> None: ...

    def stats(self) -> RetryStats:
        """Return its figures. Calls that succeed at once are not counted, which is what makes them cheap."""
        from perfkit.resilience.stats import RetryStats

        with self._lock:
            return RetryStats(name=self.name, **self._counts)

    def _count(self, what: str) -> None:
        """Count one of the figures."""
        with self._lock:
            self._counts[what] += 1

    def _sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        self._check_sleep()
        retry, budget, name, is_first = self, self._budget, name_of(function), True

        def tried(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_first
            began = retry._timer()
            if budget is not None:
                budget.deposit()
            run = None
            while True:
                try:
                    result = function(*args, **kwargs)
                except Exception as error:
                    run = run or Run(retry, name, began)
                    if not run.goes_on_after(error):
                        raise
                else:
                    if is_first:  # the others will be alike
                        refuse_coroutine(result, "retry")
                        is_first = False
                    if run is not None:
                        retry._count("recovered")
                    return result

        return tried

    def _asynchronous(self, function: Callable[..., Any]) -> Callable[..., Any]:
        retry, budget, name = self, self._budget, name_of(function)

        async def tried(*args: Any, **kwargs: Any) -> Any:
            began = retry._timer()
            if budget is not None:
                budget.deposit()
            run = None
            while True:
                try:
                    result = await function(*args, **kwargs)
                except Exception as error:
                    run = run or Run(retry, name, began)
                    if not await run.agoes_on_after(error):
                        raise
                else:
                    if run is not None:
                        retry._count("recovered")
                    return result

        return tried

    def _check_sleep(self) -> None:
        """Raise TypeError if ``sleep`` would have to be awaited where nobody can."""
        if kind_of(self._sleep) == COROUTINE_FUNCTION:
            raise TypeError("sleep is a coroutine function, for coroutine functions; here give one that blocks")

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()


def _asked(on: object) -> Callable[[Exception], object]:
    """Return a predicate for ``on``."""
    if isinstance(on, type | tuple):
        kinds = limits.check_errors(on, "on")
        if not kinds:
            raise ValueError("on=() would have nothing tried again: name the errors that are, as in on=ConnectionError")
        return lambda error: isinstance(error, kinds)
    if not callable(on):
        hint = limits.as_tuple(on, "on")
        raise TypeError(f"on must be exception types or a function, called as on(error), not {on!r}{hint}")
    limits.check_hook(on, "on", "on(error)")
    return on


def _checked_budget(budget: object) -> RetryBudget | None:
    if budget is not None and not isinstance(budget, RetryBudget):
        raise TypeError(f"budget must be a perfkit.RetryBudget, shared by the calls of a service, not {budget!r}")
    return budget


def _sleep_on_loop(seconds: float) -> Awaitable[None]:
    from asyncio import sleep

    return sleep(seconds)
