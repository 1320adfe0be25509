"""Caches.

A function that returns its argument is cached, so what is measured is the cache alone. Each contender answers the same
calls; that it answers them right, and calls the function no more often than it must, is checked in the same run.
"""

import asyncio
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from time import perf_counter
from typing import Any

import async_lru
import cachebox
import cachetools
import moka_py
import pytest
import theine

import perfkit
from measure import Claim, Contender, in_threads

ENTRIES = 1024
LRU = "functools.lru_cache"
BARE = "a bare async def"
COPIES = "one more call: it copies lists, dicts and sets it returns"

Timed = Callable[[int], float]


def hits(function: Any, call: str) -> Timed:
    """Time one call of a function again and again; written out, so that nothing but the loop comes beside it."""
    source = f"""
def timed(n):
    turns = range(n)
    started = perf_counter()
    for _ in turns:
        {call}
    return perf_counter() - started
"""
    names = {"function": function, "perf_counter": perf_counter}
    exec(source, names)
    return names["timed"]  # type: ignore[no-any-return]


def contender(name: str, timed: Timed, check: Callable[[], object] = lambda: None, **about: Any) -> Contender:
    return Contender(name=name, timed=timed, check=lambda _: check(), **about)


def _one(k: Any) -> Any:
    return k


def _three(a: Any, b: Any = 1, c: Any = 2) -> Any:
    return a, b, c


CALLS = {"f(k)": (_one, "function(1)", 1), "f(k, 7, c=3)": (_three, "function(1, 7, c=3)", (1, 7, 3))}


@pytest.fixture(params=CALLS)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def hit(name: str, decorate: Callable[[Any], Any], size: str, **about: Any) -> Contender:
    plain, call, answer = CALLS[size]
    function = decorate(plain)

    def check() -> None:
        assert eval(call, {"function": function}) == answer, name

    return contender(name, hits(function, call), check, **about)


def test_hit_of_a_function(compare: Any, size: str) -> None:
    """A function's value that is cached.

    The same call again and again; ratios are to functools.lru_cache, which is written in C and has no time to live.
    """
    contenders = [
        hit(LRU, functools.lru_cache(ENTRIES), size),
        hit("@perfkit.cached", perfkit.cached(maxsize=ENTRIES), size, ours=True),
        hit("@perfkit.cached(ttl=…)", perfkit.cached(maxsize=ENTRIES, ttl=3600), size, ours=True),
        hit("cachetools LRU", cachetools.cached(cachetools.LRUCache(ENTRIES)), size),
        hit("cachetools LRU, lock", cachetools.cached(cachetools.LRUCache(ENTRIES), lock=threading.Lock()), size),
        hit("cachetools TTL, lock", cachetools.cached(cachetools.TTLCache(ENTRIES, 3600), lock=threading.Lock()), size),
        hit(
            "cachebox LRU", cachebox.cached(cachebox.LRUCache(ENTRIES), postprocess=None), size, note="a cache in Rust"
        ),
        hit("cachebox TTL", cachebox.cached(cachebox.TTLCache(ENTRIES, 3600), postprocess=None), size),
        hit("moka-py", moka_py.cached(maxsize=ENTRIES), size, note="a cache in Rust"),
        hit("moka-py, ttl", moka_py.cached(maxsize=ENTRIES, ttl=3600), size),
        hit("theine", theine.Memoize(ENTRIES, None), size),
        hit("theine, ttl", theine.Memoize(ENTRIES, timedelta(hours=1)), size),
    ]
    most = {"f(k)": (2.4, 3.8), "f(k, 7, c=3)": (1.1, None)}[size]
    claims = [Claim("@perfkit.cached", LRU, 1 / most[0])]
    if most[1]:
        claims.append(Claim("@perfkit.cached(ttl=…)", LRU, 1 / most[1]))
    claims += [Claim("@perfkit.cached", peer.name, 1) for peer in contenders[3:]]
    compare(contenders, size=size, claims=claims)


def test_hit_of_a_coroutine_function(compare: Any, runner: asyncio.Runner) -> None:
    """A coroutine function's value that is cached.

    Awaited again and again in one task; ratios are to a bare coroutine function without any cache.
    """

    async def bare(k: Any) -> Any:
        return k

    def awaits(name: str, function: Any, **about: Any) -> Contender:
        source = """
async def turn(n):
    turns = range(n)
    started = perf_counter()
    for _ in turns:
        await function(1)
    return perf_counter() - started
"""
        names: dict[str, Any] = {"function": function, "perf_counter": perf_counter}
        exec(source, names)

        def check() -> None:
            assert runner.run(names["turn"](1)) > 0, name

        return contender(name, lambda n: runner.run(names["turn"](n)), check, **about)

    contenders = [
        awaits(BARE, bare),
        awaits("@perfkit.cached", perfkit.cached(maxsize=ENTRIES)(bare), ours=True),
        awaits("@perfkit.cached(ttl=…)", perfkit.cached(maxsize=ENTRIES, ttl=3600)(bare), ours=True),
        awaits("cachebox LRU", cachebox.cached(cachebox.LRUCache(ENTRIES), postprocess=None)(bare)),
        awaits("async-lru", async_lru.alru_cache(ENTRIES)(bare)),
        awaits("async-lru, ttl", async_lru.alru_cache(ENTRIES, ttl=3600)(bare)),
        awaits("moka-py", moka_py.cached(maxsize=ENTRIES)(bare)),
    ]
    claims = [Claim("@perfkit.cached", BARE, 1 / 2.3)]
    claims += [Claim("@perfkit.cached", peer.name, 1) for peer in contenders[3:]]
    compare(contenders, size="await f(k)", claims=claims)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def filled(cache: Any, put: str = "cache[key] = key") -> Any:
    exec(f"for key in range({ENTRIES // 2}): {put}", {"cache": cache})
    return cache


def test_get_of_a_cache(compare: Any) -> None:
    """A cache's entry that is there.

    ``get`` of the object itself; ratios are to a hit of a function under functools.lru_cache.
    """
    moka, ours = moka_py.Moka(ENTRIES), perfkit.FrequencyBoostLRU(ENTRIES)
    by_theine = theine.Cache(ENTRIES)
    timed = perfkit.TTLCache(ENTRIES, 3600)
    contenders = [
        hit(LRU, functools.lru_cache(ENTRIES), "f(k)"),
        contender("FrequencyBoostLRU", hits(filled(ours).get, "function(1)"), ours=True),
        contender("TTLCache", hits(filled(timed).get, "function(1)"), ours=True),
        contender("cachetools LRU", hits(filled(cachetools.LRUCache(ENTRIES)).get, "function(1)")),
        contender("cachetools TTL", hits(filled(cachetools.TTLCache(ENTRIES, 3600)).get, "function(1)")),
        contender("cachebox LRU", hits(filled(cachebox.LRUCache(ENTRIES)).get, "function(1)"), note="in Rust"),
        contender("cachebox TTL", hits(filled(cachebox.TTLCache(ENTRIES, 3600)).get, "function(1)"), note="in Rust"),
        contender("moka-py", hits(filled(moka, "cache.set(key, key)").get, "function(1)"), note="in Rust"),
        contender("theine", hits(filled(by_theine, "cache.set(key, key)").get, "function(1)")),
    ]
    compare(contenders, size="get", claims=[Claim("FrequencyBoostLRU", LRU, 1 / 2.8)])


def test_put_and_evict(compare: Any) -> None:
    """A new entry, for which another is evicted.

    Keys that have never been seen, into a full cache; ratios are to a miss of a function under functools.lru_cache.
    """

    def puts(name: str, put: str, cache: Any, **about: Any) -> Contender:
        keys = itertools.count()
        source = f"""
def timed(n):
    start = next(keys) * 10**9
    turns = range(start, start + n)
    started = perf_counter()
    for key in turns:
        {put}
    return perf_counter() - started
"""
        names: dict[str, Any] = {"cache": cache, "keys": keys, "perf_counter": perf_counter}
        exec(source, names)
        names["timed"](ENTRIES * 2)
        return contender(name, names["timed"], **about)

    contenders = [
        puts(LRU, "cache(key)", functools.lru_cache(ENTRIES)(_one)),
        puts("FrequencyBoostLRU", "cache[key] = key", perfkit.FrequencyBoostLRU(ENTRIES), ours=True),
        puts("TTLCache", "cache[key] = key", perfkit.TTLCache(ENTRIES, 3600), ours=True),
        puts("@perfkit.cached", "cache(key)", perfkit.cached(maxsize=ENTRIES)(_one), ours=True, note="a miss, whole"),
        puts("cachetools LRU", "cache[key] = key", cachetools.LRUCache(ENTRIES), note="not thread-safe"),
        puts("cachetools TTL", "cache[key] = key", cachetools.TTLCache(ENTRIES, 3600), note="not thread-safe"),
        puts("cachebox LRU", "cache[key] = key", cachebox.LRUCache(ENTRIES), note="in Rust"),
        puts("cachebox TTL", "cache[key] = key", cachebox.TTLCache(ENTRIES, 3600), note="in Rust"),
        puts("moka-py", "cache.set(key, key)", moka_py.Moka(ENTRIES), note="in Rust"),
        puts("theine", "cache.set(key, key)", theine.Cache(ENTRIES)),
    ]
    compare(contenders, size="put", claims=[Claim("FrequencyBoostLRU", LRU, 1 / 15)])


def test_four_threads_reading(compare: Any) -> None:
    """Entries that are there, read by four threads.

    Each thread reads by itself as fast as it can; ratios are to cachetools' LRU with the lock it needs.
    """
    locked, lock = filled(cachetools.LRUCache(ENTRIES)), threading.Lock()

    def read_locked() -> None:
        for key in KEYS:
            with lock:
                locked.get(key)

    def reads(name: str, get: Any, **about: Any) -> Contender:
        def read() -> None:
            for key in KEYS:
                get(key)

        return contender(name, in_threads(4, read), at_once=4, **about)

    contenders = [
        contender("cachetools LRU, lock", in_threads(4, read_locked), at_once=4),
        reads("FrequencyBoostLRU", filled(perfkit.FrequencyBoostLRU(ENTRIES)).get, ours=True),
        reads("TTLCache", filled(perfkit.TTLCache(ENTRIES, 3600)).get, ours=True),
        reads(LRU, functools.lru_cache(ENTRIES)(_one)),
        reads("cachebox LRU", filled(cachebox.LRUCache(ENTRIES)).get, note="in Rust"),
        reads("moka-py", filled(moka_py.Moka(ENTRIES), "cache.set(key, key)").get, note="in Rust"),
        reads("theine", filled(theine.Cache(ENTRIES), "cache.set(key, key)").get),
    ]
    compare(contenders, size="100 reads", claims=[Claim("FrequencyBoostLRU", "cachetools LRU, lock", 3)])


KEYS = range(100)
