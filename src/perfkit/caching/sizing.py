"""How many bytes a key or a value takes, as well as can be told cheaply."""

from __future__ import annotations

import sys
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

__all__ = ["checked_size", "deep_size", "exact", "pair_size", "shown"]

_COLLECTIONS = (list, tuple, set, frozenset, deque)
_LEAVES = (str, bytes, int, float, bool, type(None), bytearray, complex)


def deep_size(thing: Any) -> int:
    """Return the bytes of an object and of what built-in containers in it hold, each object counted once.

    dict, list, tuple, set, frozenset and deque (and subclasses), and exceptions' arguments, are looked into. Of an
    object with an integer ``nbytes`` (numpy, memoryview, many data frames' columns) that is taken, if it is more than
    what ``sys.getsizeof`` says. Of others only ``sys.getsizeof`` counts: what they refer to is not looked at. O(n) in
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
    try:
        nbytes = getattr(item, "nbytes", None)
    except Exception:  # noqa: BLE001 (a property of its own; a value is not to fail its call by it)
        nbytes = None
    return max(size, nbytes) if isinstance(nbytes, int) else size


def _contents(item: Any) -> Iterable[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    if isinstance(item, _COLLECTIONS):
        return item
    return item.args if isinstance(item, BaseException) else ()


def pair_size(key: Any, value: Any) -> int:
    """Return the bytes of a key and a value together."""
    return deep_size((key, value)) - _PAIR


_PAIR = sys.getsizeof((None, None))


def checked_size(size: object, what: str) -> float:
    """Return the size that a function called ``what`` gave: a number, 0 or more, infinity too."""
    number = size if isinstance(size, int | float) else _as_float(size, what)
    if not number >= 0:
        raise ValueError(f"{what} returned {number!r}; a size is 0 or more")
    return number


def _as_float(size: Any, what: str) -> float:
    if not hasattr(size, "__float__"):  # numpy's numbers have it, strings don't
        raise TypeError(f"{what} must return a number, 0 or more, not {size!r} ({type(size).__name__})")
    return float(size)


def exact(size: float) -> float:
    """Return a finite size as a number whose sums don't drift: an int, or a Fraction for what isn't whole."""
    if isinstance(size, int):
        return size
    if size.is_integer():
        return int(size)
    from fractions import Fraction

    return Fraction(size)  # type: ignore[return-value]  # it adds, compares and rounds as a float does


def shown(key: object) -> str:
    """Return a key's repr for a message: a short one, also where its own raises."""
    from reprlib import Repr

    shortening = Repr()
    shortening.maxstring = shortening.maxother = 100
    return shortening.repr(key[:100] if isinstance(key, bytes | bytearray) else key)
