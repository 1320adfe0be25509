"""What the parts of the watchdog may be asked for: arguments checked, with messages that say what is allowed."""

from __future__ import annotations

import math
from functools import lru_cache

from perfkit._base.decorating import COROUTINE_FUNCTION, kind_of
from perfkit._base.sizes import parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = [
    "check_flag",
    "check_hook",
    "check_limit",
    "check_name",
    "check_seconds",
    "check_shares",
    "check_takes",
    "check_tier",
    "check_timeout",
    "size_of",
]

_TIERS = (1, 2, 3)
_LEAST = 1_000_000  # bytes


def size_of(value: int | str, name: str) -> int:
    """Return a size in bytes, more than 0."""
    size = _text_size(value, name) if isinstance(value, str) else parse_size(value, name=name)
    if size == 0:
        raise ValueError(f"{name} must be more than 0 bytes, such as '64MB'")
    if isinstance(value, str) and not value.strip()[-1].isalpha():
        raise ValueError(f"{name}={value!r} has no unit: write '{value.strip()}MB', or a number for bytes")
    return size


def check_limit(value: int | str) -> int:
    """Return a limit in bytes. Less than any Python takes is a unit that was forgotten."""
    limit = size_of(value, "limit")
    if limit < _LEAST:
        raise ValueError(
            f"limit={value!r} is {limit} bytes, less than any Python takes: write '{limit}MB' if you mean that"
        )
    return limit


@lru_cache(maxsize=256)
def _text_size(text: str, name: str) -> int:
    return parse_size(text, name=name)


def check_shares(low: float, high: float, critical: float) -> None:
    """Raise unless the three are fractions of the limit, in this order."""
    for name, value in (("low", low), ("high", high), ("critical", critical)):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a fraction of the limit, such as 0.8, not {value!r}")
    if not 0 < low < high < critical <= 1:
        raise ValueError(
            f"it must be 0 < low < high < critical <= 1, fractions of the limit; they are low={low!r}, high={high!r},"
            f" critical={critical!r}"
        )


def check_seconds(value: object, name: str) -> float:
    """Return a finite number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, 0 or more, not {value!r} ({type(value).__name__})")
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be 0 or more seconds, and finite, not {value!r}")
    return float(value)


def check_timeout(value: object) -> float | None:
    """Return the seconds that may be waited; None for ever."""
    return None if value is None else check_seconds(value, "timeout")


def check_tier(tier: int) -> int:
    """Return a tier that a user's reclaimer may be in."""
    if type(tier) is not int or tier not in _TIERS:
        raise ValueError(f"tier must be 1, 2 or 3: with the caches, with the collector, or after both; not {tier!r}")
    return tier


def check_hook(hook: Any, name: str, call: str) -> None:
    """Raise TypeError unless ``hook`` is None or a plain function of one argument; ``call`` shows how it is called."""
    if hook is None:
        return
    if not callable(hook) or kind_of(hook) == COROUTINE_FUNCTION:
        raise TypeError(f"{name} must be a plain function, called as {call}, not {hook!r}")
    check_takes(hook, 1, f"{name} is called as {call}")


def check_takes(function: Callable[..., Any], count: int, how: str) -> None:
    """Raise TypeError unless a function can be called with so many arguments; where it doesn't say, it is believed."""
    from inspect import signature

    try:
        shown = signature(function)
    except (TypeError, ValueError):
        return
    try:
        shown.bind(*range(count))
    except TypeError:
        raise TypeError(f"{how}, and {function!r} takes {shown}") from None


def check_name(name: str | None) -> str | None:
    """Return a name, or None where there is none."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, not {name!r}")
    return name


def check_flag(flag: bool, name: str) -> bool:
    """Return True or False, and nothing else that would pass for either."""
    if not isinstance(flag, bool):
        raise TypeError(f"{name} must be True or False, not {flag!r}")
    return flag
