"""`AsyncPool`: connections shared by the tasks of an event loop (over 400 lines: a third is what it takes and says).

One thread runs all of it, so nothing is locked. What takes time (connecting, resetting, checking, closing) is done by
tasks that the pool owns: no caller's cancellation stops it half-way, and giving back is a plain function.
"""

from __future__ import annotations

import asyncio
import math
import weakref
from contextlib import suppress
from inspect import isawaitable
from threading import get_ident
from time import monotonic
from typing import Any, cast

from perfkit._base.calling import named
from perfkit.pooling import reports
from perfkit.pooling.aio_lease import AsyncLease, Ticket
from perfkit.pooling.base import C, PoolBase
from perfkit.pooling.entry import Entry
from perfkit.pooling.errors import PoolLoopError
from perfkit.pooling.options import wait_of
from perfkit.pooling.pauses import WHILE_WAITED_FOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from typing import TypeVar

    from perfkit.pooling.entry import Attempt
    from perfkit.resilience import CircuitBreaker

    R = TypeVar("R")

__all__ = ["AsyncPool"]


class AsyncPool(PoolBase[C]):
    """Connections, or whatever else is costly to make and can be used by one at a time, shared by tasks.

    ``async with pool.connection() as conn:`` lends one. It is `Pool` for asyncio, with the same arguments, guarantees
    and errors, and with these differences:

    - ``connect``, ``validate``, ``reset`` and ``close`` may be coroutine functions (or ordinary ones that don't block).
      What isn't given to ``close`` is closed by its ``aclose()`` or ``close()``.
    - `connection`, `acquire`, `warm` and `aclose` are awaited. `release` and `discard` are plain functions: they can't
      be cancelled. Resetting, checking and closing is done by tasks that the pool owns.
    - Cancelled at any await, no connection is lost or lent twice. One that was in use is closed, because an answer may
      be on its way that the next borrower would read.
    - It belongs to the event loop it is first used in; used in another it raises PoolLoopError. It is not for threads.

    Args:
        connect: as for `Pool`; and so are all the others.

    Raises:
        TypeError, ValueError: an argument is none of what it may be.

    Cost: about half a microsecond for ``async with`` where one is idle (CPython 3.11).
    """

    if not TYPE_CHECKING:
        __init__ = named(
            PoolBase.__init__,
            "AsyncPool",
            connect="Callable[[], Awaitable[C]] | Sequence[Callable[[], Awaitable[C]]]",
        )
        resize = named(PoolBase.resize, "AsyncPool.resize")
    else:

        def __init__(
            self,
            connect: Callable[[], Awaitable[C]] | Sequence[Callable[[], Awaitable[C]]],
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
            timer: Callable[[], float] = monotonic,
        ) -> None: ...

    _may_await = True
    _barging = 0.0  # nobody has to be woken here: what is handed over is used in the loop's next turn

    def _begin(self) -> None:
        super()._begin()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = -1  # that it runs in
        self._is_inside = False  # a decision
        self._tasks: set[asyncio.Task[None]] = set()
        self._watchers: list[asyncio.Future[None]] = []
        self._timer_handle: asyncio.TimerHandle | None = None

    def connection(self, timeout: float | None = None) -> AsyncLease[C]:
        """Lend a connection: ``async with pool.connection() as conn:``.

        Args:
            timeout: how long to wait for one, in seconds from 0 (one that is idle, or none); None: as long as the
                pool's own ``timeout`` says; math.inf: for ever.

        Raises (on entering): PoolTimeout if none came free in time; what ``connect`` raised, if that is why;
        PoolFull if ``max_waiting`` others wait; PoolClosed; PoolLoopError; ValueError for a ``timeout`` below 0.
        """
        if timeout is not None:
            wait_of(timeout, 0.0)  # refuse nonsense, where one is idle too
        return AsyncLease(self, timeout)

    async def acquire(self, timeout: float | None = None) -> C:
        """Take a connection, for where no ``async with`` can be written; `release` gives it back, `discard` drops it.

        Waits and raises as `connection` does.
        """
        entry = self._taken() or await self._take(timeout)
        if self._is_watching:
            self._watch(entry)
        return self._lent.put(entry)  # type: ignore[no-any-return]  # connect() made it

    async def warm(self, timeout: float | None = None) -> None:
        """Make connections until there are ``min_size``, and one at least, and wait for them.

        From then on ``min_size`` are kept. Raises what ``connect`` raised, or PoolTimeout, if they aren't there after
        ``timeout`` seconds (None: the pool's own); PoolClosed.
        """
        patience = wait_of(timeout, self._options.timeout)
        self._bind()
        if self._decide(self._core.warm, self._timer()):
            return
        if not self._core.min_size:
            self._return_unused(await self._take(timeout))
            return
        self._see_to_it()
        await self._watch_until(self._is_warm_or_never, patience)
        self._core.check_open()
        if self._core.size < self._core.min_size:
            raise self._too_late(patience)

    async def aclose(self, timeout: float = 5.0) -> None:
        """Close the pool: idle connections now, lent ones when they come back. Callers who wait get PoolClosed.

        Waits until all are closed, for ``timeout`` seconds at most; what is lent longer is closed when it comes back.
        May be called again. Once the pool's event loop is closed, its connections can't be: they are given up.
        """
        patience = wait_of(timeout, 5.0)
        if self._loop is not None and self._loop.is_closed():
            self._waiting.clear()  # by futures of that loop
            self._thread = get_ident()
            self._decide(self._core.shut, self._timer())
            return
        self._bind()
        self._order(self._core.shut, self._timer())
        if not await self._watch_until(self._is_over, patience):
            core = self._core
            reports.log_left(self.name, patience, core.size, core.being_made, len(core.leaving))
        if self._timer_handle is not None:
            self._timer_handle.cancel()

    async def __aenter__(self) -> AsyncPool[C]:
        self._core.check_open()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.aclose()

    def __enter__(self) -> AsyncPool[C]:
        raise TypeError("an AsyncPool is for tasks: use `async with`, or a perfkit.Pool")

    def __exit__(self, *raised: object) -> None: ...

    # -- taking

    def _taken(self) -> Entry | None:
        """Return an entry if one is idle and may be lent as it is."""
        # asyncio.get_running_loop() asks the system for the process each time, which takes a tenth of a microsecond.
        # A thread runs one loop at a time: if it is the pool's thread, and its loop runs, that is the one it runs.
        if get_ident() != self._thread or not self._loop.is_running():  # type: ignore[union-attr]  # both are set
            self._bind()
        if not self._idle:
            return None
        entry = self._idle.pop()
        if entry.retired is not None or (not self._is_plain and self._timer() >= entry.trusted_until):
            self._idle.append(entry)
            return None
        entry.uses += 1
        return entry

    async def _take(self, timeout: float | None) -> Entry:
        """Return an idle entry that is fit, or wait for one."""
        patience = self._options.timeout if timeout is None else wait_of(timeout, 0.0)
        began, again = monotonic(), False
        while True:
            entry = self._idle.pop() if self._idle else await self._queue(began, patience, again=again)
            if (self._is_plain and entry.retired is None) or await self._is_fit(entry):
                break
            again = True
        self._waits.record(monotonic() - began)
        entry.uses += 1
        return entry

    async def _queue(self, began: float, patience: float, *, again: bool) -> Entry:
        """Wait in line, and return what is handed over."""
        ticket = Ticket(loop=self._loop)
        ticket.patience, ticket.deadline = patience, began + patience
        if again or not self._core.line_up(ticket):
            self._bind()
            self._decide(self._core.ask, ticket, self._timer(), again=again)
        look_at = began + (min(WHILE_WAITED_FOR, patience))
        if look_at < self._rings_at:
            self._ring_by(look_at)
        if not patience:
            self._time_out()
        try:
            return await ticket
        except BaseException:
            self._core.withdraw(ticket)
            if ticket.done() and not ticket.cancelled() and ticket.exception() is None:
                self._give_back(ticket.result())  # handed over at the last moment
            self._bind()  # for this may be what a task says of another loop's future
            raise

    async def _is_fit(self, entry: Entry) -> bool:
        """Tell whether a connection may be lent; else let go of it."""
        now = self._timer()
        if now < entry.trusted_until:
            return True
        if now >= entry.expires_at:
            self._decide(self._core.close, entry, entry.retired or "lifetime", now)
            return False
        try:
            if await self._is_alive(entry.conn):
                return True
        except BaseException:  # cancelled in the middle of a question, to which the answer may come yet
            self._drop(entry)
            raise
        self._decide(self._core.suspect, entry, self._timer())
        return False

    async def _is_alive(self, conn: C) -> bool:
        if self._options.validate is None:
            return True
        try:
            answer = self._options.validate(conn)
            return self._says_alive(await answer if isawaitable(answer) else answer)
        except Exception as error:  # noqa: BLE001 (whatever a dead connection raises)
            self._validate_failed(error)
            return False

    def _was_reset(self, entry: Entry, *, is_sound: bool = True) -> bool:
        try:
            result = self._options.reset(entry.conn)  # type: ignore[misc]  # the caller has looked
        except Exception as error:  # noqa: BLE001 (the borrower has done his work; the next gets another connection)
            self._reset_failed(error)
            self._drop(entry)
            return False
        if not isawaitable(result):
            return True
        self._do(self._after_reset(result, self._trust if is_sound else self._distrust), entry)
        return False

    # -- deciding, and doing what was decided

    def _bind(self) -> None:
        """Belong to the running loop, or raise PoolLoopError if it is another's."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._thread = loop, get_ident()
        elif self._loop is not loop:
            raise PoolLoopError(
                f"{self.name!r} belongs to the event loop it was first used in, and this is another: make a pool in"
                " each loop, and close it with aclose() before its loop ends",
                pool=self.name,
            )

    def _is_deciding(self) -> bool:
        return self._is_inside

    def _decide(self, decision: Callable[..., R], *args: Any, **more: Any) -> R:
        before, self._is_inside = self._is_inside, True
        try:
            return decision(*args, **more)
        finally:
            self._is_inside = before
            if self._core.todo or self._watchers or self._has_come():
                self._follow_up()

    def _look(self, at: Callable[[], R]) -> R:
        return at() if self._is_inside or get_ident() != self._thread else self._decide(at)

    def _follow_up(self) -> None:
        """Do what was decided, and take in what came back meanwhile."""
        self._carry_out()
        if self._watchers:
            self._tell_watchers()
        self._settle()

    def reclaim(self, need_bytes: int) -> int:
        """Close idle connections beyond ``min_size``, on the pool's loop; see `Pool.reclaim`. Safe from any thread."""
        if get_ident() == self._thread:
            return super().reclaim(need_bytes)
        with suppress(RuntimeError, AttributeError):  # its loop is closed, or it has none yet: nothing is idle
            self._loop.call_soon_threadsafe(super().reclaim, need_bytes)  # type: ignore[union-attr]  # see above
        return 0

    def _settle(self) -> None:
        """Take in what has come back, unless a finaliser brings it in the midst of a decision, or in another thread."""
        if get_ident() != self._thread:
            with suppress(RuntimeError, AttributeError):  # closed, or none yet: nobody waits
                self._loop.call_soon_threadsafe(self._settle)  # type: ignore[union-attr]  # see above
            return
        while self._has_come() and not self._is_inside:
            lost: list[Entry] = self._decide(self._take_in)
            if lost:
                reports.warn_of_lost(self.name, lost)

    def _give_back(self, entry: Entry) -> None:
        if self._is_inside or entry.is_over or get_ident() != self._thread:
            super()._give_back(entry)
        elif entry.retired is None and entry.uses < self._options.max_uses:
            self._core.hand_over(entry)
        else:
            self._decide(self._core.give_back, entry, self._timer())

    async def _watch_until(self, is_so: Callable[[], bool], patience: float) -> bool:
        """Wait until something is so of the whole pool; False if the time is up."""
        until = monotonic() + patience
        while not is_so():
            future: asyncio.Future[None] = asyncio.Future()
            self._watchers.append(future)
            left = None if until == math.inf else until - monotonic()
            done, _ = await asyncio.wait((future,), timeout=left)
            if not done:
                return False
        return True

    def _tell_watchers(self) -> None:
        watchers, self._watchers = self._watchers, []
        for future in watchers:
            if not future.done():
                future.set_result(None)

    def _do(self, work: Callable[[Any], Coroutine[Any, Any, None]], thing: Any) -> None:
        if self._loop is None or self._loop.is_closed():  # nothing can be awaited any more
            if isinstance(thing, Entry):
                self._core.ended(thing)
            return
        # by run() and not by context=, which not every task factory takes
        task = self._context.copy().run(self._loop.create_task, work(thing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- in tasks of the pool's own

    async def _make(self, attempt: Attempt) -> None:
        try:
            conn, place = await self._sources.aconnect()
        except asyncio.CancelledError:  # of this task, as all are when the loop ends: nobody begins another at once
            error = RuntimeError(f"{self.name!r}: the task that was connecting has been cancelled")
            self._decide(self._core.failed, attempt, error, self._timer())
            self._see_to_it()  # for where the loop goes on
            raise
        except BaseException as error:  # noqa: BLE001 (it is those who wait that are to be told)
            self._has_failed(attempt, error)
        else:
            self._decide(self._core.connected, attempt, self._entry(conn, place), self._timer())
            reports.log_attempt(self.name, attempt)

    async def _return_to_first(self, attempt: Attempt) -> None:
        try:
            conn, place = await self._sources.preferred().aconnect()
        except asyncio.CancelledError:
            self._decide(self._core.give_up, attempt, self._timer())
            raise
        except BaseException as error:  # noqa: BLE001 (the others serve on)
            self._decide(self._core.give_up, attempt, self._timer())
            reports.log_failure(self.name, error)
        else:
            self._decide(self._core.fall_back, attempt, self._entry(conn, place), self._timer())
            reports.log_attempt(self.name, attempt)

    async def _check(self, entry: Entry) -> None:
        if await self._is_alive(entry.conn):
            self._trust(entry)
            self._give_back(entry)
        else:
            self._decide(self._core.close, entry, "dead", self._timer())

    def _after_reset(
        self, resetting: Awaitable[Any], judge: Callable[[Entry], None]
    ) -> Callable[[Entry], Coroutine[Any, Any, None]]:
        async def give_back(entry: Entry) -> None:
            try:
                await resetting
            except Exception as error:  # noqa: BLE001 (the borrower has done his work; the next gets another connection)
                self._reset_failed(error)
                self._drop(entry)
            else:
                judge(entry)
                self._give_back(entry)

        return give_back

    async def _end(self, entry: Entry) -> None:
        core, conn = self._core, entry.conn
        if not core.ending(entry):
            return
        self._lifetimes.record(max(0.0, self._timer() - entry.created))
        try:
            close = self._closer(conn)
            result = None if close is None else close()
            if isawaitable(result):
                await result
        except Exception as error:  # noqa: BLE001 (nobody is there to be told; the connection is out of the pool)
            reports.log_close(self.name, entry, error)
        finally:
            entry.conn = None
            self._order(core.ended, entry)

    # -- upkeep, by one timer of the loop

    def _ring_in(self, seconds: float) -> bool:
        if self._timer_handle is not None:
            self._timer_handle.cancel()
        if self._loop is None or self._loop.is_closed():
            return False
        self._timer_handle = self._loop.call_later(seconds, _ring, weakref.ref(self))
        return True

    def _keep_up(self) -> None:
        self._rings_at = math.inf
        self._time_out()
        super()._keep_up()

    def _time_out(self) -> None:
        """Tell those whose time is up, and see to it that the others are told in time."""
        now, deadlines = monotonic(), []
        for ticket in cast("list[Ticket]", list(self._waiting)):
            if ticket.deadline <= now:
                del self._waiting[ticket]
                ticket.fail(self._too_late(ticket.patience))
            else:
                deadlines.append(ticket.deadline)
        if deadlines:
            self._ring_by(min(deadlines))


def _ring(pool: weakref.ref[AsyncPool[Any]]) -> None:
    alive = pool()
    if alive is not None:
        alive._keep_up()
