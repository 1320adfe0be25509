"""`Pool`: connections shared by threads (over 400 lines: a third is what it takes and says).

The fast path takes no lock: an idle connection is popped from a deque, and appended to it again. All else is decided by
the core under one lock, and done after that is given up: connecting, closing and checking by background threads,
validating and resetting by the caller.

A thread is in no line twice, and in none while it holds a pool's lock: a finaliser or a signal handler that comes by in
the middle of that would wait for its own thread.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from types import CoroutineType
from typing import Any

from perfkit._base.calling import named
from perfkit._base.exceptions import to_raise
from perfkit._base.maintenance import Alarm
from perfkit._base.workers import Workers
from perfkit.pooling import reports
from perfkit.pooling.base import C, PoolBase
from perfkit.pooling.lease import Lease, Ticket, WatchedLease
from perfkit.pooling.options import wait_of
from perfkit.pooling.pauses import WHILE_WAITED_FOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from perfkit.pooling.entry import Attempt, Entry

    R = TypeVar("R")

__all__ = ["Pool"]


class _Mine(threading.local):
    """What this thread is in the middle of."""

    is_deciding = False  # it holds a pool's lock, or carries out what was decided
    lines: tuple[object, ...] = ()  # the pools in whose lines it stands


_mine = _Mine()
_workers = Workers(1 << 20, "perfkit-pool")  # as many as are connecting or closing at once: one may hang, not all


class Pool(PoolBase[C]):
    """Connections, or whatever else is costly to make and can be used by one at a time, shared by threads.

    ``with pool.connection() as conn:`` lends one. The pool grows as more are needed at once, up to ``max_size``, and
    shrinks to ``min_size`` as they grow idle. It hands over to whoever waits the longest, and of the idle ones lends
    the one last used, so that the others can go.

    Connections are made in background threads, so a call waits for ``timeout`` at most even if ``connect`` hangs. If
    ``connect`` fails, it is tried again, one attempt at a time, after a pause that doubles from ``backoff[0]`` to
    ``backoff[1]``, each shortened by up to a half at random; whoever waits gets the last attempt's error when his time
    is up, or at once where another attempt is of no use: a breaker is open, the error has an attribute ``permanent``
    that is True, or it is a mistake of the program (TypeError, AttributeError, NameError, ImportError and the like; a
    KeyError or IndexError that is no subclass). A note on it says which of these.

    What leaves ``with`` by an exception is looked at before it is lent again: by ``reset``, which closes it by raising,
    and by ``validate``. Where there is neither it is closed, for nothing tells whether it still works; so a pool
    without both gets over a server's restart, at the cost of one error for each connection it had. By one that is no
    Exception (an interrupt, a cancellation, a generator closed in the middle) the connection is closed in any case,
    because an answer may be on its way that the next borrower would read. What `acquire` took is given back by
    `release` if it works, and by `discard` if it may not.

    Args:
        connect: returns a new connection; or a list of such functions, in order of preference: each has a circuit
            breaker, the next is tried when one fails, and when the first works again the others' connections go.
        max_size: how many there are at most, from 1. While one is being closed, a new one may exist beside it.
        min_size: how many are kept from the first use on, from 0. `warm` makes them at once.
        max_waiting: how many callers may wait at once, from 0; others get PoolFull. None: any number.
        timeout: how long a call waits, in seconds from 0; None: for ever.
        max_lifetime: the age in seconds at which one is closed when it comes back, or when it is idle. None: any age.
        lifetime_jitter: up to which share, from 0 to below 1, that is shortened at random for each connection, when it
            is made: those that were made together don't end together.
        max_idle: for how many seconds one beyond ``min_size`` may be idle. None: for ever.
        max_uses: how often one is lent, from 1. None: any number of times.
        validate: called with a connection that is to be lent. It is dead, and replaced without the caller's notice, if
            this raises an Exception or returns something false other than None. In the caller's thread, and beside
            ``timeout``.
        validate_after: for how many seconds after its last use one is lent without being validated, from 0. One that
            was just made is not validated.
        reset: called with a connection that comes back, before another may have it, in the borrower's thread; if it
            raises, the connection is closed.
        close: closes a connection, in a background thread; else its ``close()`` is called, if it has one.
        breaker: a `perfkit.CircuitBreaker` around ``connect``; with a list of functions, a list of as many.
        backoff: the first and the longest pause after failures to connect, in seconds above 0.
        leak_after: seconds after which one that is still lent is logged, with where it was taken; costs about a
            microsecond a lending. None: not watched.
        name: what it is called in messages and ``perfkit.stats()``.
        timer: returns seconds; what ages and pauses are measured by.

    Raises:
        TypeError, ValueError: an argument is none of what it may be.

    Guarantees: thread-safe. A connection is lent to one at a time. None is lost by timeouts, errors or interrupts: one
    that nobody holds any more (the lease was dropped, a generator never finished) is not lent again, for somebody may
    still use it, but its place is freed, with a ResourceWarning. So is a pool reported that is dropped with connections
    before `close`. After a fork the child's pool is empty, and the parent's connections are neither used nor closed
    there. A signal handler or a finaliser may use the pool anywhere; only where it would wait for its own thread it
    gets PoolReentered. Background work runs in the context variables of the pool's maker. Cost: about half a
    microsecond for ``with`` where one is idle (CPython 3.11).

    Sources: direct hand-over is psycopg_pool's; jitter, validation by last use and closing apart from the caller are
    HikariCP's.
    """

    if not TYPE_CHECKING:
        __init__ = named(PoolBase.__init__, "Pool")
        resize = named(PoolBase.resize, "Pool.resize")

    _barging = 100e-6
    _may_await = False

    def _begin(self) -> None:
        super()._begin()
        self._lock = threading.Lock()
        self._watchers: list[SimpleQueue[None]] = []  # whose calls wait for something to be so of the whole pool
        self._alarm = Alarm(self._ring)

    def connection(self, timeout: float | None = None) -> Lease[C]:
        """Lend a connection: ``with pool.connection() as conn:``.

        Args:
            timeout: how long to wait for one, in seconds from 0 (one that is idle, or none); None: as long as the
                pool's own ``timeout`` says; math.inf: for ever.

        Raises (on entering): PoolTimeout if none came free in time; what ``connect`` raised, if that is why;
        PoolFull if ``max_waiting`` others wait; PoolClosed; ValueError for a ``timeout`` below 0.
        """
        if timeout is not None:
            wait_of(timeout, 0.0)  # refuse nonsense, where one is idle too
        return WatchedLease(self, timeout) if self._is_watching else Lease(self, timeout)

    def acquire(self, timeout: float | None = None) -> C:
        """Take a connection, for where no ``with`` can be written; `release` gives it back, `discard` drops it.

        Waits and raises as `connection` does.
        """
        entry = self._take(timeout)
        if self._is_watching:
            self._watch(entry)
        return self._lent.put(entry)  # type: ignore[no-any-return]  # connect() made it

    def warm(self, timeout: float | None = None) -> None:
        """Make connections until there are ``min_size``, and one at least, and wait for them.

        From then on ``min_size`` are kept. Raises what ``connect`` raised, or PoolTimeout, if they aren't there after
        ``timeout`` seconds (None: the pool's own); PoolClosed.
        """
        patience = wait_of(timeout, self._options.timeout)
        if self._decide(self._core.warm, self._timer()):
            return
        if not self._core.min_size:
            self._return_unused(self._take(timeout))
            return
        self._see_to_it()
        self._watch_until(self._is_warm_or_never, patience)
        self._core.check_open()
        if self._core.size < self._core.min_size:
            raise self._decide(self._too_late, patience)

    def close(self, timeout: float = 5.0) -> None:
        """Close the pool: idle connections now, lent ones when they come back. Callers who wait get PoolClosed.

        Waits until all are closed, for ``timeout`` seconds at most; what is lent longer is closed when it comes back.
        May be called again.
        """
        patience = wait_of(timeout, 5.0)
        self._order(self._core.shut, self._timer())
        if _mine.is_deciding:  # who would have to go on for that is this thread
            return
        if sys.is_finalizing():  # nor do other threads go on
            patience = 0.0
        if not self._watch_until(self._is_over, patience):
            core = self._core
            reports.log_left(self.name, patience, core.size, core.being_made, len(core.leaving))

    def __enter__(self) -> Pool[C]:
        self._core.check_open()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def __aenter__(self) -> Pool[C]:
        raise TypeError("a Pool is for threads and would stop the event loop: use `with`, or a perfkit.AsyncPool")

    async def __aexit__(self, *raised: object) -> None: ...

    # -- taking

    def _take(self, timeout: float | None) -> Entry:
        try:
            entry = self._idle.pop()
        except IndexError:
            pass  # and not here, or what is raised while waiting would have this as its context
        else:
            if entry.retired is not None or (not self._is_plain and self._timer() >= entry.trusted_until):
                return self._examined(entry, timeout)
            entry.uses += 1
            return entry
        return self._wait(timeout)

    def _examined(self, entry: Entry, timeout: float | None) -> Entry:
        """Return an entry that was idle if it is fit, or another."""
        if not self._is_fit(entry):
            del entry
            return self._wait(timeout, again=True)
        entry.uses += 1
        return entry

    def _wait(self, timeout: float | None, *, again: bool = False) -> Entry:
        patience = wait_of(timeout, self._options.timeout)
        if _mine.is_deciding or self in _mine.lines:
            raise reports.reentered(self.name) if patience else self._too_late(patience)
        started, since = time.perf_counter(), self._timer()
        while True:
            ticket = Ticket(since)
            entry = self._queue(ticket, patience - (time.perf_counter() - started), patience, again=again)
            if entry is not None and (self._timer() < entry.trusted_until or self._is_fit(entry)):
                break
            again = True
        self._waits.record(time.perf_counter() - started)
        entry.uses += 1
        return entry

    def _queue(self, ticket: Ticket, left: float, patience: float, *, again: bool) -> Entry | None:
        """Wait in line, and return what is handed over, or what is idle; None if another was quicker."""
        before = _mine.lines
        try:
            _mine.lines = (*before, self)
            self._decide(self._core.ask, ticket, self._timer(), again=again)
            self._ring_by(time.monotonic() + WHILE_WAITED_FOR)
            if not ticket.wait(left) and self._decide(self._core.withdraw, ticket) and not ticket.is_told:
                ticket.error = self._decide(self._too_late, patience)
        except BaseException:
            self._decide(self._core.withdraw, ticket)
            if ticket.entry is not None:  # handed over at the last moment
                self._give_back(ticket.entry)
            elif self._waiting:  # told at the last moment; then another has to be
                self._hand_on()
            raise
        finally:
            _mine.lines = before
        if ticket.error is not None:
            raise to_raise(ticket.error)
        if ticket.entry is not None:
            return ticket.entry
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _is_fit(self, entry: Entry) -> bool:
        """Tell whether a connection may be lent; else let go of it."""
        now = self._timer()
        if now >= entry.expires_at:
            self._order(self._core.close, entry, entry.retired or "lifetime", now)
            return False
        try:
            if self._is_alive(entry.conn):
                return True
        except BaseException:  # interrupted in the middle of a question, to which the answer may come yet
            self._drop(entry)
            raise
        self._order(self._core.suspect, entry, self._timer())
        return False

    def _is_alive(self, conn: C) -> bool:
        if self._options.validate is None:
            return True
        try:
            return self._says_alive(self._options.validate(conn))
        except Exception as error:  # noqa: BLE001 (whatever a dead connection raises)
            self._validate_failed(error)
            return False

    def _was_reset(self, entry: Entry, *, is_sound: bool = True) -> bool:  # noqa: ARG002 (of use where reset is awaited)
        try:
            self._options.reset(entry.conn)  # type: ignore[misc]  # the caller has looked
        except Exception as error:  # noqa: BLE001 (the borrower has done his work; the next gets another connection)
            self._reset_failed(error)
            self._drop(entry)
            return False
        except BaseException:
            self._drop(entry)
            raise
        return True

    # -- deciding, and doing what was decided

    def _is_deciding(self) -> bool:
        return _mine.is_deciding

    def _decide(self, decision: Callable[..., R], *args: Any, **more: Any) -> R:
        if _mine.is_deciding:
            raise reports.reentered(self.name)
        try:
            return self._locked(decision, *args, **more)
        finally:
            self._tell_watchers()
            if self._has_come():
                self._settle()

    def _look(self, at: Callable[[], R]) -> R:
        if _mine.is_deciding:
            return at()
        try:
            return self._locked(at)
        finally:
            if self._has_come():
                self._settle()

    def _locked(self, decision: Callable[..., R], *args: Any, **more: Any) -> R:
        """Return ``decision(...)``, made under the lock, and do what is to be done then."""
        before = _mine.is_deciding
        try:
            try:
                _mine.is_deciding = True
                with self._lock:
                    return decision(*args, **more)
            finally:
                if self._core.todo:
                    self._carry_out()
        finally:
            _mine.is_deciding = before

    def _settle(self) -> None:
        """Take in what has come, unless somebody has the lock: he does it when he is done.

        Asked for first, then taken by ``with``, which no interrupt leaves locked. It is never this thread that has it
        then, so it comes free; and of two threads that have two pools' locks, one sees that the other's is taken.
        """
        while self._has_come() and not self._lock.locked():
            lost = self._locked(self._take_in)
            self._tell_watchers()
            if lost:
                reports.warn_of_lost(self.name, lost)

    def _watch_until(self, is_so: Callable[[], bool], patience: float) -> bool:
        """Wait until something is so of the whole pool; False if the time is up."""
        until = time.perf_counter() + patience
        gate: SimpleQueue[None] = SimpleQueue()
        try:
            self._watchers.append(gate)
            while not self._look(is_so):
                left = until - time.perf_counter()
                if left <= 0 or _mine.is_deciding:
                    return False
                with contextlib.suppress(Empty):
                    gate.get(timeout=min(left, threading.TIMEOUT_MAX))
            return True
        finally:
            self._watchers.remove(gate)

    def _tell_watchers(self) -> None:
        for gate in self._watchers.copy():
            gate.put(None)

    def _do(self, work: Callable[[Any], Any], thing: Any) -> None:
        job = partial(self._context.copy().run, partial(work, thing))
        try:
            _workers.submit(job)
        except RuntimeError:  # no thread is to be had, as at the interpreter's end
            job()

    # -- in background threads

    def _make(self, attempt: Attempt) -> None:
        try:
            conn, place = self._sources.connect()
        except BaseException as error:  # noqa: BLE001 (it is those who wait that are to be told)
            self._has_failed(attempt, error)
        else:
            self._order(self._core.connected, attempt, self._entry(conn, place), self._timer())
            reports.log_attempt(self.name, attempt)

    def _return_to_first(self, attempt: Attempt) -> None:
        try:
            conn, place = self._sources.preferred().connect()
        except BaseException as error:  # noqa: BLE001 (the others serve on)
            self._order(self._core.give_up, attempt, self._timer())
            reports.log_failure(self.name, error)
        else:
            self._order(self._core.fall_back, attempt, self._entry(conn, place), self._timer())
            reports.log_attempt(self.name, attempt)

    def _check(self, entry: Entry) -> None:
        if self._is_alive(entry.conn):
            self._trust(entry)
            self._give_back(entry)
        else:
            self._order(self._core.close, entry, "dead", self._timer())

    def _end(self, entry: Entry) -> None:
        if not self._look(partial(self._core.ending, entry)):
            return
        self._lifetimes.record(max(0.0, self._timer() - entry.created))
        conn, core = entry.conn, self._core
        try:
            close = self._closer(conn)
            if close is not None and type(result := close()) is CoroutineType:
                result.close()
                reports.log_close_awaits(self.name)
        except BaseException as error:  # noqa: BLE001 (nobody is there to be told; the connection is out of the pool)
            reports.log_close(self.name, entry, error)
        finally:
            entry.conn = None
            self._order(core.ended, entry)

    # -- upkeep, in a worker, for it writes to the log

    def _ring(self) -> None:
        self._do(Pool._keep_up, self)

    def _ring_in(self, seconds: float) -> bool:
        return self._alarm.set(seconds)
