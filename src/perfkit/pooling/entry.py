"""One connection in a pool, and what is known of it."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

__all__ = ["Attempt", "Entry"]


class Entry:
    """A connection. Whoever holds the entry holds the connection: the queue of the idle, or the one it is lent to.

    The pool keeps none that it has lent. So one that nobody holds any more, because a lease was dropped, a generator
    never finished or an interrupt struck, ends in `__del__`, which puts it into ``lost``: a finaliser may run anywhere,
    so it does nothing else.

    Times are the pool's timer's. ``trusted_until`` is when it has to be looked at before it is lent: its own end
    (``expires_at``), or earlier where it has to be validated.
    """

    __slots__ = (
        "__weakref__",
        "conn",
        "created",
        "expires_at",
        "idle_since",
        "is_ending",
        "is_over",
        "key",
        "lost",
        "noted_uses",
        "retired",
        "seen_uses",
        "source",
        "taken_at",
        "taken_by",
        "trusted_until",
        "uses",
        "watch",
    )

    def __init__(
        self, conn: Any, now: float, lifetime: float, *, lost: deque[Entry | Attempt], source: int = 0
    ) -> None:
        self.conn = conn
        self.key = id(conn)
        self.created = self.idle_since = now
        self.expires_at = now + lifetime
        self.trusted_until = self.expires_at
        self.uses = self.seen_uses = 0  # how often it was lent, and how often at the last look at the idle ones
        self.noted_uses = -1  # and when the peak was noted, if it was idle then
        self.source = source  # which of several factories made it
        self.retired: str | None = None  # why it is not to be lent again, once it comes back
        self.taken_at: float | None = None  # when it was lent, where that is watched
        self.taken_by: tuple[str, ...] = ()  # and where to
        self.watch: Any = None  # tells that the connection is gone, where that can be told; see Lent
        self.lost = lost
        self.is_over = True  # it is not in the pool: not yet, or it has left it
        self.is_ending = False  # somebody closes it

    def retire(self, reason: str) -> None:
        """Have it closed when it comes back. Who looks takes no lock, so the order counts; see `PoolBase._give`."""
        self.retired = self.retired or reason
        self.expires_at = -math.inf
        self.trusted_until = -math.inf

    def known(self) -> Any:
        """Return the connection, if there is one still. It is never asked what it is: its truth may be an error."""
        if self.conn is not None or not self.watch:
            return self.conn
        return self.watch()

    def __del__(self) -> None:
        if not getattr(self, "is_over", True):  # an interrupt may have struck before it was whole
            self.lost.append(self)


class Attempt:
    """A connection that is being made; if nobody comes to make it, an end like an entry's."""

    __slots__ = ("generation", "is_over", "is_probe", "lost", "mended", "objection")

    def __init__(self, generation: int, lost: deque[Entry | Attempt], *, is_probe: bool = False) -> None:
        self.generation = generation
        self.is_probe = is_probe  # beside those that are wanted
        self.lost = lost
        self.is_over = True  # not begun yet
        self.objection: Exception | None = None  # why what it made is no connection
        self.mended: tuple[int, float] | None = None  # how many failed before it, and how long ago that began

    def __del__(self) -> None:
        if not getattr(self, "is_over", True):  # an interrupt may have struck before it was whole
            self.lost.append(self)
