"""Who holds a lock inside this process, and who is next: pure, first come, first served.

Drivers guard a `Handoff` with a mutex and wake whom it names while they hold that mutex, so that a waiter that gives up
cannot miss a grant. The mutex may be re-entrant: each step leaves the queue sound before the next, because a holder
that is garbage-collected releases from wherever the collector happened to run.
"""

from collections import deque
from typing import Generic, Protocol, TypeVar

__all__ = ["Handoff", "Owned"]


class Owned(Protocol):
    """A request for the lock, made by a thread or a task."""

    @property
    def owner(self) -> object:
        """Who asks; compared with ``==``."""


T = TypeVar("T", bound=Owned)


class Handoff(Generic[T]):
    """An exclusive lock's holder and queue, without any waiting of its own."""

    __slots__ = ("_queue", "holder")

    def __init__(self) -> None:
        self.holder: T | None = None
        self._queue: deque[T] = deque()

    def is_held_by(self, owner: object) -> bool:
        """Tell whether this thread or task already holds the lock: asking again would never end."""
        return self.holder is not None and self.holder.owner == owner

    def request(self, ticket: T) -> bool:
        """Queue up; True if the lock is the caller's at once."""
        self._queue.append(ticket)
        if self.holder is None:
            self.holder = self._queue.popleft()
        return self.holder is ticket

    def release(self, ticket: T) -> T | None:
        """Give the lock to the longest waiter and return it, to be woken.

        None if nobody waits or ``ticket`` isn't the holder.
        """
        if self.holder is not ticket:
            return None
        self.holder = self._queue.popleft() if self._queue else None
        return self.holder

    def withdraw(self, ticket: T) -> bool:
        """Stop waiting; False if the lock was granted meanwhile, and is the caller's to release."""
        if self.holder is ticket:
            return False
        if ticket in self._queue:
            self._queue.remove(ticket)
        return True
