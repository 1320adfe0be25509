"""A bounded number of daemon threads that run what they are given, in the order it came."""

from __future__ import annotations

import contextlib
import sys
import threading
from functools import partial
from queue import Empty, SimpleQueue

from perfkit._base import fork
from perfkit._base.beginning import Beginning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[], object]

__all__ = ["Workers"]

_LINGER = 10.0  # seconds a worker waits for more to do


class Workers:
    """At most ``max_workers`` named daemon threads, started when there is work for one more than there are idle.

    One that has had nothing to do for a while ends.

    An interrupt may strike anywhere in `submit`, and a finaliser or a signal handler may submit there, too. So what is
    counted changes together with what it counts, and a job is in a list of its own: whoever takes it out has it.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        self.max_workers = max_workers
        self.name = name
        self._after_fork_in_child()
        fork.after_in_child(self)

    def __len__(self) -> int:
        """Return how many jobs no worker has begun."""
        return self._wanted

    def submit(self, job: Job) -> None:
        """Have ``job()`` called by a worker. It must not raise.

        Raises RuntimeError if there is no worker and no thread to be had for one; then it isn't called. Nor is it if an
        interrupt strikes here, unless it has begun.
        """
        place: list[Job] = []
        try:
            with self._lock:
                self._wanted += 1
                place.append(job)
            self._start_another()
            self._jobs.put(place)
        except BaseException:
            self._withdraw(place)
            raise

    def _start_another(self) -> None:
        """Start a worker if there are more jobs than idle ones."""
        if sys.is_finalizing():
            raise RuntimeError("the interpreter is ending: its daemon threads stand still, and none can be started")
        beginning = Beginning()
        try:
            with self._lock:
                if self._idle >= self._wanted or len(self._workers) >= self.max_workers:
                    return
                self._workers.add(beginning)
            beginning.start(partial(self._work, beginning), f"{self.name}-{len(self._workers)}")
        except BaseException as error:
            if beginning.called_off():
                self._workers.discard(beginning)
            if not isinstance(error, RuntimeError) or not self._workers:
                raise
            # no more threads are to be had: one of those there are comes to it

    def _withdraw(self, place: list[Job]) -> None:
        """Keep a job from being begun; others may have counted on the worker that was to be started for it."""
        with self._lock:
            if place:
                place.clear()
                self._wanted -= 1
        if self._wanted:
            with contextlib.suppress(RuntimeError):
                self._start_another()

    def _work(self, me: Beginning) -> None:
        try:
            while job := self._next(me):
                job()
                del job  # or what it made would live until the next one comes
        finally:
            self._workers.discard(me)

    def _next(self, me: Beginning) -> Job | None:
        """Wait for a job; None if there was none for long."""
        with self._lock:
            self._idle += 1
        while True:
            try:
                place = self._jobs.get(timeout=_LINGER)
            except Empty:
                place = []
            with self._lock:
                if place:  # nobody has withdrawn it
                    self._idle -= 1
                    self._wanted -= 1
                    return place.pop()
                if not self._wanted:
                    self._idle -= 1
                    self._workers.discard(me)
                    return None

    def _after_fork_in_child(self) -> None:
        """Threads don't survive a fork, and what they were to do belongs to the parent."""
        self._lock = threading.RLock()  # re-entrant: a finaliser may submit
        self._jobs: SimpleQueue[list[Job]] = SimpleQueue()  # whose put() a finaliser may call, wherever it strikes
        self._workers: set[Beginning] = set()  # those at work, and those being started
        self._wanted = 0  # jobs that no worker has begun, and
        self._idle = 0  # workers that have none
