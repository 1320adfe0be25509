"""Who holds a lock inside this process, and who is next: pure, first come, first served.

Drivers guard a `Handoff` with a mutex and wake whom it names while they hold that mutex, so that a waiter that gives up
cannot miss a grant. The mutex may be re-entrant: each step leaves the queue sound before the next, because a holder
that is garbage-collected releases from wherever the collector happened to run.
"""

import contextlib
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
    """An exclusive lock's queue, the first of which is the holder, without any waiting of its own."""

    __slots__ = ("_queue",)

    def __init__(self) -> None:
        self._queue: deque[T] = deque()

    @property
    def holder(self) -> T | None:
        """Who has the lock."""
        try:
            return self._queue[0]
        except IndexError:
            return None

    def is_held_by(self, owner: object) -> bool:
        """Tell whether this thread or task already holds the lock: asking again would never end."""
        holder = self.holder
        return holder is not None and holder.owner == owner

    def request(self, ticket: T) -> bool:
        """Queue up; True if the lock is the caller's at once."""
        self._queue.append(ticket)
        return self._queue[0] is ticket

    def leave(self, ticket: T) -> T | None:
        """End a hold, or stop waiting; return the holder there is then, to be woken if it hasn't been.

        The second time changes nothing, so that whoever was interrupted may do it again.
        """
        with contextlib.suppress(ValueError):
            self._queue.remove(ticket)
        return self.holder
