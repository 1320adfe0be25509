"""Caches as a typed program uses them. mypy checks this; nothing runs it."""

from collections.abc import Coroutine
from typing import Any, assert_type

import perfkit
from perfkit.caching import CacheStats


@perfkit.cached
def square(number: int, *, power: int = 2) -> int:
    return number * power


@perfkit.cached(
    maxsize=10_000, ttl=300, jitter=0.1, typed=True, error_ttl={TimeoutError: 5}, refresh_ahead=0.8, stale_if_error=60
)
async def fetch(url: str) -> bytes:
    return url.encode()


class Report:
    @perfkit.cached
    def page(self, number: int) -> list[str]:
        return [str(number)]


def functions() -> None:
    assert_type(square(3), int)
    assert_type(square(3, power=4), int)
    square("3")  # type: ignore[arg-type]  # the parameters keep their types
    square(3, exponent=4)  # type: ignore[call-arg]  # and their names
    assert_type(square.cache_discard(3, power=4), bool)
    info = square.cache_info()
    assert_type(info.hits, int)
    assert_type(info.misses, int)
    assert_type(info.maxsize, float | None)
    assert_type(info.currsize, int)
    square.cache_clear()
    square.cache.invalidate(tag="squares")
    assert_type(square.__wrapped__(3), int)


async def tasks() -> None:
    pending: Coroutine[Any, Any, bytes] = fetch("https://example.org")
    assert_type(await pending, bytes)
    assert_type(await fetch("https://example.org"), bytes)


def methods(report: Report) -> None:
    assert_type(report.page(3), list[str])
    assert_type(Report.page(report, 3), list[str])
    report.page("3")  # type: ignore[arg-type]
    Report.page.cache_clear()


def reading_as_a_mapping(cache: perfkit.FrequencyBoostLRU[str, int]) -> None:
    assert_type(cache.get("a"), int | None)
    assert_type(cache.get("a", 0), int)
    assert_type(cache.get("a", "none"), int | str)
    assert_type(cache.get("a", None), int | None)
    assert_type(cache.pop("a"), int)
    assert_type(cache.pop("a", 0), int)
    assert_type(cache.pop("a", None), int | None)
    assert_type(cache.popitem(), tuple[str, int])
    assert_type(cache.setdefault("a", 1), int)
    cache.setdefault("a")  # type: ignore[call-arg]  # None would not be an int
    cache.get(5)  # type: ignore[call-overload]  # the keys keep their type
    assert_type(cache.maxsize, float | None)
    assert_type(cache.currsize, float)


def reading_what_may_be_none(cache: perfkit.TTLCache[str, int | None]) -> None:
    assert_type(cache.setdefault("a"), int | None)


def caches() -> None:
    cache: perfkit.FrequencyBoostLRU[str, int] = perfkit.FrequencyBoostLRU(100, ttl=5, max_bytes="1MB")
    cache["a"] = 1
    cache["b"] = "x"  # type: ignore[assignment]
    cache.put("c", 3, ttl=1.5, tags=["t"])
    assert_type(cache["a"], int)
    assert_type(cache.get_or_load("d", lambda: 4), int)
    assert_type(cache.expires_at("a"), float | None)
    assert_type(cache.shrink(fraction=0.5), int)
    assert_type(cache.stats(), CacheStats)
    assert_type(cache.stats().hit_ratio, float)
    timed: perfkit.TTLCache[str, int] = perfkit.TTLCache(100, 5.0)
    for key, value in timed.items():
        assert_type(key, str)
        assert_type(value, int)
