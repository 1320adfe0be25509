"""`perfkit.CircuitBreaker`: a `Circuit` with a clock and a lock, around functions and blocks."""

from __future__ import annotations

import itertools
import math
import threading
import time
from contextvars import ContextVar

from perfkit import registry
from perfkit._base import fork
from perfkit._base.calling import refusing
from perfkit._base.closures import call, name_of, refuse_coroutine, wrap
from perfkit._base.logs import logger
from perfkit.resilience import limits
from perfkit.resilience.circuit import FAILED, NEUTRAL, OK, SLOW, Circuit, HalfOpen, Refusal, Rules
from perfkit.resilience.entered import BEGAN, BELOW, BREAKER, DEEPEST, DEPTH, FRAME, PERIOD, find, frame_of_with, own
from perfkit.resilience.errors import BreakerOpen
from perfkit.resilience.windows import CountWindow, TimeWindow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, ParamSpec, Self, TypeVar

    from perfkit.resilience.circuit import State
    from perfkit.resilience.keyed import KeyedBreakers
    from perfkit.resilience.stats import BreakerStats

    P = ParamSpec("P")
    R = TypeVar("R")
    F = TypeVar("F", bound=Callable[..., Any])
    Errors = type[Exception] | tuple[type[Exception], ...]
    Period = CountWindow | TimeWindow | HalfOpen

__all__ = ["CircuitBreaker"]

_numbers = itertools.count(1)

# The innermost block that the running thread or task is in, which has the one around it. They are no business of the
# breaker's, which any number may be in. Not imported: CPython 3.11 calls the methods of what is the slow way.
_entered: ContextVar[list[Any] | None] = ContextVar("perfkit_breakers_entered", default=None)


class CircuitBreaker:
    """Stops calling a service that fails, so that neither it nor its callers drown, and tries again after a while.

    A decorator, ``@breaker``, for functions, coroutine functions, methods, classmethods and staticmethods (above or
    below those); a context manager, ``with breaker:`` and ``async with breaker:``; and ``breaker.call(fn, ...)``. While
    it is *closed*, calls go through and are counted. If too many of the last ones failed or were slow, it *opens*:
    calls raise `perfkit.errors.BreakerOpen` at once. After ``reset_timeout`` it is *half-open*: a few calls go through
    as probes. If they succeed it closes; if one fails it opens again.

    Args:
        failure_rate: the share of calls, more than 0 and up to 1, that may fail; at so much it opens. None for no such
            rule.
        window: how many of the last calls count, from 1.
        window_seconds: count the calls of the last so many seconds instead, above 0. That costs each call a lock and
            two looks at the clock. What is too old goes a tenth of the window at a time.
        min_calls: with fewer calls in the window than this the rates say nothing. From 1, at most ``window``.
        consecutive: so many failures in a row open it too, whatever the rates. None for no such rule.
        slow_call: a call that takes longer than so many seconds is slow, however it ends. It is judged when it ends, so
            this is no time limit: give the call one. None: no call is slow.
        slow_rate: the share of calls, more than 0 and up to 1, that may be slow; at so much it opens.
        reset_timeout: seconds it stays open.
        probes: at most so many calls run while it is half-open, however many callers come; so many must succeed.
        half_open_timeout: a probe that is out for so many seconds has failed: it opens again.
        on: the exceptions that are failures, a subclass of Exception or a tuple of such. Name those that the service
            is to blame for, or mistakes of the program count too. Empty only if ``slow_call`` is given.
        ignore: those among them that say nothing of the service, such as a "not found".
        on_change: ``on_change(breaker, old, new)`` is called when the state has changed, by the caller whose call
            changed it, with the states' names. No lock is held. What it raises is logged on ``perfkit.resilience``.
            Several threads may be in it at once: ask ``breaker.state`` for what is the case now.
        name: what ``perfkit.stats()``, messages and the log call it; if not given, the first function it decorates.
        timer: the clock, a function that returns seconds and never goes back.

    Guarantees:
        * No lock is held during a call: what ran side by side without it does so with it.
        * The result of a call that began before the last change of state counts for nothing.
        * A call that is cancelled or interrupted, or raises what is ignored or no Exception, says nothing. A probe's
          place is given back by it. So it is with `perfkit.errors.BreakerOpen` of another breaker inside: that call
          tried nothing. Name it itself in ``on`` to count it.
        * Your own exceptions pass through as they are.
        * Thread-safe, for any number of threads, tasks and event loops at once; blocks nest. A block that is left in
          another context than it was entered in (a generator, a fixture) counts for nothing, and its probe's place is
          free after ``half_open_timeout``.
        * After a fork the child goes by itself from the state there was; probes of the parent are not waited for.

    Every change of state is logged on ``perfkit.resilience``: a warning when it opens, else as information.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Cost: closed and with a window of calls, a decorated call takes about 0.1 µs more, a ``with`` block about 0.5 µs. A
    failure costs a look at the window. See Michael Nygard, "Release It!" (2007), and resilience4j, whose rules these
    are.
    """

    _is_listed = True  # in perfkit.stats()

    @refusing(limits.refuse_arguments)
    def __init__(
        self,
        *,
        failure_rate: float | None = 0.5,
        window: int = 100,
        window_seconds: float | None = None,
        min_calls: int = 10,
        consecutive: int | None = None,
        slow_call: float | None = None,
        slow_rate: float = 1.0,
        reset_timeout: float = 30.0,
        probes: int = 1,
        half_open_timeout: float = 60.0,
        on: Errors = (Exception,),
        ignore: Errors = (),
        on_change: Callable[[CircuitBreaker, State, State], object] | None = None,
        name: str | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        if failure_rate is None and consecutive is None and slow_call is None:
            raise ValueError("it would never open: give failure_rate, consecutive or slow_call")
        limits.check_hook(on_change, "on_change", "on_change(breaker, old, new)", arguments=3)
        limits.check_timer(timer)
        rules = Rules(
            failure_rate=math.inf if failure_rate is None else limits.check_rate(failure_rate, "failure_rate"),
            window=limits.check_count(window, "window"),
            window_seconds=None if window_seconds is None else limits.check_seconds(window_seconds, "window_seconds"),
            min_calls=limits.check_count(min_calls, "min_calls"),
            consecutive=0 if consecutive is None else limits.check_count(consecutive, "consecutive"),
            slow_rate=limits.check_rate(slow_rate, "slow_rate"),
            reset_timeout=limits.check_seconds(reset_timeout, "reset_timeout"),
            probes=limits.check_count(probes, "probes"),
            half_open_timeout=limits.check_seconds(half_open_timeout, "half_open_timeout"),
        )
        if window_seconds is None and min_calls > window:
            raise ValueError(f"min_calls ({min_calls}) must be at most window ({window}), or it would never open")
        self._slow_call = math.inf if slow_call is None else limits.check_seconds(slow_call, "slow_call")
        self._failures = limits.check_errors(on, "on")
        if not self._failures and slow_call is None:
            raise ValueError(
                "on=() has nothing count as a failure, so it would never open: name what does, or slow_call"
            )
        self._ignored = limits.check_ignored(ignore, self._failures)
        self._on_change = on_change
        self._timer = timer
        self._name = name
        self._number = next(_numbers)
        self._is_timed = slow_call is not None or window_seconds is not None
        self._lock = threading.RLock()  # re-entrant: a finaliser may call something that it protects
        self._circuit = Circuit(rules, timer())
        self._window: CountWindow | TimeWindow | None = None  # the circuit's, while it is closed
        self._follow()
        fork.after_in_child(self)
        if self._is_listed:
            registry.register(self, part="resilience")

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name or f"breaker-{self._number}"

    @property
    def state(self) -> State:
        """``"closed"``, ``"open"`` or ``"half-open"``. It stays open until the first call after ``reset_timeout``."""
        return self._circuit.state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.state}>"

    # -- around functions

    def __call__(self, function: F) -> F:
        """Decorate a function: its calls go through this breaker.

        Raises TypeError for generator functions and classes; and when it is called, for a plain function whose first
        result is a coroutine.
        """
        quick = self._sync if self._is_timed else self._quick_sync
        aquick = self._asynchronous if self._is_timed else self._quick_asynchronous
        decorated: F = wrap(function, "CircuitBreaker", sync=quick, asynchronous=aquick)
        self._name = self._name or name_of(function)
        return decorated

    def call(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function through this breaker; return its result, or what to await if it is a coroutine function.

        Raises BreakerOpen; what the function raises; TypeError for a generator function, and for a plain function that
        returns a coroutine. Cost: 2 µs more than a decorated function, for finding out what kind it is.
        """
        made: R = call(function, "CircuitBreaker", args, kwargs, sync=self._sync, asynchronous=self._asynchronous)
        return made

    def _quick_sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        breaker, careful, is_first = self, self._sync(function), True

        def guarded(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_first
            window = breaker._window
            if window is None:
                return careful(*args, **kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                breaker._raised(window, error)
                raise
            window.record(OK)  # type: ignore[union-attr]  # this closure is for windows that count calls
            if is_first:  # the others will be alike; looking at each would cost a tenth of what this takes
                refuse_coroutine(result, "CircuitBreaker")
                is_first = False
            return result

        return guarded

    def _quick_asynchronous(self, function: Callable[..., Any]) -> Callable[..., Any]:
        breaker, careful = self, self._asynchronous(function)

        async def guarded(*args: Any, **kwargs: Any) -> Any:
            window = breaker._window
            if window is None:
                return await careful(*args, **kwargs)
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                breaker._raised(window, error)
                raise
            window.record(OK)  # type: ignore[union-attr]  # this closure is for windows that count calls
            return result

        return guarded

    def _sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        is_first = True

        def guarded(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_first
            period, began = self._begin()
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                self._raised(period, error, began)
                raise
            self._returned(period, began)
            if is_first:
                refuse_coroutine(result, "CircuitBreaker")
                is_first = False
            return result

        return guarded

    def _asynchronous(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(*args: Any, **kwargs: Any) -> Any:
            period, began = self._begin()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                self._raised(period, error, began)
                raise
            self._returned(period, began)
            return result

        return guarded

    # -- around blocks

    def __enter__(self) -> Self:
        period, began = self._begin()
        below = _entered.get()
        while below is not None and (below[BREAKER] is None or below[DEPTH] >= DEEPEST):
            below = below[BELOW]
        if below is None:
            _entered.set([self, period, began, None, 1, None])
        else:
            frame = None if find(self, below) is None else frame_of_with()
            _entered.set([self, period, began, below, below[DEPTH] + 1, frame])
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        block = find(self, _entered.get())
        if block is None:  # it was entered in another context, which nobody can look into
            return
        if block[FRAME] is not None:
            block = own(self, block)
        block[BREAKER] = None  # the next one to be entered takes it off
        if error is None:
            self._returned(block[PERIOD], block[BEGAN])
        else:
            self._raised(block[PERIOD], error, block[BEGAN])

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.__exit__(kind, error, traceback)

    # -- by hand, and to look at

    def trip(self) -> None:
        """Open it by hand, for ``reset_timeout`` from now; calls under way count for nothing."""
        self._decide(self._circuit.trip, self._timer())

    def reset(self) -> None:
        """Close it by hand; the calls before count for nothing."""
        self._decide(self._circuit.reset, self._timer())

    def stats(self) -> BreakerStats:
        """Return its figures. Cost: a look at the window, some microseconds."""
        from perfkit.resilience.stats import breaker_stats

        with self._lock:
            return breaker_stats(self.name, self._circuit, self._timer())

    # -- a call's beginning and end

    def _begin(self) -> tuple[Period, float]:
        """Return the period that a call belongs to, and the time if it will be asked for. Raises BreakerOpen."""
        window = self._window
        if window is not None:
            return window, self._timer() if self._is_timed else 0.0
        now = self._timer()
        answer = self._decide(self._circuit.admit, now)
        if isinstance(answer, Refusal):
            raise BreakerOpen(_refusal(self.name, answer), name=self.name, retry_after=answer.retry_after)
        return answer, now

    def _returned(self, period: Period, began: float) -> None:
        outcome, now = OK, began
        if self._is_timed or not isinstance(period, CountWindow):
            now = self._timer()
            outcome = self._speed(began, now)
        if outcome == OK and isinstance(period, CountWindow):
            period.record(OK)
        else:
            self._decide(self._circuit.settle, period, outcome, now)

    def _raised(self, period: Period, error: BaseException, began: float = math.inf) -> None:
        now = self._timer()
        is_failure = isinstance(error, self._failures) and not isinstance(error, self._ignored)
        outcome = FAILED | self._speed(began, now) if is_failure else NEUTRAL
        self._decide(self._circuit.settle, period, outcome, now)

    def _speed(self, began: float, now: float) -> int:
        return SLOW if now - began > self._slow_call else OK

    def _decide(self, decision: Callable[..., Any], *arguments: Any) -> Any:
        """Have the circuit decide something under the lock; tell of a change of state when it is let go."""
        with self._lock:
            before = self._circuit.state
            try:
                answer = decision(*arguments)
            finally:  # an interrupt may strike anywhere
                self._follow()
            after = self._circuit.state
        if before != after:
            self._tell(before, after)
        return answer

    def _follow(self) -> None:
        period = self._circuit.period
        self._window = period if isinstance(period, CountWindow | TimeWindow) else None

    def _tell(self, before: State, after: State) -> None:
        log = logger("resilience")
        say = log.warning if after == "open" else log.info
        say("breaker %r: %s, was %s", self.name, after, before)
        try:
            self._changed(before, after)
        except Exception:  # noqa: BLE001 (it is logged; the call itself went as it went)
            logger("resilience").exception("on_change of breaker %r failed", self.name)

    def _changed(self, before: State, after: State) -> None:
        if self._on_change is not None:
            self._on_change(self, before, after)

    def _after_fork_in_child(self) -> None:
        """The lock may have been held, and probes may have been out, by threads that are not here."""
        self._lock = threading.RLock()
        self._circuit.forget_probes()
        self._follow()

    @staticmethod
    def per_key(max_keys: int = 1024, **options: Any) -> KeyedBreakers:
        """Return what hands out one breaker a key, such as a host: ``with by_host("example.org"): ...``.

        Args:
            max_keys: so many breakers are remembered, from 1. Of those that are closed it forgets the ones that are
                used least; one that is not closed is kept beside them, up to as many again. As long as anybody holds a
                breaker its key gives the same one.
            options: what each breaker is made with. ``name`` is the group's, and ``name[key]`` the breakers'.

        Raises TypeError, ValueError, as `CircuitBreaker` does.
        """
        from perfkit.resilience.keyed import KeyedBreakers

        return KeyedBreakers(max_keys, options)


def _refusal(name: str, refusal: Refusal) -> str:
    state = "open" if refusal.state == "open" else "half-open and its probes are out"
    return f"breaker {name!r} is {state}: try again in {refusal.retry_after:.3g} s"
