"""Keys whose own code uses the cache, raises, or lies: nobody hangs, and what is counted agrees with what is there."""

import random
import threading

import pytest

from perfkit.caching import FrequencyBoostLRU, cached


class Key:
    """A key with the hash of many others, whose comparison can be told to do something first."""

    def __init__(self, name, bucket=1):
        self.name, self.bucket = name, bucket
        self.act = None

    def __hash__(self):
        return self.bucket

    def __eq__(self, other):
        act, self.act = self.act, None
        if act is not None:
            act()
        return isinstance(other, Key) and self.name == other.name

    def __repr__(self):
        return f"Key({self.name})"


def agrees(cache):
    """Check that policy, dictionary and sums tell the same."""
    store = cache._store
    entries = list(store._policy.entries())
    assert len(store._policy) == len(entries) == len(store.data)
    assert {id(entry) for entry in entries} == {id(entry) for entry in store.data.values()}
    if store._weigh is not None:
        assert store.size == sum(entry[5] for entry in entries)


def in_time(function, seconds=20):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return outcome[0]


def test_a_key_that_loads_while_it_is_compared():
    cache = FrequencyBoostLRU(8)
    old, new = Key("old"), Key("new")
    cache[old] = 1
    new.act = old.act = lambda: cache.get_or_load(Key("new"), lambda: "inner")
    assert in_time(lambda: cache.get_or_load(new, lambda: "outer")) in ("inner", "outer")
    agrees(cache)


@pytest.mark.parametrize("maxsize", [2, 8])
def test_an_equal_key_is_put_while_one_is(maxsize):
    cache = FrequencyBoostLRU(maxsize)
    first = Key("first")
    cache[first] = 1
    for _ in range(4):
        first.act = lambda: cache.put(Key("second"), "inner")
        cache[Key("second")] = "outer"
        agrees(cache)
        first.act = lambda: cache.put(Key("third"), 3)
        cache.get(Key("second"))
        agrees(cache)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("options", [{"maxsize": 6}, {"maxsize": 50, "getsizeof": lambda value: value % 7}])
def test_keys_that_use_the_cache_whenever_they_are_compared(seed, options):
    chance = random.Random(seed)
    told = []
    cache = FrequencyBoostLRU(**options, ttl=100, on_evict=lambda *what: told.append(what))
    keys = [Key(number, number % 3) for number in range(20)]

    def put(key):
        cache.put(key, chance.randrange(100), tags=["odd"])

    acts = [
        lambda: put(chance.choice(keys)),
        lambda: cache.pop(chance.choice(keys), None),
        lambda: cache.get(chance.choice(keys)),
        lambda: cache.shrink(fraction=0.5),
        lambda: cache.invalidate(tag="odd") if chance.random() < 0.1 else None,
        cache.expire,
    ]
    for _ in range(400):
        chance.choice(keys).act = chance.choice(acts)
        try:
            chance.choice(acts)()
        except KeyError:
            pass
        agrees(cache)
    cache.clear()
    for key in keys:
        key.act = None
    for key in keys:
        cache[key] = 1
    assert 0 < len(cache) <= 20
    agrees(cache)


class Turncoat:
    """A key that can be told to have no hash any more."""

    def __init__(self, number):
        self.number = number
        self.is_bad = False

    def __hash__(self):
        if self.is_bad:
            raise RuntimeError("no hash")
        return self.number


@pytest.mark.parametrize("bad", [1, 5, 9])
def test_what_can_not_be_found_any_more_leaves_with_its_tags_and_is_told_of(bad):
    told = []
    cache = FrequencyBoostLRU(10, ttl=100, on_evict=lambda key, value, cause: told.append((key.number, cause)))
    keys = [Turncoat(number) for number in range(10)]
    for key in keys:
        cache.put(key, key.number, tags=["t"])
    for key in keys[:bad]:
        key.is_bad = True
    for number in range(10, 40):
        cache.put(Turncoat(number), number)
    agrees(cache)
    alive = [key.number for key in cache]
    assert sorted([number for number, _ in told] + alive) == list(range(40))
    assert {entry[2].number for entry in cache._store.carriers(["t"])} == {number for number in alive if number < 10}
    cache.shrink(fraction=1.0)
    agrees(cache)
    assert len(cache) == 0
    assert sorted(number for number, _ in told) == list(range(40))
    assert cache._store.carriers(["t"]) == []


def test_hits_counted_by_a_reader_that_was_overtaken_bring_nothing_back():
    """A reader takes no lock: it may count its hit after another thread has removed the entry."""
    cache = FrequencyBoostLRU(10)
    for number in range(10):
        cache[number] = number
    for _ in range(3):
        for number in range(10):
            cache.get(number)
    for number in range(10, 20):
        cache[number] = number
    entries = {key: cache._store.data[key] for key in cache}
    for key in list(cache)[::2]:
        del cache[key]
        entries[key][1] += 3  # the overtaken readers
    for number in range(100, 200):
        cache[number] = number
        agrees(cache)
    assert len(cache) == 10


def test_keys_that_can_not_be_compared():
    class Bad(Key):
        __hash__ = Key.__hash__

        def __eq__(self, other):
            raise ValueError("not comparable")

    cache = FrequencyBoostLRU(3)
    cache[Key("a")] = 1
    with pytest.raises(ValueError, match="not comparable"):
        cache.get(Bad("b"))
    with pytest.raises(ValueError, match="not comparable"):
        cache[Bad("b")] = 2
    agrees(cache)
    function = cached(lambda key: key.name)
    function(Key("a"))
    with pytest.raises(ValueError, match="not comparable"):
        function(Bad("b"))
    assert function(Key("c")) == "c"
    assert not function.cache._store.flights
