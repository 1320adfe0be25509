"""A line for people, of a cache's figures."""

import math

import pytest

from perfkit.caching import FrequencyBoostLRU, cached


def test_the_line_of_a_cache():
    cache = FrequencyBoostLRU(1000, name="users")
    cache["ada"] = 1
    cache.get("ada")
    cache.get("grace")
    line = "users: 50.0% of 2 reads hit, 1 entry (maxsize 1,000), 0 evicted, 0 expired, 0 refused, 0 loads, 0 failed"
    assert str(cache.stats()) == line
    assert repr(cache.stats()).startswith("CacheStats(name='users', hits=1, misses=1, size=1, maxsize=1000, bytes=None")


def test_the_line_of_a_functions_cache():
    @cached(max_bytes="50MB")
    def render(page):
        if page is None:
            raise ValueError("no page")
        return bytes(2_000_000)

    for page in (1, 1, 2):
        render(page)
    with pytest.raises(ValueError, match="no page"):
        render(None)
    name = render.cache.name
    assert str(render.cache.stats()) == (
        f"{name}: 25.0% of 4 reads hit, 2 entries, 4 MB (max_bytes 50 MB), 0 evicted, 0 expired,"
        " 0 refused, 3 loads, 1 failed"
    )


def test_the_line_of_a_cache_without_a_limit():
    for maxsize in (None, math.inf):
        assert ": 0.0% of 0 reads hit, 0 entries" in str(FrequencyBoostLRU(maxsize).stats())
