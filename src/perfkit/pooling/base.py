"""What `Pool` and `AsyncPool` have in common: all that needs no waiting (over 400 lines: a third says what they are).

A finaliser or a signal handler may run anywhere, even in a thread that holds the pool's lock. So giving back takes no
lock and awaits nothing: an entry goes back to the idle ones, or into ``_returned``, from where whoever has the pool in
hand takes it in. So do orders that return nothing, by ``_orders``. Who only looks needs no lock in the thread that has
it. What is left is waiting, which is refused there.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections import deque
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, TypeVar

from perfkit import registry
from perfkit._base import fork
from perfkit._base.histogram import LatencyRecorder
from perfkit.pooling import reports
from perfkit.pooling.core import Core
from perfkit.pooling.entry import Entry
from perfkit.pooling.errors import NotLent
from perfkit.pooling.lent import Lent
from perfkit.pooling.options import Options, check_sizes, refuse_coroutine_functions
from perfkit.pooling.pauses import pause_of
from perfkit.pooling.sources import is_mistake, sources_of, why_final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfkit.pooling.entry import Attempt
    from perfkit.pooling.stats import PoolStats
    from perfkit.resilience import CircuitBreaker

    R = TypeVar("R")

__all__ = ["C", "PoolBase"]

C = TypeVar("C")

# Seconds for which one that was just made is trusted at least: whoever waited for it gets it. Or a validate() that
# never says yes would have one after the other made and closed, as fast as that goes.
_FRESH = 1.0

Held = list[tuple[Entry, Any]]  # entries, and their connections, which their borrowers alone may hold

# What a fork has copied from the parent. Never freed: a finaliser would close the parent's connection under it.
_parked: list[Held] = []


class PoolBase(Generic[C]):
    """A pool but for connecting, waiting and closing, which its subclasses do in threads or in tasks."""

    _barging: float  # see `Core._hand`
    _may_await: bool

    def __init__(
        self,
        connect: Callable[[], C] | Sequence[Callable[[], C]],
        *,
        max_size: int = 10,
        min_size: int = 0,
        max_waiting: int | None = None,
        timeout: float | None = 30.0,
        max_lifetime: float | None = 3600.0,
        lifetime_jitter: float = 0.1,
        max_idle: float | None = 600.0,
        max_uses: int | None = None,
        validate: Callable[[C], object] | None = None,
        validate_after: float = 0.5,
        reset: Callable[[C], object] | None = None,
        close: Callable[[C], object] | None = None,
        breaker: CircuitBreaker | Sequence[CircuitBreaker] | None = None,
        backoff: tuple[float, float] = (0.1, 30.0),
        leak_after: float | None = None,
        name: str | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = Options(
            max_size=max_size,
            min_size=min_size,
            max_waiting=max_waiting,
            timeout=timeout,
            max_lifetime=max_lifetime,
            lifetime_jitter=lifetime_jitter,
            max_idle=max_idle,
            max_uses=max_uses,
            validate=validate,
            validate_after=validate_after,
            reset=reset,
            close=close,
            backoff=backoff,
            leak_after=leak_after,
            timer=timer,
        )
        if not self._may_await:
            refuse_coroutine_functions(connect, validate=validate, reset=reset, close=close)
        self.name = reports.name_of(name, connect)
        self._sources = sources_of(connect, breaker, self.name)
        self._timer = timer
        self._is_watching = leak_after is not None
        self._is_plain = validate is None and reset is None and max_uses is None and not self._is_watching
        self._lent = Lent()
        self._gone = self._lent.gone
        self._context = copy_context()
        self._waits, self._lifetimes = LatencyRecorder(), LatencyRecorder()
        self._timeouts = 0
        self._mistaken: set[str] = set()  # which of the program's functions have seemed to be wrong
        self._begin()
        fork.around(self)
        registry.register(self, part="pooling")

    def _begin(self) -> None:
        """Have no connections; for a new pool and for a forked child's."""
        self._core = Core.made_of(self._options, self.name, barging=self._barging, random=random.random)
        self._idle = self._core.idle
        self._waiting = self._core.waiting
        self._lost = self._core.lost
        self._returned: deque[Entry] = deque()
        self._orders: deque[Callable[[], object]] = deque()  # what is to be decided as soon as that is possible
        self._rings_at = math.inf  # when `_keep_up` will be called, by time.monotonic
        self._held: Held = []  # while somebody forks

    def release(self, conn: C) -> None:
        """Give back a connection that `acquire` took. Never blocks, but for a thread's ``reset``.

        It is taken for one that works: what has failed in your hands is for `discard`.

        Raises NotLent for one that isn't lent: released twice, not this pool's, or lent by ``with``, which gives back
        by itself.
        """
        entry = self._lent.pop(id(conn), None) or self._lent.back_from_the_gone(conn)
        if entry is None:
            raise NotLent(reports.not_lent(self.name, conn, self._entries()), pool=self.name)
        entry.conn = conn
        self._give(entry)

    def discard(self, conn: C) -> None:
        """Have a connection that is lent closed instead of lent again; one lent by ``with``, when that ends.

        For one that may not work any more, as after an exception: `release` asks nothing.

        Raises NotLent for one that isn't lent.
        """
        entry = self._lent.pop(id(conn), None) or self._lent.back_from_the_gone(conn)
        if entry is not None:
            entry.conn = conn
            self._drop(entry)
            return
        entries, idle = self._entries(), self._idle.copy()
        for entry in entries:
            if conn is not None and entry.conn is conn and entry not in idle:
                entry.retire("discarded")
                return
        raise NotLent(reports.not_lent(self.name, conn, entries), pool=self.name)

    def drain(self) -> None:
        """Replace every connection: the idle ones now, those that are lent when they come back.

        For when a password was rotated, a server restarted, a name points elsewhere. Returns at once.
        """
        self._order(self._core.drain, self._timer())

    def resize(self, *, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the limits; None leaves one as it is. What is too much is closed, idle ones first.

        Raises TypeError or ValueError as the constructor does; the pool stays as it was.
        """
        least = self._core.min_size if min_size is None else min_size
        most = self._core.max_size if max_size is None else max_size
        check_sizes(least, most)
        self._options.min_size, self._options.max_size = least, most
        self._order(self._core.resize, least, most, self._timer())
        if self._core.is_used:
            self._see_to_it()

    def reclaim(self, need_bytes: int) -> int:  # noqa: ARG002 (what a connection holds is not known)
        """Close idle connections beyond ``min_size``, for the memory watchdog. Returns 0: who knows how much it was?"""
        self._decide(self._core.close_idle, self._timer())
        return 0

    def stats(self) -> PoolStats:
        """Return the pool's figures, a `perfkit.pooling.PoolStats`. Cost: some 100 µs."""
        return self._look(self._stats)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError(f"{self!r} can't be copied or pickled: hand it to threads as it is; make one in each process")

    def __repr__(self) -> str:
        return self._shown_as(type(self).__name__, self.name)

    def _shown_as(self, kind: str, name: str) -> str:
        core = self._core
        state = " closed" if core.is_closed else ""
        return f"<{kind} {name!r}{state} size={core.size}/{core.max_size} idle={len(core.idle)}>"

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:  # this module's names may be gone
        for entry in getattr(self, "_idle", ()):  # nobody is left who would take it for lost
            entry.is_over = True
        core = getattr(self, "_core", None)
        if core is not None and core.size and not core.is_closed and not is_ending():
            reports.warn_of_unclosed(self, "aclose" if self._may_await else "close")

    def _disown(self) -> None:
        """Lend nothing any more, and leave the connections to the caller, who knows them and closes them himself."""
        self._core.is_closed = True

    # -- what a driver has

    def _decide(self, decision: Callable[..., R], *args: Any, **more: Any) -> R:
        """Return ``decision(...)``, made while nobody else decides; do what it asks for.

        Raises PoolReentered in code that runs in the middle of a decision.
        """
        raise NotImplementedError

    def _is_deciding(self) -> bool:
        """Tell whether this runs in the middle of a decision: in a finaliser, or a signal handler."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Take in what has come back, if that is possible now."""
        raise NotImplementedError

    def _was_reset(self, entry: Entry, *, is_sound: bool = True) -> bool:
        """Reset a connection that came back; False if it isn't to be given back now.

        ``is_sound``: it is trusted then, if it is given back later.
        """
        raise NotImplementedError

    def _do(self, work: Callable[[Any], Any], thing: Any) -> None:
        """Have ``work(thing)`` done in the background."""
        raise NotImplementedError

    def _make(self, thing: Any) -> Any:
        """Connect; in the background."""
        raise NotImplementedError

    def _check(self, thing: Any) -> Any:
        """Validate what was idle for long; in the background."""
        raise NotImplementedError

    def _end(self, thing: Any) -> Any:
        """Close what has left the pool; in the background."""
        raise NotImplementedError

    def _return_to_first(self, thing: Any) -> Any:
        """Try the preferred factory; in the background."""
        raise NotImplementedError

    def _ring_in(self, seconds: float) -> bool:
        """Have `_keep_up` called in so many seconds, and not when that was to be before; False if nobody can."""
        raise NotImplementedError

    # -- deciding

    def _look(self, at: Callable[[], R]) -> R:
        """Return ``at()``, which changes nothing. In the middle of a decision, too."""
        raise NotImplementedError

    def _order(self, decision: Callable[..., object], *args: Any) -> None:
        """Have something decided; if this runs in the middle of a decision, when that is over."""
        if not self._is_deciding():
            self._decide(decision, *args)
            return
        self._orders.append(partial(decision, *args))
        self._settle()

    def _has_come(self) -> bool:
        """Tell whether anything is to be taken in."""
        return bool(self._returned or self._orders or self._lost or self._gone)

    def _take_in(self) -> list[Entry]:
        """Have the core take what has come back and was ordered; return what was lost. While nobody else decides."""
        while self._orders:
            self._orders.popleft()()
        now = self._timer()
        while self._returned:
            self._core.give_back(self._returned.popleft(), now)
        self._gone.clear()  # which ends those that are not lent any more
        return self._core.find_lost(now)

    def _carry_out(self) -> None:
        """Do what was decided. What an interrupt keeps from being begun is left for whoever comes next."""
        todo = self._core.todo
        self._begin_each(todo.connects, self._make)
        self._begin_each(todo.checks, self._check)
        self._begin_each(todo.closing, self._end)

    def _begin_each(self, things: deque[Any], work: Callable[[Any], Any]) -> None:
        while things:
            try:
                thing = things.popleft()
            except IndexError:  # another thread is at it, too
                return
            try:
                self._do(work, thing)
            except BaseException:
                things.append(thing)
                raise

    # -- giving back

    def _give(self, entry: Entry) -> None:
        if not self._is_plain:
            if not self._is_ready(entry):
                return
        elif self._waiting:
            self._give_back(entry)
            return
        self._idle.append(entry)
        if self._waiting or entry.retired is not None:
            self._hand_on()

    def _is_ready(self, entry: Entry) -> bool:
        """Tell whether a connection that came back may be idle now; else something else is done with it."""
        entry.taken_at = None
        if self._options.reset is not None and not entry.is_over and not self._was_reset(entry):
            return False
        self._trust(entry)
        # Looked at after `trusted_until` is set: `Entry.retire` sets the two the other way round, so that an entry that
        # is retired meanwhile is caught either here or when it is taken.
        if entry.retired is None and entry.uses < self._options.max_uses and not self._waiting:
            return True
        self._give_back(entry)
        return False

    def _trust(self, entry: Entry) -> None:
        """Have a connection lent without being validated for a while."""
        if self._options.validate is not None:
            entry.trusted_until = min(entry.expires_at, self._timer() + self._options.validate_after)

    def _give_after(self, entry: Entry, kind: type[BaseException]) -> None:
        """Take back what an exception has ended the use of, unless nothing can tell whether it still works."""
        options = self._options
        if not issubclass(kind, Exception) or (options.validate is None and options.reset is None):
            self._drop(entry)
        elif options.reset is None or entry.is_over or self._was_reset(entry, is_sound=False):
            self._distrust(entry)
            self._give_back(entry)

    def _distrust(self, entry: Entry) -> None:
        """Have a connection validated before it is lent."""
        if self._options.validate is not None:
            entry.trusted_until = -math.inf

    def _drop(self, entry: Entry) -> None:
        entry.retire("discarded")
        self._give_back(entry)

    def _hand_on(self) -> None:
        """Give what is idle to who has begun to wait meanwhile, or have it closed."""
        try:
            entry = self._idle.pop()
        except IndexError:  # somebody has taken it
            return
        self._give_back(entry)

    def _return_unused(self, entry: Entry) -> None:
        entry.uses -= 1
        self._give_back(entry)

    def _give_back(self, entry: Entry) -> None:
        if entry.is_over:  # a parent's, in a forked child
            return
        self._returned.append(entry)
        self._settle()

    def _says_alive(self, answer: object) -> bool:
        """Tell what an answer of ``validate`` means."""
        is_alive = answer is None or bool(answer)
        if not is_alive:
            reports.log_dead(self.name, f"validate() returned {answer!r}")
        return is_alive

    def _validate_failed(self, error: Exception) -> None:
        """Say that a connection is taken for dead; aloud, and once, if the program seems to be at fault."""
        if is_mistake(error) and "validate" not in self._mistaken:
            self._mistaken.add("validate")
            reports.log_mistake(self.name, "validate", error)
        else:
            reports.log_dead(self.name, error)

    def _reset_failed(self, error: Exception) -> None:
        """Say that a connection is closed; with more words, and once, if the program seems to be at fault."""
        if not is_mistake(error):
            reports.log_reset(self.name, error)
        elif "reset" not in self._mistaken:
            self._mistaken.add("reset")
            reports.log_mistake(self.name, "reset", error)

    # -- for the drivers

    def _entry(self, conn: Any, place: int) -> Entry:
        options = self._options
        lifetime = options.max_lifetime * (1 - options.lifetime_jitter * random.random())  # noqa: S311 (spreads)
        entry = Entry(conn, self._timer(), lifetime, lost=self._core.lost, source=place)
        if options.validate is not None:
            entry.trusted_until = min(entry.expires_at, entry.created + max(options.validate_after, _FRESH))
        return entry

    def _closer(self, conn: Any) -> Callable[[], Any] | None:
        """Return what closes a connection, if anything does.

        What its class has goes first: some that look names up by themselves have something by any name. A proxy has it
        from what it stands for.
        """
        if self._options.close is not None:
            return partial(self._options.close, conn)
        names = ("aclose", "close") if self._may_await else ("close",)
        for where in (type(conn), conn):
            for name in names:
                if getattr(where, name, None) is not None:
                    return getattr(conn, name)  # type: ignore[no-any-return]  # a method of theirs
        return None

    def _entries(self) -> list[Entry]:
        return self._look(lambda: self._core.entries)

    def _stats(self) -> PoolStats:
        from perfkit.pooling.stats import stats_of

        return stats_of(
            self._core, timeouts=self._timeouts, waits=self._waits.histogram(), lifetimes=self._lifetimes.histogram()
        )

    def _too_late(self, patience: float) -> Exception:
        """Return the error of a caller whose time is up. While nobody else decides."""
        self._timeouts += 1
        stops_loop = not self._may_await and reports.runs_loop()
        return reports.timeout_error(self._core, patience, is_watching=self._is_watching, stops_loop=stops_loop)

    def _has_failed(self, attempt: Attempt, raised: BaseException) -> None:
        """Take note that connect() has failed, and tell those who wait if no waiting will mend it.

        Said last: whatever becomes of that, the attempt has ended.
        """
        error, is_final = reports.kept(self.name, raised), why_final(raised) is not None
        self._order(partial(self._core.failed, is_final=is_final), attempt, error, self._timer())
        self._see_to_it()
        reports.log_failure(self.name, raised)

    def _watch(self, entry: Entry) -> None:
        entry.taken_at, entry.taken_by = self._timer(), reports.where()

    def _keep_up(self) -> None:
        """Do what time asks for, and see when it will next."""
        self._rings_at = math.inf
        self._order(self._core.tick, self._timer())
        if self._is_watching:
            self._look_for_leaks()
        if len(self._sources) > 1:
            self._look_for_preferred()
        if self._needs_upkeep():
            self._see_to_it()

    def _see_to_it(self) -> None:
        """See to it that `_keep_up` is called when the next thing known is due."""
        pause = self._look(lambda: pause_of(self._core, self._timer(), self._options.leak_after))
        self._ring_by(time.monotonic() + pause)

    def _ring_by(self, when: float) -> None:
        """See to it that `_keep_up` is called by then."""
        if when >= self._rings_at:
            return
        self._rings_at, is_set = when, False
        try:
            is_set = self._ring_in(when - time.monotonic())
        finally:
            if not is_set:  # an interrupt, or no thread for it; whoever comes next has it rung
                self._rings_at = math.inf

    def _look_for_leaks(self) -> None:
        now = self._timer()
        for entry in self._entries():
            since = entry.taken_at
            if since is not None and now - since >= self._options.leak_after:
                entry.taken_at = None  # told once
                reports.log_leak(self.name, now - since, entry.taken_by)

    def _look_for_preferred(self) -> None:
        """Try the first of several factories again, while connections of others serve."""
        if not any(entry.source and entry.retired is None for entry in self._entries()):
            return
        attempt = self._decide(self._core.probe)  # its breaker says when
        if attempt is not None:
            self._do(self._return_to_first, attempt)

    def _needs_upkeep(self) -> bool:
        core = self._core
        if core.is_closed:
            return bool(core.leaving)
        return bool(core.size or core.being_made or core.waiting or core.min_size or core.leaving)

    def _is_warm_or_never(self) -> bool:
        core = self._core
        is_hopeless = core.error is not None and core.is_final and not core.connecting  # or that is an earlier error
        return core.is_closed or core.size >= core.min_size or is_hopeless

    def _is_over(self) -> bool:
        return not (self._core.size or self._core.being_made or self._core.leaving)

    def _known(self) -> Held:
        core = self._core
        lost = [thing for thing in self._lost.copy() if isinstance(thing, Entry)]
        entries = [*core.entries, *core.leaving.copy().values(), *lost]
        return [(entry, entry.known()) for entry in entries]

    def _before_fork(self) -> None:
        """Hold all connections, or the child would let go of those in other threads' locals before it is told."""
        self._held = self._known()

    def _after_fork_in_parent(self) -> None:
        self._held = []

    def _after_fork_in_child(self) -> None:
        core, held = self._core, self._held + self._known()
        _parked.append(held)
        for entry, _ in held:
            entry.is_over = entry.is_ending = True
            entry.retire("forked")
        for attempt in core.todo.connects:
            attempt.is_over = True
        self._begin()
        self._core.is_closed = core.is_closed
