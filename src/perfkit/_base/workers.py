"""A bounded number of daemon threads that run what they are given, in the order it came."""

from __future__ import annotations

import contextlib
import threading
from collections import deque

from perfkit._base import fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Workers"]

_LINGER = 10.0  # seconds a worker waits for more to do


class Workers:
    """At most ``max_workers`` named daemon threads, started when there is work for one more than there are idle.

    One that has had nothing to do for a while ends.
    """

    def __init__(self, max_workers: int, name: str) -> None:
        self.max_workers = max_workers
        self.name = name
        self._after_fork_in_child()
        fork.after_in_child(self)

    def __len__(self) -> int:
        """Return how many jobs no worker has begun."""
        return len(self._jobs)

    def submit(self, job: Callable[[], object]) -> None:
        """Have ``job()`` called by a worker. It must not raise.

        Raises RuntimeError if there is no worker and no thread to be had for one; then it isn't called. Nor is it if an
        interrupt strikes here, unless it has begun.
        """
        try:
            self._submit(job)
        except BaseException:
            with self._wanted, contextlib.suppress(ValueError):
                self._jobs.remove(job)
            raise

    def _submit(self, job: Callable[[], object]) -> None:
        with self._wanted:
            self._jobs.append(job)
            if self._idle >= len(self._jobs) or self._workers >= self.max_workers:
                self._wanted.notify()
                return
            self._workers += 1
            number = self._workers
        try:
            threading.Thread(target=self._work, name=f"{self.name}-{number}", daemon=True).start()
        except RuntimeError:  # no more threads are to be had, or the interpreter is ending
            with self._wanted:
                self._workers -= 1
                if self._workers:  # one of those comes to it
                    return
            raise

    def _work(self) -> None:
        while True:
            with self._wanted:
                while not self._jobs:
                    self._idle += 1
                    is_wanted = self._wanted.wait(_LINGER)
                    self._idle -= 1
                    if not self._jobs and not is_wanted:
                        self._workers -= 1
                        return
                job = self._jobs.popleft()
            job()
            del job  # or what it made would live until the next one comes

    def _after_fork_in_child(self) -> None:
        """Threads don't survive a fork, and what they were to do belongs to the parent."""
        self._wanted = threading.Condition()  # re-entrant: a finaliser may submit
        self._jobs: deque[Callable[[], object]] = deque()
        self._workers = 0
        self._idle = 0
