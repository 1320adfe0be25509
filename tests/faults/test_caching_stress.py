"""Many threads at once, and many operations: nothing is corrupted, nothing is made up, and memory stays flat."""

import os
import random
import sys
import threading

import pytest

from perfkit.caching import FrequencyBoostLRU, cached
from perfkit.caching.entry import HITS, KEY

THREADS = 16


@pytest.fixture(autouse=True)
def switching_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def all_at_once(work, count=THREADS):
    errors = []
    together = threading.Barrier(count)

    def run(number):
        together.wait()
        try:
            work(random.Random(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it hangs"
    assert not errors, errors


def consistent(cache):
    """Assert that dictionary, policy and sums agree."""
    store = cache._store
    cache.expire()
    living = list(store._policy.entries())
    assert len(living) == len(store.data) == len({id(entry) for entry in living})
    assert all(store.data[entry[KEY]] is entry for entry in living)
    assert not store.flights
    assert cache.stats().hits >= sum(entry[HITS] for entry in living)
    if cache.max_bytes is not None:
        assert store.size == sum(entry[5] for entry in living) <= cache.max_bytes


OPERATIONS = [
    lambda cache, key: cache.put(key, (key,)),
    lambda cache, key: cache.put(key, (key,), tags=[f"tag {key % 3}"]),
    lambda cache, key: cache.pop(key, None),
    lambda cache, key: cache.setdefault(key, (key,)),
    lambda cache, key: cache.get_or_load(key, lambda: (key,)),
    lambda cache, key: list(cache),
    lambda cache, key: len(cache),
    lambda cache, key: cache.invalidate(tag=f"tag {key % 3}"),
    lambda cache, key: cache.shrink(fraction=0.2),
    lambda cache, key: cache.stats(),
    lambda cache, key: cache.clear() if key == 1 else None,
]


@pytest.mark.parametrize(
    "options",
    [{"maxsize": 50}, {"maxsize": 50, "ttl": 0.002, "jitter": 0.5}, {"maxsize": None, "max_bytes": 10_000}],
    ids=["count", "ttl", "bytes"],
)
def test_everything_at_once(options):
    gone = []
    cache = FrequencyBoostLRU(**options, on_evict=lambda key, value, cause: gone.append((key, value)))

    def work(dice):
        for _ in range(1500):
            key = dice.randrange(120)
            found = cache.get(key)
            assert found is None or found == (key,)
            dice.choice(OPERATIONS)(cache, key)

    all_at_once(work)
    consistent(cache)
    assert all(value == (key,) for key, value in gone)


def test_a_cached_function_under_load():
    running = set()

    @cached(maxsize=30)
    def work_on(key):
        assert key not in running, "two at once"
        running.add(key)
        result = [key]
        running.discard(key)
        return result

    def work(dice):
        for _ in range(3000):
            key = dice.randrange(60)
            assert work_on(key) == [key]

    all_at_once(work)
    consistent(work_on.cache)


def test_methods_under_load():
    class Thing:
        @cached
        def one(self, key):
            return [self, key]

    shared = [Thing() for _ in range(4)]

    def work(dice):
        for _ in range(1000):
            thing = dice.choice([*shared, Thing()])
            key = dice.randrange(10)
            found = thing.one(key)
            assert found[0] is thing
            assert found[1] == key
            if dice.random() < 0.01:
                Thing.one.cache_clear()

    all_at_once(work)


# In `.ci/run` each interpreter has one of them, and between them they have both: each takes ten seconds and more.
TTLS = ["never", "1000"]
TTLS_HERE = [TTLS[sys.version_info[1] % 2]] if os.environ.get("PERFKIT_CI") else TTLS


@pytest.mark.parametrize("ttl", TTLS_HERE)
def test_memory_stays_flat_over_ten_million_operations(start, ttl):
    """The most that the process ever held, after the first million operations and after the tenth."""
    first, last = start("churn", ttl).end().split()
    assert int(last) - int(first) < 2_000_000
