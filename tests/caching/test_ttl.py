"""How a ttl may be given, and what a function that gives one may return."""

import copy
import datetime
import math
import pickle

import pytest

from perfkit.caching import FrequencyBoostLRU, TTLCache, cached
from perfkit.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


def square(number):
    return number * number


def test_lives_may_be_timedeltas(clock):
    second = datetime.timedelta(seconds=1)
    cache = FrequencyBoostLRU(10, ttl=5 * second, timer=clock)
    cache["five"] = cache["two"] = 0
    cache.put("two", 0, ttl=2 * second)
    cache.get_or_load("three", int, ttl=3 * second)
    assert cache.ttl == 5
    for left in ({"five", "two", "three"}, {"five", "three"}, {"five"}, {"five"}, set()):
        clock.advance(1)
        assert set(cache) == left
    computed = TTLCache(10, lambda key, value: value * second, clock)
    computed.update({1: 1, 2: 2})
    clock.advance(1)
    assert set(computed) == {2}


def test_lives_of_a_functions_values_may_be_timedeltas(clock):
    minute = datetime.timedelta(minutes=1)
    made = cached(ttl=minute, stale_if_error=minute, timer=clock)(square)
    made(2)
    clock.advance(59)
    assert made(2) == 4
    assert made.cache_info().hits == 1
    assert (made.cache_parameters()["ttl"], made.cache_parameters()["stale_if_error"]) == (60, 60)


def a_life(key, value):
    return value


def test_a_function_that_gives_lives_is_shown_as_it_was_given():
    assert TTLCache(10, a_life).ttl is a_life
    made = cached(ttl=a_life)(square)
    assert made.cache_parameters()["ttl"] is made.cache.ttl is a_life


WRONG_LIVES = {
    math.nan: "must be more than 0 seconds, not nan",
    -1: "must be more than 0 seconds, not -1",
    -math.inf: "must be more than 0 seconds, not -inf",
    10**400: "that a float can hold",
    True: "not True",
    False: "not False",
    "5m": "a number of seconds or a timedelta, not '5m'",
}


@pytest.mark.parametrize("life", WRONG_LIVES, ids=lambda life: f"{life!r:.5}")
@pytest.mark.parametrize("aging", [{}, {"refresh_ahead": 0.5, "stale_if_error": 5}])
def test_a_computed_life_that_is_none(life, aging, clock):
    cache = FrequencyBoostLRU(10, ttl=lambda key, value: life if key == "bad" else 5, timer=clock)
    made = cached(ttl=lambda key, value: life if key == "bad" else 5, timer=clock, **aging)(str.upper)
    cache["good"] = made("good")
    ways = [
        lambda: cache.__setitem__("bad", 1),
        lambda: cache.put("bad", 1),
        lambda: cache.setdefault("bad", 1),
        lambda: cache.get_or_load("bad", int),
        lambda: made("bad"),
    ]
    for way in ways:
        with pytest.raises((TypeError, ValueError), match=rf"what ttl\(key, value\) returns.*{WRONG_LIVES[life]}"):
            way()
    assert (list(cache), list(made.cache)) == (["good"], ["good"])
    clock.advance(5)
    assert not cache
    clock.advance(5)
    assert not made.cache


@pytest.mark.parametrize("nothing", [0, 0.0, datetime.timedelta(0)])
def test_a_computed_life_of_nothing_is_not_to_be_kept(nothing):
    cache = TTLCache(10, lambda key, value: nothing)
    cache["a"] = 1
    assert "a" not in cache
    made = cached(ttl=lambda key, value: nothing)(square)
    assert (made(3), made.cache_info().currsize) == (9, 0)


def test_copies_compute_lives_too():
    cache = TTLCache(10, a_life)
    for again in (copy.copy(cache), pickle.loads(pickle.dumps(cache))):
        assert again.ttl is a_life
        again["a"] = 5
        with pytest.raises(ValueError, match="must be more than 0 seconds, not -5"):
            again["b"] = -5
        assert list(again) == ["a"]
