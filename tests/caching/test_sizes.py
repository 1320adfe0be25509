"""Sizes that users' functions give: what they may be, and that their sums are exact."""

import dataclasses
import decimal
import math
import random

import pytest

from perfkit.caching import FrequencyBoostLRU, cached
from perfkit.caching.sizing import deep_size


def of_units(size, limit):
    return FrequencyBoostLRU(limit, getsizeof=lambda value: size if value == "odd" else 1)


def of_bytes(size, limit):
    return FrequencyBoostLRU(
        max_bytes=None if limit == math.inf else limit, sizeof=lambda thing: size if thing == "odd" else 1
    )


@pytest.mark.parametrize("make", [of_units, of_bytes])
@pytest.mark.parametrize(
    ("size", "error", "says"),
    [
        ("5", TypeError, "must return a number, 0 or more, not '5'"),
        (None, TypeError, "must return a number, 0 or more, not None"),
        (1j, TypeError, "must return a number"),
        (-1, ValueError, "returned -1; a size is 0 or more"),
        (-0.5, ValueError, "returned -0.5"),
        (math.nan, ValueError, "returned nan"),
        (math.inf, ValueError, "value too large"),
        (10**400, ValueError, "value too large"),
        (1e300, ValueError, "value too large"),
        (10.5, ValueError, "value too large"),
    ],
    ids=lambda given: f"{given!r:.9}",
)
def test_a_size_that_is_none_changes_nothing(make, size, error, says):
    cache = make(size, 10)
    cache["old"] = "fine"
    before = cache.stats()
    for put in (cache.__setitem__, cache.put, cache.setdefault):
        with pytest.raises(error, match=says):
            put("new", "odd")
    with pytest.raises(error, match=says):
        cache["old"] = "odd"
    assert list(cache.items()) == [("old", "fine")]
    after = cache.stats()
    assert after.refused == (4 if says == "value too large" else 0)
    assert dataclasses.replace(after, refused=0) == before


def test_what_is_infinite_is_too_large_where_there_is_no_limit_too():
    cache = of_units(math.inf, math.inf)
    with pytest.raises(ValueError, match="value too large"):
        cache["new"] = "odd"
    assert cache.get_or_load("new", lambda: "odd") == "odd"
    assert cache.currsize == 0


@pytest.mark.parametrize("size", [decimal.Decimal("2.5"), 2.5])
def test_numbers_of_other_kinds(size):
    cache = of_units(size, 10)
    cache["new"] = "odd"
    assert cache.currsize == 2.5


def test_sums_do_not_drift():
    cache = FrequencyBoostLRU(100, getsizeof=float)
    rng = random.Random(5)
    for _ in range(2000):
        cache[rng.randrange(300)] = rng.choice([0.1, 0.7, 1 / 3, 2.0, 1e-9, 40])
        assert math.isclose(cache.currsize, math.fsum(cache.values()), rel_tol=1e-15)
        assert cache.currsize <= 100
    for key in list(cache):
        del cache[key]
    assert cache.currsize == 0


def test_a_size_once_added_and_removed_leaves_nothing():
    cache = FrequencyBoostLRU(1, getsizeof=lambda value: 0.1)
    cache["stays"] = None
    for key in range(1000):
        cache[key] = None
        del cache[key]
    assert cache.currsize == 0.1


def test_fractions_of_bytes_are_whole_bytes():
    cache = FrequencyBoostLRU(max_bytes=100, sizeof=lambda thing: 0.1)
    for key in range(5):
        cache[key] = None
    assert cache.stats().bytes == 10
    cache.clear()
    assert cache.stats().bytes == 0


class Awkward:
    def __repr__(self):
        raise RuntimeError("no repr")

    @property
    def nbytes(self):
        raise RuntimeError("no nbytes")


def test_a_value_is_returned_however_awkward_it_or_its_key_is():
    @cached(max_bytes=200)
    def double(key):
        return [key] * 1000

    key = Awkward()
    assert double(key)[0] is key
    assert double(1) == [1] * 1000
    assert deep_size(key) > 0


def test_the_message_about_a_large_key_is_short():
    for key in (b"0" * 1_000_000, "0" * 1_000_000, Awkward()):
        with pytest.raises(ValueError, match="too large") as caught:
            FrequencyBoostLRU(max_bytes=10)[key] = 1
        assert len(str(caught.value)) < 500
