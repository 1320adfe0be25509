"""What a cache may be asked to be: arguments checked, and turned into what a `Store` needs."""

from __future__ import annotations

import math

from perfkit._base.sizes import parse_size
from perfkit.caching.policy import UNBOUNDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Ttl = float | Callable[[Any, Any], float | None] | None

__all__ = [
    "check_callable",
    "check_jitter",
    "check_maxsize",
    "check_seconds",
    "check_ttl",
    "count_limit",
    "parse_bytes",
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
    """Return a number of seconds above 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {seconds!r} ({type(seconds).__name__})")
    if not seconds > 0:
        forever = "; None is for ever" if name == "ttl" else ""
        raise ValueError(f"{name} must be more than 0 seconds, not {seconds!r}{forever}")
    return seconds


def check_ttl(ttl: object) -> Ttl:
    """Return ttl: seconds above 0, a callable that gives them, or None for ever."""
    if ttl is None or callable(ttl):
        return ttl
    return check_seconds(ttl, "ttl")


def check_jitter(jitter: object) -> float:
    """Return jitter: a fraction from 0 to less than 1."""
    if isinstance(jitter, bool) or not isinstance(jitter, int | float):
        raise TypeError(f"jitter must be a fraction of the ttl, from 0 to less than 1, not {jitter!r}")
    if not 0 <= jitter < 1:
        raise ValueError(f"jitter must be a fraction of the ttl, from 0 to less than 1, not {jitter!r}")
    return jitter


def check_callable(function: object, name: str, call: str) -> None:
    """Raise TypeError unless ``function`` is None or can be called; ``call`` shows how it would be."""
    if function is not None and not callable(function):
        raise TypeError(f"{name} must be a function, called as {call}, not {function!r}")


def check_timer(timer: object) -> None:
    """Raise TypeError unless ``timer`` can be called."""
    if not callable(timer):
        raise TypeError(f"timer must be a function that returns seconds, such as time.monotonic, not {timer!r}")
