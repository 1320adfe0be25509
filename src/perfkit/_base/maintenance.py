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
from queue import Empty, SimpleQueue

from perfkit._base import fork
from perfkit._base.beginning import Beginning
from perfkit._base.logs import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Time = tuple[float, int, weakref.ref["Alarm"]]  # when, which of the alarm's turns, and the alarm

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

    def set(self, delay: float) -> bool:
        """Ring in so many seconds, and not when it was set for before. From any thread, and from a finaliser.

        False if no thread is to be had. Then it rings once there is one, for which the next alarm that is set tries.
        """
        self._turn = turn = next(_turns)
        return _thread.add(time.monotonic() + delay, turn, self)

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
    """The thread, and what tells it of alarms that are set; what it knows of them is its own, so nothing is locked."""

    _added: SimpleQueue[Time]
    _times: _Times
    _is_running: bool
    _is_starting: bool

    def __init__(self) -> None:
        self._after_fork_in_child()
        fork.after_in_child(self)

    def add(self, when: float, turn: int, alarm: Alarm) -> bool:
        self._added.put((when, turn, weakref.ref(alarm)))
        return self._is_running or self._start()

    def _start(self) -> bool:
        """Start it; False if no thread is to be had. Who else wants it waits for that, but for a finaliser in here."""
        beginning = Beginning()
        with self._lock:
            if self._is_running or self._is_starting:
                return True
            self._is_starting = True
            try:
                beginning.start(self._times.ring, "perfkit-maintenance")
                self._is_running = True
            except BaseException as error:
                self._is_running = not beginning.called_off()
                if not isinstance(error, RuntimeError):
                    raise
                # the interpreter is ending, or there are no more threads: the next alarm tries again
            finally:
                self._is_starting = False
            return self._is_running

    def _after_fork_in_child(self) -> None:
        """The thread didn't survive, and the alarms were the parent's; who wants some in the child sets them anew."""
        self._lock = threading.RLock()  # re-entrant: a finaliser may set an alarm
        self._added = SimpleQueue()  # whose put() a finaliser may call, wherever it strikes
        self._times = _Times(self._added)
        self._is_running = self._is_starting = False


class _Times:
    """When which alarm is to ring, as the thread knows it."""

    def __init__(self, added: SimpleQueue[Time]) -> None:
        self._added = added
        self._times: list[Time] = []  # a heap
        self._many = _FEW  # at so many it is swept

    def __len__(self) -> int:
        return len(self._times)

    def ring(self) -> None:
        """Ring each in its time, for ever."""
        while True:
            try:
                self._add(self._added.get(timeout=max(0.0, min(self._left(), threading.TIMEOUT_MAX))))
            except Empty:
                self._ring_those_due()

    def _add(self, time: Time) -> None:
        if len(self._times) >= self._many:
            self._sweep()
        heapq.heappush(self._times, time)

    def _ring_those_due(self) -> None:
        while self._left() <= 0:
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


_FEW = 64
_turns = itertools.count(1)
_thread = _Thread()
