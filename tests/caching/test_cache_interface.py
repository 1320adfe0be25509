"""The interface of ``cachetools.Cache``, as its users know it: what that library's suite asks of its caches.

Each test runs on `FrequencyBoostLRU` and on `TTLCache`.
"""

import math
import pickle
import sys

import cachetools
import pytest

from perfkit.caching import FrequencyBoostLRU, TTLCache


class LongLived(TTLCache):
    def __init__(self, maxsize, ttl=math.inf, **options):
        super().__init__(maxsize, ttl, **options)


@pytest.fixture(params=[FrequencyBoostLRU, LongLived], ids=["FrequencyBoostLRU", "TTLCache"])
def kind(request):
    return request.param


def own_size(value):
    return value


def test_defaults(kind):
    cache = kind(maxsize=1)
    assert (len(cache), cache.maxsize, cache.currsize) == (0, 1, 0)
    assert [cache.getsizeof(value) for value in (None, "", 0)] == [1, 1, 1]
    assert repr(cache).startswith(kind.__name__)


@pytest.mark.parametrize("maxsize", [-1, -math.inf, math.nan])
def test_maxsize_below_zero_is_refused(kind, maxsize):
    with pytest.raises(ValueError, match="maxsize must be 0 or more"):
        kind(maxsize=maxsize)


def test_maxsize_zero_takes_nothing(kind):
    cache = kind(maxsize=0)
    with pytest.raises(ValueError, match="value too large"):
        cache[1] = 1
    assert (len(cache), cache.currsize) == (0, 0)


@pytest.mark.parametrize("maxsize", [math.inf, None])
def test_maxsize_infinite(kind, maxsize):
    cache = kind(maxsize=maxsize)
    cache.update((number, number) for number in range(1000))
    assert (len(cache), cache.currsize) == (1000, 1000)


def test_what_is_put_in_last_is_there(kind):
    cache = kind(maxsize=2)
    cache.update({1: 1, 2: 2})
    assert (len(cache), cache[1], cache[2]) == (2, 1, 2)
    for key in (3, 4):
        cache[key] = key
        assert (len(cache), cache[key]) == (2, key)


def test_update_replaces(kind):
    cache = kind(maxsize=2)
    cache.update({1: 1, 2: 2})
    cache.update({1: "a", 2: "b"})
    assert dict(cache) == {1: "a", 2: "b"}


def test_delete(kind):
    cache = kind(maxsize=2)
    cache.update({1: 1, 2: 2})
    del cache[2]
    assert dict(cache) == {1: 1}
    del cache[1]
    with pytest.raises(KeyError):
        del cache[1]
    assert 1 not in cache
    assert len(cache) == 0


def test_pop(kind):
    cache = kind(maxsize=2)
    cache.update({1: 1, 2: 2})
    assert (cache.pop(2), len(cache), cache.pop(1), len(cache)) == (2, 1, 1, 0)
    with pytest.raises(KeyError):
        cache.pop(1)
    assert cache.pop(1, None) is None


def test_popitem(kind):
    cache = kind(maxsize=2)
    cache.update({1: 1, 2: 2})
    assert {cache.popitem(), cache.popitem()} == {(1, 1), (2, 2)}
    with pytest.raises(KeyError) as raised:
        cache.popitem()
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_missing_is_asked_by_subscription_alone(kind):
    class Filling(kind):
        def __missing__(self, key):
            self[key] = key
            return key

    cache = Filling(maxsize=2)
    assert [cache[key] for key in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert len(cache) == 2
    assert 4 in cache
    assert (cache.get(4), cache.get(5), cache.get(5, 25)) == (4, None, 25)
    with pytest.raises(KeyError):
        cache.pop(5)
    assert (cache.pop(4), cache.pop(5, None)) == (4, None)
    assert cache.setdefault(9, 10) == cache.setdefault(9, 11) == cache[9] == 10


def test_missing_may_keep_nothing(kind):
    class Trying(kind):
        def __missing__(self, key):
            try:
                self[key] = key
            except ValueError:
                return key
            return key

    cache = Trying(maxsize=2, getsizeof=own_size)
    assert (cache[1], cache[2], cache[3]) == (1, 2, 3)
    assert (dict(cache), cache.currsize) == ({2: 2}, 2)


@pytest.mark.parametrize("how", ["argument", "method"])
def test_getsizeof(kind, how):
    class Sized(kind):
        @staticmethod
        def getsizeof(value):
            return value

    cache = Sized(maxsize=3) if how == "method" else kind(maxsize=3, getsizeof=own_size)
    assert [cache.getsizeof(size) for size in (1, 2, 3)] == [1, 2, 3]
    cache.update({1: 1, 2: 2})
    assert (len(cache), cache.currsize) == (2, 3)
    cache[1] = 2
    assert (dict(cache), cache.currsize) == ({1: 2}, 2)
    cache.update({1: 1, 2: 2})
    cache[3] = 3
    assert (dict(cache), cache.currsize) == ({3: 3}, 3)
    for key in (3, 4):
        with pytest.raises(ValueError, match="value too large"):
            cache[key] = 4
        assert (dict(cache), cache.currsize) == ({3: 3}, 3)


def test_growing_an_entry_reserves_the_difference(kind):
    cache = kind(maxsize=10, getsizeof=own_size)
    cache.update({3: 3, 4: 4})
    cache[4] = 7
    assert (dict(cache), cache.currsize) == ({3: 3, 4: 7}, 10)
    cache[4] = 9
    assert (dict(cache), cache.currsize) == ({4: 9}, 9)
    cache[4] = 1
    assert (dict(cache), cache.currsize) == ({4: 1}, 1)


def test_a_negative_size_is_refused(kind):
    cache = kind(maxsize=3, getsizeof=lambda value: -1)
    with pytest.raises(ValueError, match="0 or more"):
        cache[1] = 1
    assert (len(cache), cache.currsize) == (0, 0)


@pytest.mark.parametrize("options", [{}, {"getsizeof": own_size}])
def test_clear(kind, options):
    cache = kind(maxsize=10, **options)
    cache.update({1: 1, 2: 2})
    cache.clear()
    cache.clear()
    assert (len(cache), cache.currsize, 1 in cache) == (0, 0, False)
    for number in range(20):
        cache[number] = 1
    assert len(cache) == 10


@pytest.mark.parametrize("entries", [0, 1, sys.getrecursionlimit() * 2])
def test_pickle(kind, entries):
    cache = kind(maxsize=entries)
    cache.update((number, number) for number in range(entries))
    again = pickle.loads(pickle.dumps(cache))
    assert again == cache
    assert len(again) == entries
    if entries:
        again["new"] = "new"
        assert len(again) == entries
        assert again["new"] == "new"


def test_it_works_in_cachetools_decorators(kind):
    calls = []

    @cachetools.cached(kind(maxsize=2), info=True)
    def square(number):
        calls.append(number)
        return number * number

    class Counter:
        def __init__(self):
            self.cache = kind(maxsize=2)
            self.count = 0

        @cachetools.cachedmethod(lambda self: self.cache)
        def next(self, step):
            self.count += step
            return self.count

    assert [square(number) for number in (2, 2, 3, 2)] == [4, 4, 9, 4]
    assert calls == [2, 3]
    assert square.cache_info().hits == 2
    counter = Counter()
    assert [counter.next(1), counter.next(1), counter.next(2)] == [1, 1, 3]
