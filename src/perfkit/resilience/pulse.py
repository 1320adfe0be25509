"""What makes a heartbeat beat in threads: an alarm that says when, and workers that do it.

It refers to its heartbeat weakly, so that one which nobody else refers to is gone, and rings no more.
"""

from __future__ import annotations

import sys
import weakref
from contextvars import copy_context
from types import CoroutineType

from perfkit._base.closures import refuse_coroutine
from perfkit._base.exceptions import described
from perfkit._base.logs import logger
from perfkit._base.maintenance import Alarm
from perfkit._base.workers import Workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from typing import Any, Protocol

    from perfkit.resilience.heartbeat import Heartbeat

    class Pulse(Protocol):
        """What makes a heartbeat beat, from its start to its stop."""

        def is_alive(self) -> bool:
            """Tell whether it can still beat; a loop may have ended under it."""

        def check_here(self) -> None:
            """Raise RuntimeError if it beats somewhere else than the caller is."""

        def set(self, delay: float) -> bool:
            """Have the heartbeat look for what is due in so many seconds, instead of when it was set for before.

            False if that isn't possible now.
            """

        def begin(self, beat: Callable[[], Any], number: int) -> bool:
            """Have a beat made; tell whether that is possible."""

        def tell(self) -> bool:
            """Have the hooks called; tell whether that is possible."""

        def stop(self) -> None:
            """Look for nothing any more."""

        async def ended(self) -> None:
            """Wait until what was cancelled by `stop` is over, if it takes no longer than a beat may."""


__all__ = ["SAID_NO", "ThreadPulse", "log_failed_beat", "log_failed_hook", "new_pulse", "raised"]

SAID_NO = "beat() returned False"

# As many as there are beats and hooks under way, for none may wait for another's: each heartbeat has one of both at
# most.
_workers = Workers(sys.maxsize, "perfkit-heartbeat")


def new_pulse(heartbeat: Heartbeat, *, is_async: bool) -> Pulse:
    """Return what makes a heartbeat beat here: in the running loop, or in threads."""
    if not is_async:
        return ThreadPulse(heartbeat)
    from perfkit.resilience.task_pulse import TaskPulse

    return TaskPulse(heartbeat)


class ThreadPulse:
    """The pulse of a plain ``beat``."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = weakref.ref(heartbeat)
        self._context = copy_context()
        self._alarm = Alarm(heartbeat._tick)
        self.set = self._alarm.set

    def is_alive(self) -> bool:
        """Tell that it can beat: threads are always to be had."""
        return True

    def check_here(self) -> None:
        """Threads are everywhere."""

    def begin(self, beat: Callable[[], Any], number: int) -> bool:
        """Have a worker make a beat."""
        heartbeat, context = self._heartbeat, self._context.copy()
        return _submitted(lambda: _beat(heartbeat, context, beat, number))

    def tell(self) -> bool:
        """Have a worker call the hooks."""
        heartbeat, context = self._heartbeat, self._context.copy()
        return _submitted(lambda: context.run(_tell, heartbeat))

    def stop(self) -> None:
        """Ring no more; workers can't be stopped."""
        self._alarm.cancel()

    async def ended(self) -> None:
        """Nothing was cancelled."""


def _submitted(job: Callable[[], object]) -> bool:
    try:
        _workers.submit(job)
    except RuntimeError:  # no thread is to be had, as at the interpreter's end
        return False
    return True


def _beat(reference: weakref.ref[Heartbeat], context: Context, beat: Callable[[], Any], number: int) -> None:
    """Make a beat. While it hangs the heartbeat isn't referred to."""
    try:
        result = context.run(beat)
        refuse_coroutine(result, "Heartbeat")
        why = SAID_NO if result is False else None
    except BaseException as error:  # noqa: BLE001 (whatever it is, the peer wasn't reached; a worker lives on)
        log_failed_beat(reference, error)
        why = raised(error)
    heartbeat = reference()
    if heartbeat is not None:
        heartbeat._ended(number, why)


def _tell(reference: weakref.ref[Heartbeat]) -> None:
    while (heartbeat := reference()) is not None and (tell := heartbeat._next_change()) is not None:
        try:
            _refuse_awaitable(tell())
        except BaseException as error:  # noqa: BLE001 (it is logged, and stops nothing; a worker lives on)
            log_failed_hook(heartbeat, error)
        del heartbeat, tell


def _refuse_awaitable(told: object) -> None:
    """Raise TypeError for a coroutine that a hook has returned, where there is no loop to await it."""
    if isinstance(told, CoroutineType):
        told.close()
        raise TypeError("a hook returned a coroutine, which nobody would await: make beat a coroutine function too")


def raised(error: BaseException) -> str:
    """Return what is said of a beat that has raised something."""
    return f"beat() raised {described(error)}"


def log_failed_hook(heartbeat: Heartbeat, error: BaseException) -> None:
    """Log the error that a hook has raised."""
    heartbeat._hook_failed(error)
    logger("resilience").exception("a hook of heartbeat %r failed", heartbeat.name)


def log_failed_beat(reference: weakref.ref[Heartbeat], error: BaseException) -> None:
    """Say why a beat is a miss."""
    heartbeat = reference()
    if heartbeat is not None:
        logger("resilience").debug("heartbeat %r: a miss", heartbeat.name, exc_info=error)
