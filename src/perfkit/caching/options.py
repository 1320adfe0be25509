"""What `perfkit.cached` was asked for, checked when the function is decorated."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from perfkit._base.checks import check_callable, check_timer
from perfkit.caching import limits
from perfkit.caching.tags import check_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from perfkit.caching.limits import Seconds, Ttl

__all__ = ["Options"]


class Options:
    """The arguments of `perfkit.cached`; see there."""

    __slots__ = (
        "cache_if",
        "error_ttl",
        "jitter",
        "key",
        "max_bytes",
        "maxsize",
        "on_evict",
        "refresh_ahead",
        "stale_if_error",
        "tags",
        "timer",
        "ttl",
        "typed",
    )

    def __init__(
        self,
        *,
        maxsize: float | None,
        ttl: Ttl = None,
        jitter: float = 0.0,
        key: Callable[..., Any] | None = None,
        typed: bool = False,
        max_bytes: int | str | None = None,
        cache_if: Callable[[Any], object] | None = None,
        error_ttl: Mapping[type[Exception], Seconds] | None = None,
        refresh_ahead: float | None = None,
        stale_if_error: Seconds | None = None,
        tags: Iterable[str] | Callable[..., Iterable[str]] | None = None,
        on_evict: Callable[[Any, Any, Any], object] | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        check_callable(key, "key", "key(*args, **kwargs)", arguments=None)
        check_callable(cache_if, "cache_if", "cache_if(value)")
        check_callable(on_evict, "on_evict", "on_evict(key, value, cause)", arguments=3)
        check_timer(timer)
        self.maxsize = limits.check_maxsize(maxsize)
        self.max_bytes = limits.parse_bytes(max_bytes)
        self.ttl = limits.check_ttl(ttl)
        self.jitter = limits.check_jitter(jitter)
        self.key = key
        self.typed = bool(typed)
        self.cache_if = cache_if
        self.error_ttl = _check_error_ttl(error_ttl)
        self.refresh_ahead = _check_fraction(refresh_ahead)
        self.stale_if_error = None if stale_if_error is None else limits.check_seconds(stale_if_error, "stale_if_error")
        self.tags = tags if tags is None or callable(tags) else check_tags(tags)
        self.on_evict = on_evict
        self.timer = timer
        if self.ttl is None:
            limits.refuse_without_ttl(
                jitter=self.jitter, refresh_ahead=self.refresh_ahead, stale_if_error=self.stale_if_error
            )

    def given(self) -> dict[str, Any]:
        """Return the parameters the cache was made with."""
        return {name: getattr(self, name) for name in self.__slots__} | {"ttl": limits.given_ttl(self.ttl)}

    @property
    def aging(self) -> tuple[float, float] | None:
        """At which fraction of its ttl an entry is thought of again, and for how long after it an error is bridged."""
        if self.refresh_ahead is None and self.stale_if_error is None:
            return None
        return self.refresh_ahead or 1.0, self.stale_if_error or 0.0

    @property
    def never(self) -> float | None:
        """What EXPIRES is for ever: where there is a ttl the wrapper compares it without looking."""
        return None if self.ttl is None else math.inf


def _check_error_ttl(error_ttl: object) -> dict[type[Exception], float]:
    if error_ttl is None:
        return {}
    if not isinstance(error_ttl, Mapping) or not all(isinstance(kind, type) for kind in error_ttl):
        raise TypeError(
            f"error_ttl must be a dict of exception types and seconds, {{TimeoutError: 5}}, not {error_ttl!r}"
        )
    return {kind: _check_failure(kind, seconds) for kind, seconds in error_ttl.items()}


def _check_failure(kind: type, seconds: object) -> float:
    if not issubclass(kind, Exception):
        raise TypeError(f"error_ttl is for subclasses of Exception, not {kind.__name__}")
    return limits.check_seconds(seconds, f"error_ttl[{kind.__name__}]")


def _check_fraction(refresh_ahead: object) -> float | None:
    if refresh_ahead is None:
        return None
    if isinstance(refresh_ahead, bool) or not isinstance(refresh_ahead, int | float) or not 0 < refresh_ahead < 1:
        raise ValueError(f"refresh_ahead must be a fraction of the ttl, between 0 and 1, not {refresh_ahead!r}")
    if not math.isfinite(refresh_ahead):
        raise ValueError("refresh_ahead must be a fraction of the ttl, between 0 and 1")
    return float(refresh_ahead)
