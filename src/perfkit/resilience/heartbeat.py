"""`perfkit.Heartbeat`: `Beats` with a clock, made by workers or by tasks."""

from __future__ import annotations

import itertools
import sys
import threading
import time
import warnings
from functools import partial

from perfkit import registry
from perfkit._base import fork
from perfkit._base.closures import check_not_called, name_of
from perfkit._base.decorating import COROUTINE_FUNCTION, checked_kind, kind_of
from perfkit._base.exceptions import described
from perfkit._base.histogram import Histogram
from perfkit._base.logs import logger
from perfkit.resilience import limits
from perfkit.resilience.beats import Beats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from perfkit.resilience.beats import Event
    from perfkit.resilience.pulse import Pulse
    from perfkit.resilience.stats import HeartbeatStats

__all__ = ["Heartbeat"]

_numbers = itertools.count(1)


class Heartbeat:
    """Calls ``beat`` regularly, and says when a peer is lost and when it is back.

    A miss is a ``beat()`` that raises, returns False, or is not back within ``timeout``; one that hangs is another miss
    each ``every``. After ``misses`` of them in a row the peer is lost; the next beat that is good brings it back. The
    first beat is made at once, and there is never more than one under way.

    A plain ``beat`` is called in a worker thread. A coroutine function is awaited in a task of the loop that
    ``start()`` was called in, and cancelled at its timeout.

    Args:
        beat: called as ``beat()``; a function or a coroutine function, such as one that pings the peer.
        every: seconds from one beat to the next, above 0.
        timeout: seconds that a beat may take, above 0. A thread can't be stopped: a plain beat that hangs goes on
            hanging, so give it a timeout of its own too.
        misses: so many misses in a row mean that the peer is lost, from 1.
        on_lost: ``on_lost(heartbeat)``, called where the beats are made (worker or task, where it may be a coroutine
            function). What it raises is logged on ``perfkit.resilience`` and is in ``last_hook_error``; it stops
            nothing.
        on_back: ``on_back(heartbeat)``, in the same way.
        name: what ``perfkit.stats()`` and the log call it; if not given, the name of ``beat``.
        timer: the clock, a function that returns seconds and never goes back.

    Start it with ``start()``, ``with`` or ``async with``.

    Guarantees:
        * A beat that hangs holds up no other heartbeat, and neither does a hook.
        * A beat that was counted as a miss and succeeds late brings nothing back: the next one has to be good.
        * The hooks of one heartbeat are called one after the other, lost and back in turns. A change that is undone
          while a hook runs is not told of; ``stats()`` counts it.
        * A heartbeat that nobody refers to stops, with a ResourceWarning if it was running. One whose event loop has
          ended stops too; it can be started again.
        * In a forked child it is stopped; start it there if the child wants one.
        * Beats and hooks run with the context variables of whoever started it. Thread-safe.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Cost: one maintenance thread for all, and a thread for each plain beat that is under way. Source: Hayashibara and
    others, "The phi accrual failure detector" (SRDS 2004), compares such detectors with adaptive ones.
    """

    def __init__(
        self,
        beat: Callable[[], object],
        every: float = 10.0,
        timeout: float = 5.0,
        misses: int = 3,
        on_lost: Callable[[Heartbeat], object] | None = None,
        on_back: Callable[[Heartbeat], object] | None = None,
        *,
        name: str | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        check_not_called(beat, "beat must be a function, called as beat()")
        self._is_async = checked_kind(beat, "Heartbeat") == COROUTINE_FUNCTION
        limits.check_callable(beat, "beat", "beat()", arguments=0)
        limits.check_timer(timer)
        self._hooks = {"lost": self._checked_hook(on_lost, "on_lost"), "back": self._checked_hook(on_back, "on_back")}
        self._beat = beat
        self._timeout = limits.check_seconds(timeout, "timeout")
        self._misses = limits.check_count(misses, "misses")
        self._beats = Beats(limits.check_seconds(every, "every"), self._timeout, self._misses)
        self._timer = timer
        self.name = name or name_of(beat) or f"heartbeat-{next(_numbers)}"
        self._latency = Histogram()
        self._pulse: Pulse | None = None
        self._untold: Event | None = None  # a change that the hooks have still to be told of
        self._is_telling = False
        self._told: Event | None = None  # the change that the hooks were told of last
        self._last_error: str | None = None
        self._last_hook_error: str | None = None
        self._lock = threading.RLock()  # re-entrant: a finaliser may stop it
        fork.after_in_child(self)
        registry.register(self, part="resilience")

    def _checked_hook(self, hook: Callable[[Heartbeat], object] | None, name: str) -> Any:
        limits.check_callable(hook, name, f"{name}(heartbeat)")
        if hook is not None and not self._is_async and kind_of(hook) == COROUTINE_FUNCTION:
            raise TypeError(
                f"{name} must be a plain function where beat is one, for nobody would await it: make beat a coroutine"
                " function too"
            )
        return hook

    # -- for users

    def start(self) -> None:
        """Beat from now on, at once for the first time; nothing happens if it does already.

        Raises RuntimeError if ``beat`` is a coroutine function and no event loop runs here, or it beats in another
        loop; or if no thread is to be had for it.
        """
        from perfkit.resilience.pulse import new_pulse

        with self._lock:
            if self._pulse is not None and self._pulse.is_alive():
                self._pulse.check_here()
                return
            self.stop()  # what a loop that is gone has left
            self._pulse = new_pulse(self, is_async=self._is_async)
            self._beats.start(self._timer())
            if not self._pulse.set(0.0):
                self.stop()
                raise RuntimeError(
                    f"heartbeat {self.name!r} can't beat: no thread is to be had for it. start() it when there are"
                    " fewer, and not at the interpreter's end"
                )

    def stop(self) -> None:
        """Beat no more. A beat that has begun goes on to its end in a worker, and is cancelled in a task."""
        with self._lock:
            pulse, self._pulse = self._pulse, None
            self._beats.stop()
            self._untold = None
            if self._is_async:  # what is cancelled, or gone with its loop, is not waited for
                self._beats.abandon()
            if pulse is not None and not pulse.is_alive():
                self._is_telling = False
        if pulse is not None:
            pulse.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        pulse = self._pulse
        self.stop()
        if pulse is not None:
            await pulse.ended()

    @property
    def is_lost(self) -> bool:
        """Whether the peer is lost, which it is after so many misses in a row until the next good beat."""
        return self._beats.is_lost

    @property
    def is_running(self) -> bool:
        """Whether it beats."""
        pulse = self._pulse  # read once: another thread may stop it
        return pulse is not None and pulse.is_alive()

    @property
    def last_error(self) -> str | None:
        """What the last miss was; None if there was none."""
        return self._last_error

    @property
    def last_hook_error(self) -> str | None:
        """What the last hook that failed has raised; None if none did."""
        return self._last_hook_error

    def stats(self) -> HeartbeatStats:
        """Return its figures."""
        from perfkit.resilience.stats import HeartbeatStats

        with self._lock:
            beats, last = self._beats, self._beats.last_success
            return HeartbeatStats(
                name=self.name,
                is_running=self.is_running,
                is_lost=beats.is_lost,
                beats=beats.beats,
                misses=beats.misses,
                misses_in_row=beats.in_row,
                times_lost=beats.times_lost,
                since_success=None if last is None else self._timer() - last,
                latency=self._latency.summary(),
                last_error=self._last_error,
                last_hook_error=self._last_hook_error,
            )

    def __repr__(self) -> str:
        state = "lost" if self.is_lost else "running" if self.is_running else "stopped"
        return f"<{type(self).__name__} {self.name!r}: {state}>"

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:  # this module's names may be gone
        if is_ending() or getattr(self, "_pulse", None) is None or not self.is_running:
            return
        said = f"{self!r} beats no more, for nobody refers to it: keep it, and stop() it when you are done"
        warnings.warn(said, ResourceWarning, source=self, stacklevel=2)

    # -- for the pulse

    def _tick(self) -> None:
        """Do what is due. Never blocks: it runs in the maintenance thread, or on the event loop."""
        with self._lock:
            pulse = self._pulse
            if pulse is None:
                return
            missed = self._beats.misses
            step = self._beats.tick(self._timer())
            if self._beats.misses > missed:
                self._last_error = self._too_late()
            pulse.set(step.wait)
        if step.begin is not None and not pulse.begin(self._beat, step.begin):
            self._ended(step.begin, "there is no thread to be had for beat()")
        self._note(step.event)

    def _ended(self, number: int, why: str | None) -> None:
        """Take note of how a beat ended; ``why`` it is a miss, None if it is good."""
        with self._lock:
            now, good, missed = self._timer(), self._beats.good, self._beats.misses
            event = self._beats.ended(number, now, is_good=why is None)
            if self._beats.good > good:
                self._latency.record(now - self._beats.began)
            elif self._beats.misses > missed:
                self._last_error = why or self._too_late()
        self._note(event)

    def _too_late(self) -> str:
        return f"beat() was not back within {self._timeout:g} s"

    def _hook_failed(self, error: BaseException) -> None:
        """Take note of a hook that has raised something."""
        self._last_hook_error = f"on_{self._told}() raised {described(error)}"

    def _note(self, event: Event | None) -> None:
        """Have a change told. One that takes back what has not been told yet is none."""
        with self._lock:
            if event is not None:
                self._untold = event if self._untold is None else None
            if self._untold is not None and not self._is_telling and self._pulse is not None:
                self._is_telling = self._pulse.tell()

    def _next_change(self) -> Callable[[], Any] | None:
        """Return what logs the change that is to be told next, and calls its hook; None when all has been told.

        A log may take its time, so it is none of the maintenance thread's business either.
        """
        with self._lock:
            event, self._untold = self._untold, None
            self._is_telling = event is not None
        return None if event is None else partial(self._tell, event)

    def _tell(self, event: Event) -> Any:
        self._told = event
        if event == "lost":
            misses = "1 miss" if self._misses == 1 else f"{self._misses} misses in a row"
            said = "heartbeat %r: lost, after %s; the last one: %s"
            logger("resilience").warning(said, self.name, misses, self._last_error)
        else:
            logger("resilience").info("heartbeat %r: back", self.name)
        hook = self._hooks[event]
        return None if hook is None else hook(self)

    def _after_fork_in_child(self) -> None:
        """Neither threads nor the loop's timer are here, and the beats were the parent's."""
        self._lock = threading.RLock()
        self._pulse = None
        self._untold = None
        self._is_telling = False
        self._beats.stop()
        self._beats.abandon()
