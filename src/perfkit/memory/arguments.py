"""What the parts of the watchdog may be asked for: arguments checked, with messages that say what is allowed."""

from __future__ import annotations

from functools import lru_cache

from perfkit._base.checks import check_seconds
from perfkit._base.sizes import parse_size

__all__ = [
    "check_flag",
    "check_limit",
    "check_shares",
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


def check_timeout(value: object) -> float | None:
    """Return the seconds that may be waited; None for ever."""
    return None if value is None else check_seconds(value, "timeout", least="0 or more")


def check_tier(tier: int) -> int:
    """Return a tier that a user's reclaimer may be in."""
    if type(tier) is not int or tier not in _TIERS:
        raise ValueError(f"tier must be 1, 2 or 3: with the caches, with the collector, or after both; not {tier!r}")
    return tier


def check_flag(flag: bool, name: str) -> bool:
    """Return True or False, and nothing else that would pass for either."""
    if not isinstance(flag, bool):
        raise TypeError(f"{name} must be True or False, not {flag!r}")
    return flag
