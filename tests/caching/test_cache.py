"""What `FrequencyBoostLRU` has beyond a mapping: lives, sizes, tags, loads, callbacks, copies; and bad company."""

import copy
import gc
import logging
import math
import pickle
import random
import threading
import weakref

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import perfkit
from perfkit.caching import FrequencyBoostLRU, TTLCache
from perfkit.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def gone():
    return []


@pytest.fixture
def noting(gone):
    return lambda *evicted: gone.append(evicted)


# -- lives


def test_an_entry_lives_as_long_as_the_cache_says(clock):
    cache = FrequencyBoostLRU(10, ttl=5, timer=clock)
    cache["a"] = 1
    assert cache.expires_at("a") == clock() + 5
    clock.advance(4.999)
    assert (cache["a"], cache.get("a"), "a" in cache, len(cache), list(cache)) == (1, 1, True, 1, ["a"])
    clock.advance(0.001)
    assert (cache.get("a"), "a" in cache, len(cache), list(cache), cache.currsize) == (None, False, 0, [], 0)
    for look in (cache.__getitem__, cache.expires_at, cache.pop, cache.__delitem__):
        with pytest.raises(KeyError):
            look("a")


def test_an_entry_may_have_a_life_of_its_own(clock):
    cache = FrequencyBoostLRU(10, ttl=5, timer=clock)
    cache.put("short", 1, ttl=1)
    cache.put("for ever", 2, ttl=None)
    cache.put("as all", 3)
    assert [cache.expires_at(key) for key in ("short", "for ever", "as all")] == [clock() + 1, None, clock() + 5]
    clock.advance(1)
    assert set(cache) == {"for ever", "as all"}
    clock.advance(10**9)
    assert dict(cache) == {"for ever": 2}


def test_a_computed_life(clock):
    cache = FrequencyBoostLRU(10, ttl=lambda key, value: None if value is None else len(value), timer=clock)
    cache.update({"a": "xx", "b": "xxxx", "c": None})
    clock.advance(2)
    assert set(cache) == {"b", "c"}


def test_putting_in_again_begins_a_new_life(clock):
    cache = TTLCache(10, 5, clock)
    cache["a"] = 1
    clock.advance(4)
    cache["a"] = 2
    clock.advance(4)
    assert cache["a"] == 2
    cache.put("a", 3, ttl=1)
    clock.advance(1)
    assert "a" not in cache


def test_jitter_shortens_lives_and_never_lengthens_them(clock):
    cache = FrequencyBoostLRU(1000, ttl=100, jitter=0.2, timer=clock)
    cache.update(dict.fromkeys(range(1000)))
    lives = [cache.expires_at(key) - clock() for key in cache]
    assert 80 <= min(lives) < 85
    assert 95 < max(lives) <= 100
    cache.put("exact", 1, ttl=100)
    assert cache.expires_at("exact") == clock() + 100


def test_the_expired_make_room_before_the_living(clock):
    cache = FrequencyBoostLRU(3, timer=clock)
    cache.put("dead", 1, ttl=1)
    cache.update({"a": 1, "b": 2})
    clock.advance(1)
    cache["c"] = 3
    assert set(cache) == {"a", "b", "c"}
    assert (cache.stats().expired, cache.stats().evicted) == (1, 0)


def test_what_has_expired_is_let_go_without_anybody_asking_for_it(clock):
    class Value:
        pass

    cache = FrequencyBoostLRU(10, ttl=1, timer=clock)
    value = Value()
    reference = weakref.ref(value)
    cache["a"] = value
    del value
    clock.advance(1)
    for number in range(50):  # its place is given up with others'
        cache.put(number, number, ttl=0.5)
        clock.advance(0.5)
    gc.collect()
    assert reference() is None


def test_refreshing_one_key_for_ever_takes_no_more_room(clock):
    cache = FrequencyBoostLRU(10, ttl=100, timer=clock)
    for number in range(10_000):
        cache["a"] = 1
        cache.put("b", 1, ttl=50 + number % 7)
        clock.advance(0.001)
    assert len(cache._store._deadlines) < 200


def test_what_was_evicted_is_let_go_long_before_it_would_have_expired():
    class Value:
        alive = 0

        def __init__(self):
            Value.alive += 1

        def __del__(self):
            Value.alive -= 1

    cache = FrequencyBoostLRU(100, ttl=10**6, jitter=0.5)
    for number in range(5000):
        cache[number] = Value()
    assert Value.alive < 300


# -- sizes


def test_max_bytes_counts_keys_and_values():
    cache = FrequencyBoostLRU(None, max_bytes="100kB")
    for number in range(100):
        cache[f"key {number}"] = bytes(4000)
    assert 20 <= len(cache) < 25
    assert 90_000 < cache.stats().bytes <= 100_000
    with pytest.raises(ValueError, match="value too large"):
        cache["huge"] = bytes(200_000)
    with pytest.raises(ValueError, match="value too large"):
        cache[bytes(200_000)] = "small"
    assert "huge" not in cache


def test_max_bytes_looks_into_containers_and_believes_nbytes():
    class Array:
        nbytes = 50_000

    cache = FrequencyBoostLRU(None, max_bytes=10**6)
    cache["nested"] = {"rows": [bytes(10_000) for _ in range(5)]}
    first = cache.stats().bytes
    cache["array"] = Array()
    assert 50_000 < first < 53_000
    assert 50_000 < cache.stats().bytes - first < 53_000
    loop = []
    loop.append(loop)
    cache["loop"] = loop


def test_both_limits_hold():
    cache = FrequencyBoostLRU(5, max_bytes=10_000, sizeof=lambda thing: 1000 if thing == "value" else 1)
    for key in range(20):
        cache[key] = "value"
    assert (len(cache), cache.stats().bytes) == (5, 5005)
    for key in range(20):
        cache[key] = "value" if key % 2 else "small"
        assert len(cache) <= 5
        assert cache.stats().bytes <= 10_000


def test_a_cache_bound_by_bytes_alone_fills_up_again_when_things_get_smaller():
    cache = FrequencyBoostLRU(None, max_bytes=1000, sizeof=lambda thing: thing if isinstance(thing, int) else 0)
    for number in range(50):
        cache[f"large {number}"] = 100
    assert len(cache) == 10
    for key in list(cache):
        del cache[key]
    for number in range(200):
        cache[f"small {number}"] = 10
    assert len(cache) == 100
    assert cache.stats().bytes == 1000


def test_getsizeof_and_max_bytes_are_two_measures():
    with pytest.raises(ValueError, match="can't both be the measure"):
        FrequencyBoostLRU(10, len, max_bytes=100)


# -- what leaves, and why


def test_on_evict_is_told_what_left_and_why(clock, gone, noting):
    cache = FrequencyBoostLRU(2, ttl=5, timer=clock, on_evict=noting)
    cache.update({"a": 1, "b": 2})
    cache["a"] = 10
    del cache["a"]
    cache["c"] = 3
    cache["d"] = 4
    clock.advance(5)
    assert len(cache) == 0
    cache["e"] = 5
    cache.clear()
    (replaced, deleted, evicted), rest = gone[:3], gone[3:]
    assert (replaced, deleted) == (("a", 1, "replaced"), ("a", 10, "deleted"))
    assert evicted[2] == "size"
    assert sorted(cause for *_, cause in rest) == ["cleared", "expired", "expired"]
    figures = cache.stats()
    assert (figures.replaced, figures.deleted, figures.evicted, figures.expired, figures.cleared) == (1, 1, 1, 2, 1)


def test_on_evict_is_called_outside_the_lock():
    def from_another_thread(key, value, cause):
        thread = threading.Thread(target=lambda: seen.append(cache.get("b")))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()

    seen = []
    cache = FrequencyBoostLRU(2, on_evict=from_another_thread)
    cache.update({"a": 1, "b": 2})
    del cache["a"]
    cache["b"] = 3
    cache.shrink(fraction=1)
    assert seen == [2, 3, None]


def test_what_on_evict_raises_is_logged_and_reaches_nobody(caplog):
    def bad(key, value, cause):
        raise RuntimeError("my fault")

    cache = FrequencyBoostLRU(1, on_evict=bad)
    with caplog.at_level(logging.ERROR, "perfkit.caching"):
        cache.update({"a": 1, "b": 2})
    assert dict(cache) == {"b": 2}
    assert "my fault" in caplog.text


# -- tags and patterns


def test_invalidate_by_tag():
    cache = FrequencyBoostLRU(10)
    cache.put("a", 1, tags=["users"])
    cache.put("b", 2, tags=["users", "admins"])
    cache.put("c", 3, tags=["admins"])
    cache["d"] = 4
    assert cache.invalidate(tag="users") == 2
    assert dict(cache) == {"c": 3, "d": 4}
    cache["c"] = 5  # has no tags any more
    assert cache.invalidate(tag=["admins", "users"]) == 0


def test_invalidate_by_pattern():
    cache = FrequencyBoostLRU(10)
    cache.update({"user:1": 1, "user:2": 2, "group:1": 3, "User:3": 4, ("user:", 1): 5})
    assert cache.invalidate(match="user:*") == 2
    assert set(cache) == {"group:1", "User:3", ("user:", 1)}


@pytest.mark.parametrize("bad", [{}, {"tag": 3}, {"tag": [3]}, {"match": 3}])
def test_invalidate_says_what_it_takes(bad):
    with pytest.raises(TypeError, match=r"tag|match"):
        FrequencyBoostLRU(10).invalidate(**bad)


def test_tags_must_be_strings():
    for tags in ("users", [1], 5):
        with pytest.raises(TypeError, match="tags must be"):
            FrequencyBoostLRU(10).put("a", 1, tags=tags)


def test_tags_take_no_more_room_than_entries():
    cache = FrequencyBoostLRU(10)
    for number in range(1000):
        cache.put(number, number, tags=[f"tag {number}"])
    assert len(cache._store._tags._tags) == len(cache._store._tags._entries) == 10


# -- shrinking


def test_shrink_by_a_fraction_goes_by_policy():
    cache = FrequencyBoostLRU(100)
    cache.update(dict.fromkeys(range(100)))
    for _ in range(3):
        [cache.get(key) for key in range(50, 60)]
    assert cache.shrink(fraction=0.5) == 50
    assert len(cache) == 50
    assert set(range(50, 60)) <= set(cache)
    assert cache.shrink(fraction=0) == 0
    assert cache.shrink(fraction=1) == 50


def test_shrink_to_bytes():
    cache = FrequencyBoostLRU(None, max_bytes=10**6)
    cache.update({number: bytes(10_000) for number in range(50)})
    cache.shrink(to_bytes="100kB")
    assert 80_000 < cache.stats().bytes <= 100_000


@pytest.mark.parametrize("bad", [{}, {"fraction": 0.5, "to_bytes": 5}, {"fraction": 2}, {"fraction": "half"}])
def test_shrink_says_what_it_takes(bad):
    with pytest.raises((TypeError, ValueError), match="fraction"):
        FrequencyBoostLRU(10).shrink(**bad)
    with pytest.raises(ValueError, match="max_bytes"):
        FrequencyBoostLRU(10).shrink(to_bytes=5)


@pytest.mark.parametrize("options", [{}, {"max_bytes": 10**7}])
def test_reclaim_gives_back_about_what_is_asked_for(options):
    cache = FrequencyBoostLRU(1000, **options)
    cache.update({number: bytes(1000) for number in range(1000)})
    reclaimed = cache.reclaim(100_000)
    assert 90_000 < reclaimed < 200_000
    assert 800 < len(cache) < 950
    cache.reclaim(10**12)
    assert len(cache) == 0
    assert cache.reclaim(1) == 0


# -- figures


def test_stats_count_reads_and_not_looks():
    cache = FrequencyBoostLRU(3, name="mine")
    cache.update({"a": 1, "b": 2})
    cache["a"], cache.get("a"), cache.get("x"), cache.setdefault("b", 0)
    with pytest.raises(KeyError):
        cache["y"]
    "a" in cache, dict(cache.items()), list(cache.values()), list(cache)
    figures = cache.stats()
    assert (figures.name, figures.hits, figures.misses, figures.size, figures.maxsize) == ("mine", 3, 2, 2, 3)
    assert figures.hit_ratio == 0.6
    assert any(snapshot.stats == figures for snapshot in perfkit.stats())


def test_hits_are_not_lost_with_what_leaves():
    cache, dice, hits = FrequencyBoostLRU(20), random.Random(3), 0
    for number in range(5000):
        key = int(dice.paretovariate(1))
        if cache.get(key) is not None:
            hits += 1
        else:
            cache[key] = 1
        if number % 50 == 0:
            cache.pop(key, None)
        if number % 1000 == 999:
            cache.clear()
    assert cache.stats().hits == hits
    assert cache.stats().misses == 5000 - hits


# -- copies


shared_clock = FakeClock()


def shared_time():
    return shared_clock()


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_copies_have_what_is_left_to_live(again):
    clock = shared_clock
    cache = TTLCache(10, 5, shared_time, name="original")
    cache.put("a", [1], tags=["t"])
    cache.put("b", [2], ttl=None)
    clock.advance(2)
    twin = again(cache)
    assert dict(twin) == dict(cache)
    assert (twin["a"] is cache["a"]) is (again is copy.copy)
    assert twin.expires_at("a") == clock() + 3
    twin["c"] = 3
    assert "c" not in cache
    assert (twin.maxsize, twin.ttl, twin.name) == (10, 5, "original")
    assert twin.invalidate(tag="t") == 1
    clock.advance(3)
    assert set(twin) == {"b", "c"}


def test_a_copy_evicts_as_the_original_would():
    cache = FrequencyBoostLRU(50)
    for key in random.Random(5).choices(range(100), k=500):
        cache.get(key) or cache.put(key, key)
    twin = copy.copy(cache)
    order = [[entry[2] for entry in one._store._policy.entries()] for one in (cache, twin)]
    assert order[0] == order[1]
    assert len(twin._store._policy.main) == len(cache._store._policy.main) > 0


# -- keys that misbehave


class Key:
    """A key that raises, or does something else, when it is asked."""

    def __init__(self, name, on_eq=None, on_hash=None):
        self.name, self.on_eq, self.on_hash = name, on_eq, on_hash

    def __hash__(self):
        if self.on_hash:
            self.on_hash()
        return 7

    def __eq__(self, other):
        if self.on_eq:
            self.on_eq()
        return isinstance(other, Key) and self.name == other.name


def refuse():
    raise ZeroDivisionError("not today")


def test_a_key_that_raises_gets_its_own_error_and_harms_no_other():
    cache = FrequencyBoostLRU(5)
    cache[Key("good")] = "good"
    cache["other"] = "other"
    bad = Key("bad", on_hash=refuse)
    for operation in (cache.get, cache.__getitem__, cache.__contains__, lambda key: cache.put(key, 1), cache.pop):
        with pytest.raises(ZeroDivisionError):
            operation(bad)
    resident = Key("bad")
    cache[resident] = "resident"
    resident.on_eq = refuse
    for operation in (cache.get, cache.__getitem__, cache.__contains__, lambda key: cache.put(key, 1), cache.pop):
        with pytest.raises(ZeroDivisionError):
            operation(Key("new"))
    assert (cache[Key("good")], cache["other"], cache[resident], len(cache)) == ("good", "other", "resident", 3)


@pytest.mark.parametrize("which", ["on_eq", "on_hash"])
def test_keys_that_turn_bad_can_still_be_evicted(which):
    cache = FrequencyBoostLRU(5)
    keys = [Key(number) for number in range(5)]
    for key in keys:
        cache[key] = key.name
    for key in keys:
        setattr(key, which, refuse)
    for number in range(100, 120):
        cache[number] = number
    assert len(cache) == 5
    assert cache.shrink(fraction=1) == 5
    assert (len(cache), cache._store.data) == (0, {})


def test_a_key_that_uses_the_cache_is_answered():
    cache = FrequencyBoostLRU(3)
    inside = []

    def use():
        if not inside:
            inside.append(True)
            cache[f"inside {len(cache)}"] = 1
            cache.get("a")
            cache.pop("a", None)
            inside.clear()

    for number in range(30):
        cache[Key(number, on_eq=use, on_hash=use)] = number
        cache["a"] = 1
        assert len(cache) <= 3 + 1
    cache.shrink(fraction=1)
    assert len(cache) == 0


def test_a_value_whose_end_uses_the_cache_finds_it_unlocked():
    class Value:
        def __del__(self):
            thread = threading.Thread(target=lambda: done.append(cache.get("x")))
            thread.start()
            thread.join(10)
            assert not thread.is_alive()

    done = []
    cache = FrequencyBoostLRU(2)
    for key in "abc":
        cache[key] = Value()
    for key in "xyz":
        cache[key] = 1
    gc.collect()
    assert len(done) == 3


def test_iterating_goes_over_what_was_there():
    cache = FrequencyBoostLRU(10)
    cache.update(dict.fromkeys(range(10)))
    seen = []
    for key in cache:
        seen.append(key)
        cache.pop(key)
        cache[key + 100] = None
    assert sorted(seen) == list(range(10))


# -- arguments


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"maxsize": "10"}, "maxsize must be a number of entries"),
        ({"maxsize": True}, "maxsize must be a number of entries"),
        ({"ttl": 0}, "ttl must be more than 0 seconds"),
        ({"ttl": -1}, "ttl must be more than 0 seconds"),
        ({"ttl": math.nan}, "ttl must be more than 0 seconds"),
        ({"ttl": "5"}, "ttl must be a number of seconds"),
        ({"jitter": 1}, "jitter must be a fraction"),
        ({"jitter": "much"}, "jitter must be a fraction"),
        ({"max_bytes": 0}, "max_bytes must be at least 1 byte"),
        ({"max_bytes": "many"}, "max_bytes must be"),
        ({"on_evict": 3}, "on_evict must be a function"),
        ({"sizeof": 3}, "sizeof must be a function"),
        ({"getsizeof": 3}, "getsizeof must be a function"),
        ({"timer": 3}, "timer must be a function"),
    ],
)
def test_arguments_that_are_not_allowed(arguments, says):
    with pytest.raises((TypeError, ValueError), match=says):
        FrequencyBoostLRU(**{"maxsize": 10} | arguments)


def test_a_life_of_nothing_is_refused():
    for ttl in (0, -5):
        with pytest.raises(ValueError, match="ttl must be more than 0 seconds"):
            FrequencyBoostLRU(10).put("a", 1, ttl=ttl)
    with pytest.raises(TypeError, match="TTLCache needs a ttl"):
        TTLCache(10, None)


# -- against a dictionary, with all of it at once


class Machine(RuleBasedStateMachine):
    """Whatever is done to it, the cache says nothing that a dictionary with the same history would not."""

    keys = st.integers(0, 12)

    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.left = []
        self.cache = FrequencyBoostLRU(8, timer=self.clock, on_evict=lambda *gone: self.left.append(gone))
        self.model = {}  # what may be there: key -> value and when it expires

    @rule(key=keys, ttl=st.one_of(st.none(), st.integers(1, 5)), tag=st.sampled_from([(), ("x",), ("x", "y")]))
    def put(self, key, ttl, tag):
        value = object()
        self.cache.put(key, value, ttl=ttl, tags=tag)
        self.model[key] = value, math.inf if ttl is None else self.clock() + ttl, tag
        assert self.cache[key] is value

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds):
        self.clock.advance(seconds)

    @rule(key=keys)
    def pop(self, key):
        was_there = key in self.cache
        assert (self.cache.pop(key, None) is not None) is was_there
        self.model.pop(key, None)

    @rule(tag=st.sampled_from("xy"))
    def invalidate(self, tag):
        self.cache.invalidate(tag=tag)
        self.model = {key: held for key, held in self.model.items() if tag not in held[2]}

    @rule(fraction=st.sampled_from([0, 0.3, 1]))
    def shrink(self, fraction):
        self.cache.shrink(fraction=fraction)

    @rule()
    def clear(self):
        self.cache.clear()
        self.model.clear()

    @rule()
    def copy(self):
        self.cache = copy.copy(self.cache)

    @invariant()
    def nothing_is_made_up(self):
        living = {key: value for key, (value, expires, _) in self.model.items() if expires > self.clock()}
        there = dict(self.cache)
        assert there.items() <= living.items()
        assert len(self.cache) == len(there) <= 8
        assert all(self.cache.get(key) is value for key, value in there.items())
        assert not set(map(id, there.values())) & {id(value) for _, value, _ in self.left}


TestCache = Machine.TestCase


def test_reclaim_measures_bytes_where_the_cache_counts_in_other_units():
    cache = FrequencyBoostLRU(10_000, getsizeof=lambda value: 1)
    for number in range(1000):
        cache[number] = bytes(10_000)
    assert cache.reclaim(100_000) >= 100_000
    assert 980 <= len(cache) <= 995


@pytest.mark.parametrize("option", ["on_evict", "ttl", "getsizeof"])
def test_setdefault_calls_nobody_under_the_lock(option):
    """Or a lock of the caller's own, held by one who waits for the cache, would be the end of both."""
    free = []

    def try_lock():
        free.append(cache._store.lock.acquire(timeout=5))
        if free[-1]:
            cache._store.lock.release()

    def is_free(*_):
        thread = threading.Thread(target=try_lock)
        thread.start()
        thread.join()
        return 1

    cache = FrequencyBoostLRU(1, **{option: is_free})
    cache.setdefault("a", 1)
    cache.setdefault("b", 2)
    assert free
    assert all(free)


def test_setdefault_leaves_what_came_meanwhile():
    def ttl(key, value):
        if value == "mine":
            cache[key] = "theirs"
        return 10

    cache = FrequencyBoostLRU(2, ttl=ttl)
    assert cache.setdefault("key", "mine") == "theirs"
    assert cache["key"] == "theirs"


def test_a_life_of_nothing_costs_nobody_his_place():
    told = []
    cache = FrequencyBoostLRU(1, ttl=lambda key, value: value, on_evict=lambda *args: told.append(args))
    cache["a"] = 10
    cache["b"] = 0
    assert dict(cache.items()) == {"a": 10}
    cache["a"] = 0
    assert cache.setdefault("a", 0) == 0
    assert told == [("a", 10, "deleted")]
    figures = cache.stats()
    assert (figures.refused, figures.evicted, figures.expired) == (3, 0, 0)


def test_what_has_expired_is_told_though_the_key_asked_for_has_no_hash():
    told = []
    cache = FrequencyBoostLRU(3, ttl=1, timer=FakeClock(), on_evict=lambda *args: told.append(args))
    cache["a"] = 1
    cache.timer.advance(2)
    with pytest.raises(TypeError, match="unhashable"):
        cache.pop([])
    assert len(cache) == 0
    assert told == [("a", 1, "expired")]
