"""Values that are not kept are counted, for every kind of cache."""

import gc
import math

import pytest

from perfkit import stats
from perfkit.caching import FrequencyBoostLRU, cached


def test_what_is_too_large():
    cache = FrequencyBoostLRU(3, getsizeof=len)
    for put in (cache.__setitem__, cache.put, cache.setdefault):
        with pytest.raises(ValueError, match="value too large"):
            put("a", "long")
    assert cache.get_or_load("a", lambda: "long") == "long"
    cache["a"] = "abc"
    assert cache.stats().refused == 4


def test_what_is_infinite():
    cache = FrequencyBoostLRU(None, getsizeof=lambda value: math.inf)
    assert cache.get_or_load("a", int) == 0
    assert cache.stats().refused == 1


def test_a_cache_that_keeps_nothing():
    made = cached(maxsize=0)(abs)
    assert [made(-1), made(-1)] == [1, 1]
    assert made.cache.stats().refused == 2


def test_what_a_function_is_asked_not_to_keep():
    odd = cached(cache_if=lambda value: value % 2)(abs)
    brief = cached(ttl=lambda key, value: value)(abs)
    for number in (0, 1, 2, 1):
        odd(number)
        brief(number)
    assert (odd.cache.stats().refused, odd.cache.stats().size) == (2, 1)
    assert (brief.cache.stats().refused, brief.cache.stats().size) == (1, 2)


def test_methods_of_instances_that_are_gone_too():
    class Thing:
        @cached(cache_if=bool)
        def nothing(self):
            return None

    stayed = Thing()
    for thing in (stayed, Thing(), Thing()):
        thing.nothing()
    del thing
    gc.collect()
    (mine,) = [snapshot.stats for snapshot in stats() if snapshot.name.endswith("Thing.nothing")]
    assert mine.refused == 3
