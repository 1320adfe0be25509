"""One daemon thread for all that has to be done later: the upkeep of pools, heartbeats. The first alarm set starts it.

It only decides and starts: what may block belongs to workers of whoever set the alarm, or all others would wait for it.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
import weakref
from contextvars import copy_context

from perfkit._base import fork
from perfkit._base.logs import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """Calls ``ring()`` in the maintenance thread, in the context variables of its maker, once a delay is over.

    It may be set again and again: the last delay counts. It holds ``ring``, a bound method, weakly: an object that is
    gone rings no more, and its alarm is no reason to keep it. ``ring`` must not block; what it raises is logged.
    """

    __slots__ = ("__weakref__", "_context", "_ring", "_turn")

    def __init__(self, ring: Callable[[], object]) -> None:
        self._ring = weakref.WeakMethod(ring)
        self._context = copy_context()
        self._turn = 0  # of several times this was set for, the one that counts

    def set(self, delay: float) -> None:
        """Ring in so many seconds, and not when it was set for before. From any thread, and from a finaliser."""
        self._turn = turn = next(_turns)
        _thread.add(time.monotonic() + delay, turn, self)

    def cancel(self) -> None:
        """Don't ring. It may be ringing at this moment."""
        self._turn = 0

    def _ring_if(self, turn: int) -> None:
        ring = self._ring()
        if ring is None or turn != self._turn:
            return
        try:
            self._context.run(ring)
        except Exception:  # noqa: BLE001 (logged; the others have to ring all the same)
            logger().exception("%r failed in the maintenance thread", ring)


class _Thread:
    """The alarms that are set, and the thread that waits for the next of them."""

    _times: list[tuple[float, int, weakref.ref[Alarm]]]  # a heap
    _many: int  # at so many it is swept
    _is_running: bool

    def __init__(self) -> None:
        self._after_fork_in_child()
        fork.after_in_child(self)

    def add(self, when: float, turn: int, alarm: Alarm) -> None:
        with self._changed:
            if len(self._times) >= self._many:
                self._sweep()
            heapq.heappush(self._times, (when, turn, weakref.ref(alarm)))
            if not self._is_running:
                self._is_running = True
                self._start()
            if self._times[0][1] == turn:
                self._changed.notify()

    def _start(self) -> None:
        try:
            threading.Thread(target=self._run, name="perfkit-maintenance", daemon=True).start()
        except RuntimeError:  # the interpreter is ending, or there are no more threads: the next alarm tries again
            self._is_running = False

    def _run(self) -> None:
        while True:
            with self._changed:
                while (left := self._left()) > 0:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                _, turn, reference = heapq.heappop(self._times)
            alarm = reference()
            if alarm is not None:
                alarm._ring_if(turn)
            del alarm  # or its owner would live until the next one rings

    def _sweep(self) -> None:
        """Forget what will not ring: alarms set again since, cancelled, or gone."""
        self._times = [time for time in self._times if (alarm := time[2]()) is not None and alarm._turn == time[1]]
        heapq.heapify(self._times)
        self._many = max(_FEW, 2 * len(self._times))

    def _left(self) -> float:
        """Return the seconds until the next alarm; those of who is gone go first."""
        while self._times and self._times[0][2]() is None:
            heapq.heappop(self._times)
        return self._times[0][0] - time.monotonic() if self._times else threading.TIMEOUT_MAX

    def _after_fork_in_child(self) -> None:
        """The thread didn't survive, and the alarms were the parent's; who wants some in the child sets them anew."""
        self._changed = threading.Condition()  # re-entrant: a finaliser may set an alarm
        self._times = []
        self._many = _FEW
        self._is_running = False


_FEW = 64
_turns = itertools.count(1)
_thread = _Thread()
