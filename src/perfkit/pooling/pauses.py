"""How long the upkeep of a pool may sleep."""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.pooling.core import Core

__all__ = ["WHILE_WAITED_FOR", "pause_of"]

_LONGEST = 60.0  # seconds; what is lent now may be idle then, and what is idle now lent
_SHORTEST = 0.01
_LOOKS = 10  # within the time that a connection may be idle, which is as exact as that
WHILE_WAITED_FOR = 0.5  # a place may be free that no call tells of: its holder is gone
_WHILE_SECOND_BEST = 1.0  # the preferred of several factories may work again


def pause_of(core: Core, now: float, leak_after: float) -> float:
    """Return the seconds until there may be something to do. Under the lock."""
    taken = [entry.taken_at for entry in core.entries if entry.taken_at is not None]
    next_at = min(core.next_at(), min(taken, default=math.inf) + leak_after)
    most = WHILE_WAITED_FOR if core.waiting else min(_LONGEST, core.max_idle / _LOOKS, leak_after)
    if any(entry.source for entry in core.entries):
        most = min(most, _WHILE_SECOND_BEST)
    return min(max(next_at - now, _SHORTEST), most)
