"""`perfkit.Timer`: how long one piece of work takes, and where in it the time goes."""

from __future__ import annotations

import threading
import time
from collections import namedtuple
from contextvars import ContextVar, Token

from perfkit._base import fork
from perfkit._base.checks import check_hook, check_name, check_timer
from perfkit._base.closures import name_of, refuse_coroutine, wrap
from perfkit.timing.branches import Branch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NamedTuple, Self, TypeVar

    from perfkit.timing.tree import Spent

    F = TypeVar("F", bound=Callable[..., Any])

    class _Lap(NamedTuple):
        name: str
        seconds: float

else:
    _Lap = namedtuple("_Lap", ["name", "seconds"])

__all__ = ["Lap", "Timer"]


class Lap(_Lap):
    """One lap of a `perfkit.Timer`: its name, and the seconds since the lap before or the start."""

    __slots__ = ()


# The innermost timer that runs in this thread or task.
_running: ContextVar[Timer] = ContextVar("perfkit_timer")


_MISSING = Token.MISSING
_DEEPEST = 50  # a recursive function's tree is no deeper


class _Lock:
    """What children that end take to add themselves to their parent: threads may share one."""

    __slots__ = ("__weakref__", "mutex")

    def __init__(self) -> None:
        self.mutex = threading.RLock()  # a finaliser or a signal handler may use a timer, too
        fork.after_in_child(self)

    def _after_fork_in_child(self) -> None:
        self.mutex = threading.RLock()


_lock = _Lock()


class Timer:
    """Measures one piece of work: ``with perfkit.Timer("import") as timer:``, or ``@perfkit.Timer("import")``.

    ``timer.seconds`` is how long it took, or has taken so far while it runs. ``timer.lap("parse")`` ends a lap.
    Timers that run inside it, however deep in the functions it calls, are its children: ``print(timer)`` draws where
    the time went. Those of a name are added up.

    Args:
        name: what it is called in the tree; if not given, the function that it decorates, or "timer".
        report: ``report(timer)`` is called when it has ended, also by an exception, such as ``print``. What it raises,
            passes through.
        timer: the clock, a function that returns seconds and never goes back.

    Guarantees:
        * As a decorator each call, of a sync or async function or method, is measured by a timer of its own, which
          ``report`` gets: without ``report`` it shows in the timers around the call alone.
        * Tasks and threads (``asyncio.to_thread``) that are started inside, and copy the context, are children too.
          They run side by side: together they may take longer than what is around them.
        * It may be used again when it has ended, and starts from nothing then; not while it runs.
        * Of what is right below a timer at most 1000 names are kept, the rest is added up as "(others)"; and it goes 50
          timers deep, so that recursion costs no more.

    One timer is for one thread or task; for many calls from anywhere use `perfkit.timed`, which has percentiles.

    Raises TypeError: an argument is not what is allowed; RuntimeError: it is entered while it runs, or a lap ends while
    it doesn't. Cost: a ``with`` block about 0.8 µs.
    """

    __slots__ = (
        *("__weakref__", "_began", "_depth", "_error", "_lapped", "_laps", "_name"),
        *("_parent", "_report", "_root", "_run", "_seconds", "_timer", "_token"),
    )

    def __init__(
        self,
        name: str | None = None,
        *,
        report: Callable[[Timer], object] | None = None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(_not_a_name(name))
        if timer is not time.perf_counter:
            check_timer(timer)
        if report is not None:
            check_hook(report, "report", "report(timer)")
        self._name = name
        self._report = report
        self._timer = timer
        self._began: float | None = None
        self._seconds = self._lapped = 0.0
        self._run: float | None = None
        self._parent: Timer | None = None
        self._token: Token[Timer] | None = None
        self._laps: list[Lap] | None = None
        self._root: Branch | None = None
        self._error: type[BaseException] | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name or "timer"

    @property
    def is_running(self) -> bool:
        """Whether it has been entered and not left."""
        return self._began is not None

    @property
    def seconds(self) -> float:
        """How long it took; while it runs, how long it has so far; 0.0 before."""
        return self._seconds if self._began is None else self._timer() - self._began

    @property
    def laps(self) -> tuple[Lap, ...]:
        """The laps ended so far, in their order."""
        return tuple(self._laps or ())

    @property
    def error(self) -> type[BaseException] | None:
        """The type of the exception that it was left by, or None."""
        return self._error

    @property
    def children(self) -> tuple[Spent, ...]:
        """What ended inside it, as ``(name, count, seconds, children)``, what took longest first."""
        from perfkit.timing.tree import spent

        with _lock.mutex:
            return spent(self._root.below if self._root else None)

    def lap(self, name: str | None = None) -> float:
        """End a lap; return its seconds, since the lap before or the start. If not given, its name is its number.

        Raises RuntimeError if the timer doesn't run.
        """
        if self._began is None:
            raise RuntimeError(f"{self!r} doesn't run: laps end inside `with timer:`")
        name = check_name(name)
        now = self._timer()
        seconds = now - self._lapped
        self._lapped = now
        laps = self._laps = [] if self._laps is None else self._laps
        laps.append(Lap(name or str(len(laps) + 1), seconds))
        return seconds

    def __str__(self) -> str:
        from perfkit.timing.tree import Spent, drawn

        laps = [Spent(lap.name, 1, lap.seconds, ()) for lap in self.laps]
        note = f"  {self._error.__name__}" if self._error else "  so far" if self.is_running else ""
        return drawn(self.name, self.seconds, [*laps, *self.children], note)

    def __repr__(self) -> str:
        state = "running" if self.is_running else f"{self._seconds:.6g} s"
        return f"<{type(self).__name__} {self.name!r}: {state}>"

    def __enter__(self) -> Self:
        if self._began is not None:
            raise RuntimeError(f"{self!r} runs already: make another Timer for what is inside")
        self._laps = self._root = self._error = None
        token = self._token = _running.set(self)
        parent = token.old_value
        if parent is _MISSING:
            self._parent, self._depth = None, 0
        else:
            self._follow(parent, token)
        self._began = self._lapped = self._timer()  # until here it counts as ended: an interrupt leaves nothing running
        return self

    def _follow(self, parent: Timer | None, token: Token[Timer]) -> None:
        """Be a child of the innermost timer that runs; one that has ended may be what the context has still."""
        while parent is not None and parent._began is None:
            parent = parent._parent
        self._parent = parent
        if parent is None:
            self._depth = 0
            return
        self._run, self._depth = parent._began, parent._depth + 1
        if self._depth > _DEEPEST:  # it is added up there
            _running.reset(token)

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        began, self._began = self._began, None
        if began is None:
            return
        token, self._token = self._token, None  # it would keep the whole context
        try:
            _running.reset(token)  # type: ignore[arg-type]  # it runs, so there is one
        except (ValueError, RuntimeError):  # left in another context, as a fixture is; or one too deep
            pass
        self._error = kind
        self._seconds = self._timer() - began
        if self._parent is not None:
            self._add_to_parent()
        if self._report is not None:
            self._report(self)

    def _add_to_parent(self) -> None:
        child, parent = self, self._parent
        while parent is not None and (parent._began is None or parent._began is not child._run):  # it has ended since
            child, parent = parent, parent._parent
        if parent is not None:
            parent._add(self)

    def _add(self, child: Timer) -> None:
        with _lock.mutex:
            root = self._root = self._root or Branch()
            root.add(child.name, child._seconds, child._root.below if child._root else None)

    def __call__(self, function: F) -> F:
        """Decorate a function: each call is measured by a timer of its own."""
        decorated: F = wrap(function, "Timer", sync=self._sync, asynchronous=self._asynchronous)
        return decorated

    def _for(self, function: Callable[..., Any]) -> Callable[[], Timer]:
        name = self._name or name_of(function)
        return lambda: Timer(name, report=self._report, timer=self._timer)

    def _sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        fresh, is_first = self._for(function), True

        def measured(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_first
            with fresh():
                result = function(*args, **kwargs)
            if is_first:
                refuse_coroutine(result, "Timer")
                is_first = False
            return result

        return measured

    def _asynchronous(self, function: Callable[..., Any]) -> Callable[..., Any]:
        fresh = self._for(function)

        async def measured(*args: Any, **kwargs: Any) -> Any:
            with fresh():
                return await function(*args, **kwargs)

        return measured


def _not_a_name(name: object) -> str:
    if callable(name):
        return f"put @perfkit.Timer() on {name!r}, with the brackets; or @perfkit.timed, for percentiles of many calls"
    return f"name must be a string, not {name!r} ({type(name).__name__})"
