"""`perfkit.profiled`: a profile of one call in so many."""

from __future__ import annotations

import itertools
import sys
import threading
import time
import weakref
from functools import partial

from perfkit import registry
from perfkit._base import fork
from perfkit._base.checks import check_count, check_hook, check_name
from perfkit._base.closures import full_name_of, refuse_coroutine, wrap
from perfkit._base.logs import logger
from perfkit._base.overloading import overload
from perfkit.timing.steps import stepped

TYPE_CHECKING = False
if TYPE_CHECKING:
    import cProfile
    from collections.abc import Callable
    from typing import Any, TypeVar

    from perfkit.timing.report import ProfileReport
    from perfkit.timing.stats import ProfilerStats

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["profiled"]


@overload
def profiled(function: F, /) -> F: ...


@overload
def profiled(
    *,
    every: int = 1000,
    report: Callable[[ProfileReport], object] | None = None,
    sort: str = "cumulative",
    top: int = 20,
    name: str | None = None,
) -> Callable[[F], F]: ...


def profiled(
    function: Any = None,
    /,
    *,
    every: int = 1000,
    report: Callable[[ProfileReport], object] | None = None,
    sort: str = "cumulative",
    top: int = 20,
    name: str | None = None,
) -> Any:
    """Profile one call in ``every`` of a function, by cProfile, and report where its time went.

    For sync and async functions and methods, in production: the other calls cost next to nothing. Of a coroutine its
    own steps are profiled: not what other tasks do while it waits, nor the tasks that it starts.

    Args:
        function: what is profiled. Name, signature and types stay.
        every: the first call is profiled, and then one in so many, from 1.
        report: ``report(r)`` is called with a `perfkit.timing.ProfileReport` when a profiled call has ended; what it
            raises is logged. If not given, the table is logged on ``perfkit.timing`` as information.
        sort: what the table is sorted by, as pstats says: "cumulative", "tottime", "calls", ….
        top: so many functions are in the table, from 1.
        name: what ``perfkit.stats()`` calls it; if not given, the function's qualified name, with its module.

    Guarantees: results and exceptions are the function's own. One call is profiled at a time in a process: where one is
    under way, in any thread, or a debugger or another profiler is at work, the call runs without, and is counted as
    skipped; the next one is profiled instead. Thread-safe.

    Raises TypeError, ValueError: an argument is not what is allowed; TypeError for generator functions and classes; and
    when it is called, for a plain function whose first result is a coroutine.

    Cost: about 0.2 µs a call that isn't profiled. One that is takes some 2 times as long as without, much more where it
    calls many small functions; so read shares from a profile, and times from `timed`.
    """
    if isinstance(function, str | int):
        raise TypeError(f"options are given by name, as in @profiled(every=1000), not {function!r}")
    check_hook(report, "report", "report(profile_report)")
    check_name(name)
    make = partial(_Profiler, check_count(every, "every"), report, _checked_sort(sort), check_count(top, "top"), name)

    def decorate(fn: Any) -> Any:
        return make().put_on(fn)

    return decorate if function is None else decorate(function)


class _Slot:
    """The one profile that may be under way in a process: cProfile can do no more.

    It is held weakly, so that a call that an interrupt ends anywhere leaves it free.
    """

    __slots__ = ("__weakref__", "_holder", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holder: weakref.ref[object] | None = None
        fork.after_in_child(self)

    def take(self, profile: object) -> bool:
        with self._lock:
            if self._holder is not None and self._holder() is not None:
                return False
            self._holder = weakref.ref(profile)
            return True

    def give_back(self, profile: object) -> None:
        with self._lock:
            if self._holder is not None and self._holder() is profile:
                self._holder = None

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
        self._holder = None


_slot = _Slot()


class _Recording:
    """A profile that records what runs in ``with``, in this thread."""

    __slots__ = ("_is_on", "_profile")

    def __init__(self, profile: cProfile.Profile) -> None:
        self._profile = profile
        self._is_on = False

    def __enter__(self) -> None:
        if _is_observed():
            return
        try:
            self._profile.enable()
            self._is_on = True
        except ValueError:  # since 3.12: another tool has taken the interpreter's one place for profilers meanwhile
            return

    def __exit__(self, *_: object) -> None:
        if self._is_on:
            self._is_on = False
            self._profile.disable()


class _Profiler:
    """What is decided for one decorated function: which of its calls are profiled."""

    __slots__ = (
        "__weakref__",
        "_calls",
        "_due",
        "_every",
        "_name",
        "_number",
        "_profiled",
        "_report",
        "_skipped",
        "_sort",
        "_top",
    )

    def __init__(
        self, every: int, report: Callable[[ProfileReport], object] | None, sort: str, top: int, name: str | None
    ) -> None:
        self._every = every
        self._report = report or self._log
        self._sort = sort
        self._top = top
        self._name = name
        self._calls = itertools.count(1)  # an atomic step, with and without the GIL
        self._number = 0
        self._due = 1
        self._profiled = self._skipped = 0
        registry.register(self, part="timing")

    @property
    def name(self) -> str:
        return self._name or "profiled"

    def stats(self) -> ProfilerStats:
        from perfkit.timing.stats import ProfilerStats

        return ProfilerStats(self.name, self._number, self._profiled, self._skipped)

    def put_on(self, function: F) -> F:
        self._name = self._name or full_name_of(function)
        decorated: F = wrap(function, "profiled", sync=self._sync, asynchronous=self._asynchronous)
        return decorated

    def _sync(self, function: Callable[..., Any]) -> Callable[..., Any]:
        calls, is_first = self._calls, True

        def profiled(*args: Any, **kwargs: Any) -> Any:
            nonlocal is_first
            number = self._number = next(calls)
            profile = self._profile(number) if number >= self._due else None
            if profile is None:
                return function(*args, **kwargs)
            began, threads, failed = time.perf_counter(), threading.active_count(), True
            try:
                with _Recording(profile):
                    result = function(*args, **kwargs)
                failed = False
            finally:
                self._end(profile, time.perf_counter() - began, threads, failed=failed)
            if is_first:
                refuse_coroutine(result, "profiled")
                is_first = False
            return result

        return profiled

    def _asynchronous(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def profiled(*args: Any, **kwargs: Any) -> Any:
            number = self._number = next(self._calls)
            profile = self._profile(number) if number >= self._due else None
            if profile is None:
                return await function(*args, **kwargs)

            async def work() -> Any:  # a coroutine, whatever can be awaited the function returns
                return await function(*args, **kwargs)

            began, threads, failed = time.perf_counter(), threading.active_count(), True
            try:
                result = await stepped(work(), lambda: _Recording(profile))
                failed = False
            finally:
                self._end(profile, time.perf_counter() - began, threads, failed=failed)
            return result

        return profiled

    def _profile(self, number: int) -> cProfile.Profile | None:
        """Return what to record a call in, or None if that can't be now."""
        from cProfile import Profile

        if _is_observed() or not _slot.take(profile := Profile()):
            self._skipped += 1
            return None
        if number < self._due:  # another call was faster
            _slot.give_back(profile)
            return None
        self._due = number + self._every
        return profile

    def _end(self, profile: cProfile.Profile, seconds: float, threads: int, *, failed: bool) -> None:
        import pstats

        from perfkit.timing.report import ProfileReport

        _slot.give_back(profile)
        self._profiled += 1
        is_mixed = sys.version_info >= (3, 12) and max(threads, threading.active_count()) > 1
        try:
            stats = pstats.Stats(profile)
            self._report(ProfileReport(self.name, seconds, failed, is_mixed, stats, self._sort, self._top))
        except Exception:  # noqa: BLE001 (it is logged; the call itself went as it went)
            logger("timing").exception("report of profiled %r failed", self.name)

    def _log(self, report: ProfileReport) -> None:
        logger("timing").info("%s", report)


def _is_observed() -> bool:
    """Tell whether a debugger or a profiler is at work: a trace or profile function, or a tool that has its place."""
    if sys.getprofile() is not None or sys.gettrace() is not None:
        return True
    monitoring = getattr(sys, "monitoring", None)  # since 3.12
    return monitoring is not None and any(map(monitoring.get_tool, (monitoring.DEBUGGER_ID, monitoring.PROFILER_ID)))


def _checked_sort(sort: str) -> str:
    """Return what pstats can sort by."""
    from pstats import Stats

    allowed = sorted(Stats().get_sort_arg_defs())
    if sort not in allowed:
        raise ValueError(f"sort must be one of {', '.join(allowed)}, not {sort!r}")
    return sort
