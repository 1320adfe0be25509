"""`perfkit.MemoryWatchdog`: a thread that looks at usage in time, and has it brought down."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
import time
import warnings
import weakref
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TypeVar

from perfkit import registry
from perfkit._base import fork
from perfkit._base.calling import check_takes
from perfkit._base.checks import check_hook, check_name
from perfkit._base.decorating import COROUTINE_FUNCTION, kind_of
from perfkit._base.logs import logger
from perfkit.memory import pace
from perfkit.memory.arguments import check_flag, check_limit, check_shares, size_of
from perfkit.memory.guard import admission
from perfkit.memory.hands import Hands
from perfkit.memory.levels import Escalation, Levels
from perfkit.memory.reclaimer import Reclaimer
from perfkit.memory.relief import Relief, haste
from perfkit.memory.trend import Trend
from perfkit.memory.watching import call_hook, tell_all, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from perfkit.memory.exposing import Exposed
    from perfkit.memory.levels import Level, Measure
    from perfkit.memory.sidecar import Sidecar
    from perfkit.memory.stats import LevelChange, MemoryStats
    from perfkit.memory.trend import Forecast
    from perfkit.memory.usage import MemoryUsage

__all__ = ["MemoryWatchdog"]

F = TypeVar("F")
T = TypeVar("T")

GRACE = 5.0  # seconds that each of the last resorts has to work
_MOST_UNTOLD = 100  # changes that wait for a hook to return
_numbers = itertools.count(1)


class MemoryWatchdog:
    """Keeps a program below the memory there is: gives memory back in time, the cheapest way first.

    When usage reaches ``high``, or grows so fast that it will at once, a pass is made, which stops as soon as usage is
    under ``low``. Its tiers: 0 has the C library give back what it keeps free, where that is much. 1 has every live
    cache of perfkit shrink by what is needed, and every pool close idle connections; nobody registers them. 2 collects
    garbage, a twentieth of the time at most. 3 calls the reclaimers of yours, and ``release_memory()`` of what is
    tracked. 4 is `memory_guard`, which lets no more work begin. 5 is for programs that ask for it: see ``restart`` and
    ``sidecar``.

    Args:
        limit: bytes, such as ``"800MB"``, for this process alone. The limits of the machine and of the container count
            in any case (`memory_limit`), and alone if there is none here.
        high, low, critical: fractions of each limit, with 0 < low < high < critical <= 1.
        on_level: ``on_level(change)``, told of each change between "ok", "high" and "critical", a
            `perfkit.memory.LevelChange`. Called in a thread of the watchdog, one after the other; of those that wait
            for a call to return, the last hundred are told.
        restart: ``restart(watchdog)``, called when usage is critical and a pass has changed nothing: the place to take
            no more requests, and to end. If it still is so 5 seconds later the process gets a SIGTERM.
        sidecar: also start a small process that kills this one where nothing else works: 5 seconds after the SIGTERM;
            or if usage is critical and the watchdog itself doesn't get to run, for C code keeps the interpreter's lock.
        expose: answer to ``perfkit memory --pid``, on a Unix socket for the same user alone.
        name: what ``perfkit.stats()`` and the log call it.
        timer: the clock, a function that returns seconds and never goes back.

    Start it with ``start()``, ``with`` or ``async with``, and early: at the limit no thread can be started any more.

    Guarantees:
        * It looks so often that until the next look no more than what is left to the next mark can be taken at 2 GB/s,
          and half of that at the fastest growth seen of late; within 10 ms and 1 s.
        * One pass is made at a time in a process. After one that changed nothing the next is put off, up to a minute,
          unless usage has grown. Whatever is called and takes longer than a second isn't waited for, and if several in
          a pass do, each is waited for half as long as the one before.
        * What a reclaimer or a hook raises is logged on ``perfkit.memory`` and stops nothing.
        * No exception is put into another thread, and no module is unloaded.
        * A watchdog that nobody refers to stops, with a ResourceWarning: keep it. In a forked child it is stopped:
          start it there, too.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Cost: a thread that looks once a second at most times, and three that wait. What it can't do is told in the
    documentation: a single large allocation is over before anybody looks, so put a `memory_guard` before it.
    """

    def __init__(
        self,
        limit: int | str | None = None,
        *,
        high: float = 0.80,
        low: float = 0.70,
        critical: float = 0.95,
        on_level: Callable[[LevelChange], object] | None = None,
        restart: Callable[[MemoryWatchdog], object] | None = None,
        sidecar: bool = False,
        expose: bool = False,
        name: str | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        check_shares(low, high, critical)
        check_hook(on_level, "on_level", "on_level(change)")
        check_hook(restart, "restart", "restart(watchdog)")
        self.name = check_name(name) or f"memory-{next(_numbers)}"
        self._limit = None if limit is None else check_limit(limit)
        self._shares = low, high, critical
        self._on_level, self._restart = on_level, restart
        self._has_sidecar, self._is_exposed = check_flag(sidecar, "sidecar"), check_flag(expose, "expose")
        self._timer = timer
        self._relief = Relief(self._limit, (low, high), timer, self.name)
        self._polls = self._peak = 0
        self._mutex = threading.RLock()  # re-entrant: a finaliser may stop it
        self._begin()
        fork.after_in_child(self)
        registry.register(self, part="memory")

    def _begin(self) -> None:
        """Know nothing of usage yet; for a new watchdog and for a forked child's."""
        low, high, critical = self._shares
        self._levels = Levels(high, low, critical)
        self._rate, self._trend = pace.Rate(), Trend()
        measures: list[Measure] = ["restart"] if self._restart else []
        measures += ["terminate"] if self._restart or self._has_sidecar else []
        measures += ["kill"] if self._has_sidecar else []
        self._escalation = Escalation(measures, GRACE)
        self._stopping: threading.Lock | None = None
        self._hooks: Hands | None = None
        self._resort: Hands | None = None  # apart: a hook that hangs keeps no restart waiting
        self._changes: deque[LevelChange] = deque(maxlen=_MOST_UNTOLD)
        self._sidecar: Sidecar | None = None
        self._exposed: Exposed | None = None

    # -- for users

    def start(self) -> None:
        """Watch from now on; nothing happens if it does already.

        It returns None. Keep the watchdog itself: one that nobody refers to stops, with a ResourceWarning.

        Raises OSError if a sidecar or a socket was asked for and can't be had.
        """
        with self._mutex:
            if self._stopping is not None:
                return
            try:
                self._start()
            except BaseException:
                self.stop()
                raise

    def _start(self) -> None:
        self._stopping = stopping = threading.Lock()
        stopping.acquire()
        if self._has_sidecar:
            from perfkit.memory.sidecar import Sidecar

            self._sidecar = Sidecar(self._limit, self._shares[2])
        if self._is_exposed:
            from perfkit.memory.exposing import Exposed

            self._exposed = Exposed(self)
        from perfkit.memory import stats as stats  # not when memory is short

        self._relief.prepare()
        self._hooks = Hands(1)
        self._resort = Hands(1) if self._restart else None
        self._relief.hands = Hands(2)  # one, and a spare that is there before it is needed
        self._note_usage()  # so that the level is right at once
        arguments = weakref.ref(self), stopping
        threading.Thread(target=watch, args=arguments, name="perfkit-memory", daemon=True).start()
        admission.watch(self._relief)

    def stop(self) -> None:
        """Watch no more. A pass under way goes on to its end."""
        with self._mutex:
            admission.unwatch(self._relief)
            stopping, self._stopping = self._stopping, None
            if stopping is not None:
                stopping.release()
            self._changes.clear()
            for hands in (self._hooks, self._resort, self._relief.hands):
                if hands is not None:
                    hands.stop()
            self._hooks = self._resort = self._relief.hands = None
            haste.end(self)
            sidecar, self._sidecar = self._sidecar, None
            exposed, self._exposed = self._exposed, None
        if sidecar is not None:
            sidecar.stop()
        if exposed is not None:
            exposed.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def reclaimer(
        self, fn: None = None, /, *, tier: int = 3, cooldown: float = 5.0, name: str | None = None
    ) -> Callable[[F], F]:
        """Return a decorator: the function is called under pressure, as ``fn(need_bytes)``; see `perfkit.Reclaimer`.

        It is used with brackets: ``@dog.reclaimer()``.
        """
        if fn is not None:
            raise TypeError(f"@dog.reclaimer needs brackets: write @dog.reclaimer() above {fn!r}")

        def add(fn: F) -> F:
            self.add(Reclaimer(fn, tier=tier, cooldown=cooldown, name=name))  # type: ignore[arg-type]  # it checks
            return fn

        return add

    def add(self, reclaimer: Reclaimer) -> None:
        """Have a reclaimer called under pressure."""
        if not isinstance(reclaimer, Reclaimer):
            raise TypeError(f"add() takes a perfkit.Reclaimer, not {reclaimer!r}: write add(perfkit.Reclaimer(fn))")
        self._relief.reclaimers[reclaimer] = None

    def remove(self, reclaimer: Reclaimer) -> None:
        """Don't have it called any more; nothing happens if it isn't."""
        self._relief.reclaimers.pop(reclaimer, None)

    def track(self, thing: T) -> T:
        """Have ``thing.release_memory()`` called under pressure, for as long as it lives; return ``thing``.

        It is held weakly, and costs nothing when it is gone. The method takes no argument, and is called in a thread of
        the watchdog, after the reclaimers. Raises TypeError if it has none, or can't be referred to weakly.
        """
        release = getattr(thing, "release_memory", None)
        if not callable(release) or isinstance(thing, type):
            raise TypeError(f"track() takes an object with a method release_memory(), not {thing!r}")
        if kind_of(release) == COROUTINE_FUNCTION:
            raise TypeError(f"release_memory() must be a plain method: nobody awaits that of {thing!r}")
        check_takes(release, "release_memory", "release_memory()", 0)
        self._relief.track(thing)
        return thing

    def relieve(self, need_bytes: int | str = 0) -> int:
        """Make a pass here and now: until usage is under the low mark, and by ``need_bytes`` less than it was.

        Returns the bytes that usage fell by; 0 if it was low enough, or another pass is under way.
        """
        need = 0 if need_bytes == 0 else size_of(need_bytes, "need_bytes")
        return self._relief.free(need) if need else self._relief.bring_down()

    @property
    def level(self) -> Level:
        """Whether usage was "ok", "high" or "critical" at the last look; "ok" before the first, which start() takes."""
        return self._levels.level

    @property
    def is_running(self) -> bool:
        """Whether it watches."""
        return self._stopping is not None

    def usage(self) -> MemoryUsage:
        """Return what is in use now, by the limit that is the closest to being reached."""
        return self._relief.gauge.read(is_exact=True)

    def forecast(self) -> Forecast | None:
        """Return when the limit will be reached if usage goes on as in the last minute, a `perfkit.memory.Forecast`.

        None for the first seconds, and for as long after a pass that has changed usage.
        """
        usage = self._relief.gauge.read()
        return self._trend.forecast(self._timer(), usage.used, usage.limit)

    def stats(self) -> MemoryStats:
        """Return its figures. Cost: some 50 µs."""
        from perfkit.memory.reports import stats_of

        return stats_of(self, self._relief, polls=self._polls, peak=self._peak)

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:  # this module's names may be gone
        if getattr(self, "_stopping", None) is None:
            return
        with suppress(Exception):  # the interpreter may be ending
            self.stop()
        if not is_ending():
            said = f"the watchdog {self.name!r} is stopped, for nobody refers to it: keep it, and stop() it at the end"
            logger("memory").warning("%s", said)
            warnings.warn(said, ResourceWarning, source=self, stacklevel=2)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.level if self.is_running else 'stopped'}>"

    # -- for the thread

    def _look(self) -> float:
        """Measure, do what is to be done, and return the seconds until the next look."""
        usage, now = self._note_usage(), self._timer()
        relief = self._relief
        if self._is_high(usage) and relief.is_worth_it():
            relief.bring_down()
            if not relief.was_vain:  # or a leak that nothing helps against would never be foretold
                self._trend.clear()
            usage, now = self._note_usage(), self._timer()
        if not self.is_running:  # stopped during the pass: nobody wants more of it
            return 0.0
        self._last_resort(now)
        relief.gauge.look_for_bounds()
        marks = [mark for mark in (relief.high, self._shares[2], 1.0) if mark > usage.fraction]
        headroom = (marks[0] - usage.fraction) * usage.limit if marks else 0
        if self._rate.value * pace.SOON > headroom:
            haste.begin(self)
        else:
            haste.end(self)
        until_next = relief.next_at() - now if usage.fraction >= relief.high else pace.LONGEST
        return pace.interval(headroom, self._rate.value, at_most=until_next if until_next > 0 else pace.LONGEST)

    def _note_usage(self) -> MemoryUsage:
        usage, now = self._relief.gauge.read(), self._timer()
        self._relief.note(usage)
        self._polls += 1
        self._peak = max(self._peak, usage.used)
        self._rate.update(now, usage.used)
        self._trend.add(now, usage.used)
        mark = self._relief.high
        before = self._levels.update(max(usage.fraction, mark) if self._is_high(usage) else usage.fraction)
        if before is not None:
            self._tell(before, usage)
        sidecar = self._sidecar  # read once: another thread may stop it
        if sidecar is not None and usage.fraction >= self._relief.high:
            sidecar.beat()
        return usage

    def _is_high(self, usage: MemoryUsage) -> bool:
        """Tell whether usage is high, or will be before the next look can be taken."""
        return usage.used + self._rate.value * pace.AT_ONCE >= self._relief.high * usage.limit

    def _tell(self, before: Level, usage: MemoryUsage) -> None:
        hook, hooks = self._on_level, self._hooks
        if hook is None or hooks is None:
            return
        from perfkit.memory.stats import LevelChange

        self._changes.append(LevelChange(self.level, before, usage))
        if not hooks.is_behind:  # who hasn't begun will see this one, too
            hooks.post(partial(tell_all, hook, self._changes, self.name))

    def _last_resort(self, now: float) -> None:
        """Do what was asked for where nothing helps: tier 5."""
        is_hopeless = self._is_hopeless()
        if is_hopeless and self._relief.has_spared and self._escalation.is_asked_for:
            self._relief.bring_down(at_last=True)
            self._note_usage()
            is_hopeless = self._is_hopeless() and not self._relief.has_spared
        measure = self._escalation.update(now, is_hopeless=is_hopeless)
        if measure is None or not self.is_running:
            return
        logger("memory").error("%s: nothing helps; the last resort is %s", self.name, measure)
        resort, sidecar = self._resort, self._sidecar
        if measure == "restart" and resort is not None:
            resort.post(partial(call_hook, self._restart, self, f"{self.name}: restart"))
        elif measure == "terminate":
            os.kill(os.getpid(), signal.SIGTERM)
        elif measure == "kill" and sidecar is not None:
            sidecar.kill()

    def _is_hopeless(self) -> bool:
        """Tell whether usage is critical, and nothing is left that might change it."""
        relief = self._relief
        return self.level == "critical" and relief.was_vain and not relief.is_stuck and not relief.is_waiting(GRACE)

    def _after_fork_in_child(self) -> None:
        """Threads, the sidecar and the socket are the parent's."""
        self._mutex = threading.RLock()
        for inherited in (self._sidecar, self._exposed):
            if inherited is not None:
                with suppress(OSError):
                    inherited.forget()
        self._relief.hands = None
        self._begin()
