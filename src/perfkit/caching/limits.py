"""What a cache may be asked to be: arguments checked, and turned into what a `Store` needs."""

from __future__ import annotations

import math
import sys

from perfkit._base.sizes import parse_size
from perfkit.caching.policy import UNBOUNDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from typing import Any, TypeAlias

    Seconds = float | timedelta
    Ttl = Seconds | Callable[[Any, Any], Seconds | None] | None
    CheckedTtl: TypeAlias = "float | ComputedTtl | None"

__all__ = [
    "check_jitter",
    "check_maxsize",
    "check_seconds",
    "check_ttl",
    "count_limit",
    "given_ttl",
    "parse_bytes",
    "refuse_without_limit",
    "refuse_without_ttl",
]


def check_maxsize(maxsize: object) -> float | None:
    """Return maxsize: a number, 0 or more (infinity too), or None."""
    if maxsize is None:
        return None
    if isinstance(maxsize, bool) or not isinstance(maxsize, int | float):
        raise TypeError(f"maxsize must be a number of entries, or None for no limit, not {maxsize!r}")
    if not maxsize >= 0:
        raise ValueError(f"maxsize must be 0 or more, or None for no limit, not {maxsize!r}")
    return maxsize


def refuse_without_limit(name: str, max_bytes: object) -> None:
    """Raise TypeError for a cache that was given no maxsize, unless ``max_bytes`` is its limit."""
    if max_bytes is None:
        raise TypeError(
            f"{name} needs a limit: maxsize=1000 for entries, max_bytes='100MB' for bytes, or maxsize=None for none"
        )


def count_limit(maxsize: float | None) -> int:
    """Return how many entries ``maxsize`` allows."""
    return UNBOUNDED if maxsize is None or maxsize >= UNBOUNDED else math.floor(maxsize)


def parse_bytes(max_bytes: object) -> int | None:
    """Return max_bytes as an int, from 1, or None."""
    if max_bytes is None:
        return None
    size = parse_size(max_bytes, name="max_bytes")  # type: ignore[arg-type]  # it says itself what it takes
    if size < 1:
        raise ValueError(f"max_bytes must be at least 1 byte, or None for no limit, not {max_bytes!r}")
    return size


def check_seconds(seconds: object, name: str) -> float:
    """Return a number of seconds above 0, of a number or a timedelta."""
    number = _in_seconds(seconds, name)
    if not number > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {number!r}{_forever(name)}")
    if number > sys.float_info.max and number != math.inf:
        raise ValueError(f"{name} must be a number of seconds that a float can hold{_forever(name)}")
    return number


def check_ttl(ttl: object) -> CheckedTtl:
    """Return ttl: seconds above 0, a function that gives them, or None for ever."""
    if ttl is None or isinstance(ttl, ComputedTtl):
        return ttl
    return ComputedTtl(ttl) if callable(ttl) else check_seconds(ttl, "ttl")


def given_ttl(ttl: CheckedTtl) -> Ttl:
    """Return what `check_ttl` was given: timedeltas as seconds, functions as they were."""
    return ttl.function if isinstance(ttl, ComputedTtl) else ttl


class ComputedTtl:
    """A function that gives a ttl, and is held to what it may return."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.function = function

    def __call__(self, key: Any, value: Any) -> float | None:
        ttl = self.function(key, value)
        if ttl is None:
            return None
        seconds = _in_seconds(ttl, _RESULT)
        return seconds if seconds == 0 else check_seconds(seconds, _RESULT)


_RESULT = "what ttl(key, value) returns"


def _in_seconds(thing: object, name: str) -> float:
    if isinstance(thing, int | float) and not isinstance(thing, bool):
        return thing
    total_seconds = getattr(thing, "total_seconds", None)  # importing datetime for an isinstance takes milliseconds
    if not callable(total_seconds):
        what = f"not {thing!r} ({type(thing).__name__})"
        raise TypeError(f"{name} must be a number of seconds or a timedelta, {what}{_forever(name)}")
    return float(total_seconds())


def _forever(name: str) -> str:
    return "; None is for ever" if name in ("ttl", _RESULT) else ""


def check_jitter(jitter: object) -> float:
    """Return jitter: a fraction from 0 to less than 1."""
    if isinstance(jitter, bool) or not isinstance(jitter, int | float):
        raise TypeError(f"jitter must be a fraction of the ttl, from 0 to less than 1, not {jitter!r}")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter must be a fraction of the ttl, from 0 to less than 1, not {jitter!r}")
    return jitter


def refuse_without_ttl(**given: float | None) -> None:
    """Raise ValueError if something is given that is about a ttl, where there is none."""
    for name, value in given.items():
        if value:
            raise ValueError(f"{name} needs a ttl: without one nothing expires")
