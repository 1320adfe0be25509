"""What isn't allowed is refused when it is asked for, with a message that says what to write."""

import datetime
import types

import cachetools
import pytest

from perfkit.caching import FrequencyBoostLRU, TTLCache, cached
from perfkit.testing import FakeClock


def square(number):
    return number * number


# -- limits


def test_a_limit_in_bytes_is_limit_enough():
    for cache in (FrequencyBoostLRU(max_bytes=1000), TTLCache(max_bytes=1000, ttl=5)):
        assert cache.maxsize is None
        cache.update((number, number) for number in range(100))
        assert 1 < len(cache) < 100


@pytest.mark.parametrize("make", [FrequencyBoostLRU, lambda: TTLCache(ttl=5), lambda: FrequencyBoostLRU(getsizeof=len)])
def test_a_cache_without_a_limit_says_which_there_are(make):
    with pytest.raises(TypeError, match=r"needs a limit: maxsize=1000 .* max_bytes='100MB' .* maxsize=None"):
        make()


def test_a_ttl_cache_without_a_ttl_says_what_to_write():
    with pytest.raises(TypeError, match="TTLCache needs a ttl in seconds, ttl=60"):
        TTLCache(10)


# -- arguments that need one another, or are of another kind


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"jitter": 0.1}, "jitter needs a ttl"),
        ({"sizeof": len}, "sizeof needs max_bytes="),
        ({"name": 5}, "name must be a string, not 5"),
        ({"ttl": "5m"}, "ttl must be a number of seconds or a timedelta, not '5m'"),
        ({"ttl": 10**400}, "that a float can hold; None is for ever"),
        ({"ttl": datetime.timedelta(0)}, "ttl must be more than 0 seconds"),
    ],
)
def test_arguments_of_a_cache(arguments, says):
    with pytest.raises((TypeError, ValueError), match=says):
        FrequencyBoostLRU(10, **arguments)


@pytest.mark.parametrize("tags", [0, "", "x", b"x", 5])
def test_tags_are_strings_in_something(tags):
    cache = FrequencyBoostLRU(10)
    for put in (cache.put, lambda key, value, tags: cache.get_or_load(key, lambda: value, tags=tags)):
        with pytest.raises(TypeError, match="tags must be"):
            put("a", 1, tags=tags)
    assert not cache


def test_no_tags():
    cache = FrequencyBoostLRU(10)
    cache.put("a", 1, tags=["t"])
    cache.put("a", 2, tags=None)
    assert cache.invalidate(tag="t") == 0


# -- what the decorators of others take


@pytest.mark.parametrize("maxsize", [None, 5, 5.0])
def test_maxsize_by_place(maxsize):
    with pytest.raises(TypeError, match=rf"takes keywords: @perfkit.cached\(maxsize={maxsize}\)"):
        cached(maxsize)


@pytest.mark.parametrize("cache", [FrequencyBoostLRU(10), cachetools.LRUCache(10), {}])
def test_a_cache_of_ones_own(cache):
    for wrong in (lambda: cached(cache), lambda: cached(cache=cache)):
        with pytest.raises(TypeError, match=r"makes the cache itself.*maxsize=100.*cachetools\.cached"):
            wrong()


@pytest.mark.parametrize("name", ["lock", "condition", "info"])
def test_what_is_not_needed(name):
    with pytest.raises(TypeError, match=f"takes no {name}=.*leave it out"):
        cached(**{name: None})


def test_what_is_unknown():
    with pytest.raises(TypeError, match=r"no argument 'max_size'; there are .*maxsize"):
        cached(max_size=5)


@pytest.mark.parametrize("wrong", [ValueError, [(ValueError, 5)], {(ValueError, OSError): 5}, {"ValueError": 5}])
def test_failures_to_keep_are_a_mapping(wrong):
    with pytest.raises(TypeError, match=r"error_ttl must be a dict .*\{TimeoutError: 5\}"):
        cached(error_ttl=wrong)


def test_any_mapping_of_failures_will_do():
    clock = FakeClock()

    @cached(error_ttl=types.MappingProxyType({ZeroDivisionError: datetime.timedelta(seconds=5)}), timer=clock)
    def inverse(number):
        asked.append(number)
        return 1 / number

    asked = []
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            inverse(0)
    assert asked == [0]
    clock.advance(5)
    with pytest.raises(ZeroDivisionError):
        inverse(0)
    assert asked == [0, 0]
