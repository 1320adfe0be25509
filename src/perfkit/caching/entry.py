"""What a cache keeps for a key: a list, whose places have names here.

A list and not an object: making one, and reading a place of it by a constant, cost the least that Python offers, and a
hit is little more than two such reads.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Entry: TypeAlias = list[Any]

__all__ = ["BORN", "DEAD", "EXPIRES", "HITS", "KEY", "SIZE", "SOFT", "VALUE"]

VALUE = 0
HITS = 1  # raised by readers without a lock; the policy takes away what it has counted
KEY = 2
BORN = 3  # on the policy's clock, or DEAD
EXPIRES = 4  # on the store's clock, or None
SIZE = 5  # in the units of the cache's limit
SOFT = 6  # in stores that refresh or serve what is stale: when to think of that, on the store's clock

DEAD = -2  # deleted, but not yet taken out of the policy's queue
