"""`perfkit.Reclaimer`: something of the user's that can give memory back."""

from __future__ import annotations

import math
import os
import weakref
from types import MethodType

from perfkit._base.calling import check_takes
from perfkit._base.checks import check_name, check_seconds
from perfkit._base.decorating import COROUTINE_FUNCTION, checked_kind
from perfkit.memory.arguments import check_tier

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from perfkit.memory.stats import ReclaimerStats

__all__ = ["Reclaimer", "running_loop"]

_MOST_PATIENT = 6  # doublings of the cooldown, after as many calls in vain


class Reclaimer:
    """A function that a watchdog calls under pressure, as ``fn(need_bytes)``, and how that went.

    Args:
        fn: lets go of about so many bytes, or of what there is. What it frees is measured; if it returns a number, that
            is taken for its own estimate. A plain function is called in a thread of the watchdog. A coroutine function
            is awaited in the event loop that runs where the Reclaimer is made; where none runs, in a new one each time.
            A pass that is made in that loop's own thread leaves it out: it would wait for itself.
        tier: when it is called: 1 with the caches, 2 with the garbage collector, 3 after both.
        cooldown: seconds from one call to the next at least; they double with each call in a row that freed nothing.
            Before a last resort, such as a SIGTERM, one whose last call was of use is called all the same.
        name: what ``stats()`` and the log call it; if not given, the name of ``fn``.

    Give it to `MemoryWatchdog.add`; the decorator `MemoryWatchdog.reclaimer` does both. A bound method is held weakly:
    when its object is gone, so is the reclaimer. Any other function is held.

    Guarantees:
        * It is never called twice at a time, nor again while a call hangs.
        * What it raises is logged on ``perfkit.memory`` and counted, and stops nothing. So is that it can't be called.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.
    """

    def __init__(
        self, fn: Callable[[int], object], *, tier: int = 3, cooldown: float = 5.0, name: str | None = None
    ) -> None:
        self._is_async = checked_kind(fn, "Reclaimer") == COROUTINE_FUNCTION
        check_takes(fn, "a reclaimer", "fn(need_bytes)", 1)
        self._function: Callable[[], Any] = weakref.WeakMethod(fn) if isinstance(fn, MethodType) else lambda: fn
        self._loop = running_loop() if self._is_async else None
        self._pid = os.getpid()
        self.tier = check_tier(tier)
        self.cooldown = check_seconds(cooldown, "cooldown", least="0 or more")
        self.name = check_name(name) or getattr(fn, "__qualname__", None) or repr(fn)
        self.runs = self.errors = self.hung = self.skipped = self.freed_bytes = 0
        self.seconds = 0.0
        self._in_vain = 0  # in a row
        self._next_at = -math.inf

    @property
    def is_gone(self) -> bool:
        """Whether the object whose method it was is gone, or the event loop that it belongs to is closed."""
        return self._function() is None or (self._loop is not None and self._loop.is_closed())

    @property
    def pace(self) -> float:
        """Bytes a second that it freed so far; infinity before the first call, so that all are tried."""
        return self.freed_bytes / max(self.seconds, 1e-6) if self.runs else math.inf

    def is_ready(self, now: float, *, at_last: bool = False) -> bool:
        """Tell whether it may be called at this time; ``at_last`` its cooldown counts only after a call in vain."""
        return not self.is_gone and (now >= self._next_at or (at_last and not self._in_vain))

    def hindrance(self, *, is_here: bool) -> str | None:
        """Return why it can't be called from this thread, or None. ``is_here``: it would be called in this thread."""
        if not self._is_async:
            return None
        if self._loop is None:
            return "an event loop runs in the thread that makes the pass" if is_here and running_loop() else None
        if self._loop is running_loop():
            return "its event loop runs in the thread that makes the pass, and would wait for itself"
        if os.getpid() != self._pid:
            return "its event loop is in the process that this one was forked from"
        return None if self._loop.is_running() else "its event loop does not run"

    def call(self, need: int) -> Any:
        """Call it, wait until it returns, and return what that is."""
        function = self._function()
        if function is None:
            return None
        if not self._is_async:
            return function(need)
        import asyncio

        if self._loop is None:
            return asyncio.run(function(need))
        from perfkit.memory.aio import result_of

        return result_of(function(need), self._loop)

    def note(self, now: float, freed: int, took: float, *, is_worth_it: bool) -> None:
        """Take note of how a call went."""
        self.runs += 1
        self.freed_bytes += max(0, freed)
        self.seconds += took
        self._in_vain = 0 if is_worth_it else self._in_vain + 1
        self._next_at = now + self.cooldown * 2.0 ** min(self._in_vain, _MOST_PATIENT)

    def stats(self, *, is_busy: bool = False) -> ReclaimerStats:
        """Return its figures. Whether a call is under way is known to who makes them."""
        from perfkit.memory.stats import ReclaimerStats

        return ReclaimerStats(
            name=self.name,
            tier=self.tier,
            is_busy=is_busy,
            runs=self.runs,
            freed_bytes=self.freed_bytes,
            seconds=self.seconds,
            errors=self.errors,
            hung=self.hung,
            skipped=self.skipped,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: tier {self.tier}>"


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread."""
    import sys

    if "asyncio" not in sys.modules:  # nobody can run what is not loaded
        return None
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
