"""`perfkit.memory_guard` and `perfkit.amemory_guard`: work begins when there is memory for it, or not at all."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TypeVar

from perfkit._base import fork
from perfkit._base.clock import Deadline
from perfkit._base.decorating import COROUTINE_FUNCTION, checked_kind, decorate
from perfkit._base.sizes import format_size
from perfkit.memory.arguments import check_timeout, size_of
from perfkit.memory.errors import MemoryPressure
from perfkit.memory.reclaimer import running_loop
from perfkit.memory.relief import Relief

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

__all__ = ["admission", "amemory_guard", "memory_guard"]

F = TypeVar("F")

_DEFAULT_SHARES = 0.70, 0.80  # of a watchdog that was told nothing else
_LOOK_EVERY = 0.01  # seconds, while somebody waits: others may leave, and usage may fall by itself


class _Place:
    """What a guard holds while somebody is inside. When it is gone, so is what was reserved."""

    __slots__ = ("__weakref__", "reservation")
    reservation: _Reservation


class _Reservation(weakref.ref[_Place]):
    """So many bytes, for as long as a place is held."""

    __slots__ = ("need",)
    need: int


class _Admission:
    """What guards have admitted in this process, and the watchdogs that are asked.

    A reservation is made by one step and given back by one step, both of them C's: an interrupt, a finaliser, a fork
    finds it made or not made. Where a guard is kept from giving it back, it goes with its place.
    """

    def __init__(self) -> None:
        self.watching: tuple[Relief, ...] = ()
        self._alone: Relief | None = None
        self._mutex = threading.RLock()  # re-entrant: a finaliser may be guarded
        self._reservations: set[_Reservation] = set()
        self.refused = 0
        fork.after_in_child(self)

    @property
    def reserved(self) -> int:
        """The bytes that were admitted, and whose work is not over."""
        still = self._reservations.copy()  # not tuple(): while that grows the collector may run, and a finaliser leave
        return sum([reservation.need for reservation in still])

    @property
    def asked(self) -> tuple[Relief, ...]:
        """Whose limits count: those of the watchdogs that run, or the machine's and the container's alone."""
        if self.watching:
            return self.watching
        if self._alone is None:
            self._alone = Relief(None, _DEFAULT_SHARES, time.monotonic, "memory_guard")
        self._alone.gauge.look_for_bounds()
        return (self._alone,)

    def watch(self, relief: Relief) -> None:
        """Ask a watchdog from now on."""
        with self._mutex:
            self.watching = (*self.watching, relief)

    def unwatch(self, relief: Relief) -> None:
        """Don't ask it any more."""
        with self._mutex:
            self.watching = tuple(other for other in self.watching if other is not relief)

    def admit(self, need: int, place: _Place) -> bool:
        """Reserve so many bytes for a place if every limit leaves room for them."""
        place.reservation = reservation = _Reservation(place, self._reservations.discard)
        reservation.need = need
        with self._mutex:
            self._reservations.add(reservation)  # first: whoever is let in meanwhile, as by a finaliser, counts it
            try:
                for relief in self.asked:
                    if relief.over(self.reserved) > 0:
                        self._reservations.discard(reservation)
                        return False
            except BaseException:
                self._reservations.discard(reservation)
                raise
            return True

    def leave(self, place: _Place) -> None:
        """Give back what was reserved for a place."""
        self._reservations.discard(place.reservation)

    def relieve(self, need: int) -> None:
        """Have what can be given back given back, where that is worth a try."""
        for relief in self.asked:
            wanted = need + self.reserved
            if relief.over(wanted) > 0 and relief.is_worth_it():
                relief.bring_down(wanted)

    def never(self, need: int) -> bool:
        """Tell whether it could not even be had if nothing else were in use."""
        return any(need > relief.gauge.room(relief.high) for relief in self.asked)

    def refusal(self, need: int, why: str) -> MemoryPressure:
        """Return the error for who isn't admitted."""
        self.refused += 1
        fullest = max(self.asked, key=lambda relief: relief.over(need))
        usage = fullest.gauge.read()
        text = (
            f"{format_size(need)} are not to be had{why}: {format_size(usage.used)} are in use"
            f"{f' and {format_size(self.reserved)} reserved' if self.reserved else ''}, and work is let begin up to"
            f" {fullest.high:.0%} of {format_size(usage.limit)} ({usage.source})"
        )
        return MemoryPressure(
            text, need=need, used=usage.used, reserved=self.reserved, limit=usage.limit, source=usage.source
        )

    def _after_fork_in_child(self) -> None:
        """Watchdogs stay with the parent, and so does the work that was admitted."""
        self.watching = ()
        self._mutex = threading.RLock()
        self._reservations.clear()


admission = _Admission()


class _Guard:
    """What both guards have in common."""

    __slots__ = ("_need", "_places", "_timeout")

    def __init__(self, need: int | str, timeout: float | None = 0.0) -> None:
        self._need = size_of(need, "need")
        self._timeout = check_timeout(timeout)
        self._places: list[_Place] = []  # of all who are inside: they need the same, so none is anybody's own

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}({self._need}, timeout={self._timeout})"

    def _is_let_in(self) -> bool:
        place = _Place()
        try:
            if not admission.admit(self._need, place):
                return False
            self._places.append(place)
        except BaseException:  # an interrupt, once it was admitted: at once, and not when the traceback is gone
            if hasattr(place, "reservation"):
                admission.leave(place)
            raise
        return True

    def _leave(self) -> None:
        admission.leave(self._places.pop())

    def _refuse_what_never_fits(self) -> None:
        if admission.never(self._need):
            raise admission.refusal(self._need, ", whoever waits")

    def _refusal(self) -> MemoryPressure:
        return admission.refusal(self._need, f" within {self._timeout:g} s" if self._timeout else "")

    def _around(self, function: F) -> F:
        need, timeout = self._need, self._timeout

        def guarded(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
            with memory_guard(need, timeout=timeout):
                return wrapped(*args, **kwargs)

        async def aguarded(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
            async with amemory_guard(need, timeout=timeout):
                return await wrapped(*args, **kwargs)

        return decorate(function, sync=guarded, asynchronous=aguarded, what=type(self).__name__)


class memory_guard(_Guard):  # noqa: N801 (used like a function, as contextlib's managers are)
    """A block, or a function, that is begun only if there is memory for it.

    Args:
        need: the bytes that the work will take at its most, such as ``"64MB"``.
        timeout: seconds to wait for them; 0, if you don't say: refuse at once. None: wait for as long as it takes.

    It is admitted if what is in use, what other guards have reserved and ``need`` together are within the high mark of
    every watchdog that runs; where none does, of 80 % of `memory_limit`. If they are not, what can be given back is
    given back here and now, and if that isn't enough it waits.

    Guarantees:
        * What it was admitted for is reserved until the block is left, however much of it has been allocated by then.
          So what is allocated counts twice meanwhile, in use and reserved: with a limit of 1 GB two blocks of 300 MB
          each may not be let in together, once the first has allocated its own. Others may be refused too early, and
          nobody is let in who doesn't fit.
        * It is given back whatever ends the block, and in a forked child nothing is reserved.
        * A need that is above the mark by itself is refused at once.
        * Thread-safe; one guard may be entered any number of times, and by many. It uses no thread of its own.

    Raises MemoryPressure (a MemoryError) if it is not admitted; TypeError, ValueError for wrong arguments; RuntimeError
    if it might wait where an event loop runs in this thread: that is for `amemory_guard`.

    As a decorator it works for functions and methods, and for coroutine functions as `amemory_guard` does.
    Cost: some microseconds.
    """

    __slots__ = ()

    def __enter__(self) -> Self:
        if self._timeout != 0 and running_loop() is not None:
            raise RuntimeError(
                "memory_guard(timeout=...) would hold up the event loop that runs in this thread: write `async with"
                " perfkit.amemory_guard(...)`, or leave timeout out"
            )
        if self._is_let_in():
            return self
        self._refuse_what_never_fits()
        deadline = Deadline(self._timeout)
        while True:
            admission.relieve(self._need)
            if self._is_let_in():
                return self
            if deadline.is_over():
                raise self._refusal()
            left = deadline.remaining()
            time.sleep(_LOOK_EVERY if left is None else min(left, _LOOK_EVERY))

    def __exit__(self, *_: object) -> None:
        self._leave()

    def __call__(self, function: F) -> F:
        """Guard a function."""
        return self._around(function)


class amemory_guard(_Guard):  # noqa: N801 (used like a function, as contextlib's managers are)
    """The same for asyncio: ``async with perfkit.amemory_guard("64MB", timeout=5):``. See `memory_guard`.

    While it waits the loop goes on; what is given back is given back in a thread beside it. One that is cancelled while
    it waits has reserved nothing. As a decorator it is for coroutine functions.
    """

    __slots__ = ()

    async def __aenter__(self) -> Self:
        if self._is_let_in():
            return self
        self._refuse_what_never_fits()
        from perfkit.memory.aio import pause, relieve

        deadline = Deadline(self._timeout)
        while True:
            await relieve(admission, self._need)
            if self._is_let_in():
                return self
            if deadline.is_over():
                raise self._refusal()
            await pause(_LOOK_EVERY)

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def __call__(self, function: F) -> F:
        """Guard a coroutine function."""
        if checked_kind(function, "amemory_guard") != COROUTINE_FUNCTION:
            raise TypeError("@amemory_guard is for coroutine functions: put @memory_guard on a plain one")
        return self._around(function)
