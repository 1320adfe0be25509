"""How many bytes a key or a value takes, as well as can be told cheaply."""

from __future__ import annotations

import sys
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["deep_size", "pair_size"]

_COLLECTIONS = (list, tuple, set, frozenset, deque)
_LEAVES = (str, bytes, int, float, bool, type(None), bytearray, complex)


def deep_size(thing: Any) -> int:
    """Return the bytes of an object and of what built-in containers in it hold, each object counted once.

    dict, list, tuple, set, frozenset and deque (and subclasses) are looked into. Of an object with an integer
    ``nbytes`` (numpy, memoryview, many data frames' columns) that is taken, if it is more than what ``sys.getsizeof``
    says. Of others only ``sys.getsizeof`` counts: what they refer to is not looked at. O(n) in
    the objects it looks at.
    """
    seen: set[int] = set()
    total, left = 0, [thing]
    while left:
        item = left.pop()
        if id(item) in seen:
            continue
        total += _own_size(item)
        if type(item) in _LEAVES:
            continue  # small ones may be counted again: looking them up costs more than they weigh
        seen.add(id(item))
        left.extend(_contents(item))
    return total


def _own_size(item: Any) -> int:
    size = sys.getsizeof(item)
    if type(item) in _LEAVES:
        return size
    nbytes = getattr(item, "nbytes", None)
    return max(size, nbytes) if isinstance(nbytes, int) else size


def _contents(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, _COLLECTIONS) else ()


def pair_size(key: Any, value: Any) -> int:
    """Return the bytes of a key and a value together."""
    return deep_size((key, value)) - _PAIR


_PAIR = sys.getsizeof((None, None))
