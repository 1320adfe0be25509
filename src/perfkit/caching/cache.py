"""A `Store` as a mapping with the interface of cachetools' caches (over 400 lines, for a class is one interface)."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import MutableMapping
from random import random

from perfkit import registry
from perfkit._base import fork
from perfkit._base.checks import check_callable, check_name, check_timer
from perfkit._base.overloading import overload
from perfkit._base.sizes import parse_size
from perfkit.caching import limits
from perfkit.caching.entry import EXPIRES, HITS, KEY, VALUE
from perfkit.caching.invalidating import invalidate
from perfkit.caching.loading import Load, Loads, arun, run
from perfkit.caching.sizing import checked_size, exact, pair_size, shown
from perfkit.caching.store import Store, TooLarge
from perfkit.caching.tags import check_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, ItemsView, Iterable, Iterator, ValuesView
    from typing import Any, Literal, TypeVar

    from perfkit.caching.flight import Flight
    from perfkit.caching.limits import Seconds, Ttl
    from perfkit.caching.stats import CacheStats

    K = TypeVar("K")
    V = TypeVar("V")
    T = TypeVar("T")
    Cause = Literal["expired", "size", "replaced", "deleted", "cleared"]

__all__ = ["FrequencyBoostLRU", "TTLCache"]

_numbers = itertools.count(1)


class _Default:
    """What stands for an argument that wasn't given."""

    def __repr__(self) -> str:
        return "<not given>"


_DEFAULT: Any = _Default()


def _one(value: object) -> float:  # noqa: ARG001 (the shape of a getsizeof)
    return 1


class FrequencyBoostLRU(MutableMapping["K", "V"]):
    """A bounded cache that keeps what is used again, with a hit ratio that scans and loops don't ruin.

    A mapping with the interface of ``cachetools.Cache``, so it works wherever those do, in ``cachetools.cached`` too.
    What is evicted is decided by LIFT (see ``perfkit.caching.policy``): newcomers have to prove themselves, and a hit
    only raises a counter.

    Args:
        maxsize: the most entries, from 0; or the most of what ``getsizeof`` measures; None or infinity for no limit.
            May be left out where there is ``max_bytes``.
        getsizeof: ``getsizeof(value)`` gives a value's size in units of your own, 0 or more, as in cachetools. Their
            sum is exact. Not together with ``max_bytes``.
        max_bytes: the most bytes that keys and values may take, an int or a string such as ``"100MB"``. They are
            measured when they are put in, and built-in containers looked into.
        sizeof: ``sizeof(thing)`` in bytes, called for key and value each, instead of that measure; needs ``max_bytes``.
        ttl: how long an entry lives, in seconds above 0 or as a timedelta; or ``ttl(key, value)``, which returns that,
            None for ever, or 0 for not at all.
        jitter: the fraction, 0 to less than 1, of the ttl by which lives are shortened at random, so that what was put
            in together doesn't expire together.
        on_evict: ``on_evict(key, value, cause)`` is called for each entry that leaves, after it has left, by whoever
            caused it; the cause is ``"expired"``, ``"size"``, ``"replaced"``, ``"deleted"`` or ``"cleared"``. What it
            raises is logged on ``perfkit.caching``.
        timer: the clock, a function that returns seconds.
        name: what ``perfkit.stats()`` calls it.

    Guarantees:
        * Never more than the limits allow, and never an entry that has expired: it is not returned, not counted, and
          given up at the next write or look at the whole, without a thread.
        * Thread-safe, each method by itself. A hit takes no lock. Iteration is over what was there when it began.
        * A key whose ``__hash__`` or ``__eq__`` raises gets its exception and harms no other entry; one that uses the
          cache from there is answered.
        * Memory stays flat however many keys come by: what was evicted is remembered as hashes in arrays of fixed size.

    Copies and pickles have the entries with the lives they have left, in the policy's order; ``copy.copy`` shares the
    values. After a fork the child has its own copy.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.
    """

    getsizeof: Callable[[Any], float] = staticmethod(_one)
    _aging: tuple[float, float] | None = None  # for a function's cache
    _never: float | None = None
    _timeless = False
    _loads: Loads | None = None  # since something was loaded

    def __init__(
        self,
        maxsize: float | None = _DEFAULT,
        getsizeof: Callable[[V], float] | None = None,
        *,
        max_bytes: int | str | None = None,
        sizeof: Callable[[Any], int] | None = None,
        ttl: Ttl = None,
        jitter: float = 0.0,
        on_evict: Callable[[K, V, Cause], object] | None = None,
        timer: Callable[[], float] = time.monotonic,
        name: str | None = None,
    ) -> None:
        check_callable(getsizeof, "getsizeof", "getsizeof(value)")
        check_callable(sizeof, "sizeof", "sizeof(key_or_value)")
        check_callable(on_evict, "on_evict", "on_evict(key, value, cause)", arguments=3)
        check_timer(timer)
        if getsizeof is not None:
            self.getsizeof = getsizeof
        self._max_bytes = limits.parse_bytes(max_bytes)
        if maxsize is _DEFAULT:
            limits.refuse_without_limit(type(self).__name__, max_bytes)
            maxsize = None
        self._maxsize = limits.check_maxsize(maxsize)
        if sizeof is not None and max_bytes is None:
            raise ValueError("sizeof needs max_bytes=, which it measures for; in units of your own that is getsizeof=")
        self._sizeof = sizeof
        self._ttl = limits.check_ttl(ttl)
        self._jitter = limits.check_jitter(jitter)
        if ttl is None:
            limits.refuse_without_ttl(jitter=jitter)
        self._timer = timer
        self._on_evict = on_evict
        self.name = check_name(name) or f"cache-{next(_numbers)}"
        self._open()

    def _open(self) -> None:
        """Make the store, and what a fork and the registry need; for a new cache and for a copy."""
        own_units = self.getsizeof is not FrequencyBoostLRU.getsizeof
        if own_units and self._max_bytes is not None:
            raise ValueError("getsizeof and max_bytes can't both be the measure: give sizeof= for max_bytes=")
        maxsize = math.inf if self._maxsize is None else self._maxsize
        self._store = Store(
            max_count=limits.count_limit(None if own_units else maxsize),
            max_size=maxsize if own_units else math.inf if self._max_bytes is None else self._max_bytes,
            weigh=self._units if own_units else None if self._max_bytes is None else self._bytes,
            timer=self._timer,
            on_evict=self._on_evict,
            aging=self._aging,
            never=self._never,
            timeless=self._timeless,
            in_bytes=self._max_bytes is not None,
        )
        self._find = self._store.data.get
        fork.after_in_child(self)
        registry.register(self, part="caching")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.items())!r}, maxsize={self._maxsize}, currsize={self.currsize})"

    # -- reading

    @overload
    def get(self, key: K) -> V | None: ...
    @overload
    def get(self, key: K, default: V | T) -> V | T: ...
    def get(self, key: K, default: Any = None) -> Any:
        """Return a key's value, or ``default``. Cost: a hit is two to three times a hit of ``functools.lru_cache``."""
        entry = self._find(key)
        if entry is None:
            return self._missed(default)
        if entry[EXPIRES] is not None and entry[EXPIRES] <= self._timer():
            return self._missed(default)
        entry[HITS] += 1
        return entry[VALUE]

    def __getitem__(self, key: K) -> V:
        entry = self._find(key)
        if entry is None or (entry[EXPIRES] is not None and entry[EXPIRES] <= self._timer()):
            self._store.count_miss()
            return self.__missing__(key)
        entry[HITS] += 1
        value: V = entry[VALUE]
        return value

    def __missing__(self, key: K) -> V:
        """Make the value of a missing key, for ``cache[key]`` alone: subclasses may."""
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._store.find(key) is not None

    def __iter__(self) -> Iterator[K]:
        return iter([entry[KEY] for entry in self._store.entries()])

    def __len__(self) -> int:
        return self._store.expire()

    def items(self) -> ItemsView[K, V]:
        """Return the keys and values, as they are now. No hits are counted."""
        return {entry[KEY]: entry[VALUE] for entry in self._store.entries()}.items()

    def values(self) -> ValuesView[V]:
        """Return the values, as they are now. No hits are counted."""
        return {entry[KEY]: entry[VALUE] for entry in self._store.entries()}.values()

    @property
    def maxsize(self) -> float | None:
        """The most entries, or units of ``getsizeof``; None for no limit."""
        return self._maxsize

    @property
    def max_bytes(self) -> int | None:
        """The most bytes of keys and values; None for no limit."""
        return self._max_bytes

    @property
    def currsize(self) -> float:
        """The number of entries; or, with ``getsizeof``, the sum of their sizes."""
        count = self._store.expire()
        if self.getsizeof is FrequencyBoostLRU.getsizeof:
            return count
        size = self._store.size
        return size if isinstance(size, int) else float(size)

    @property
    def ttl(self) -> Ttl:
        """How long the cache's entries live, in seconds, a function that gives them, or None for ever."""
        return limits.given_ttl(self._ttl)

    @property
    def timer(self) -> Callable[[], float]:
        """The clock."""
        return self._timer

    def expires_at(self, key: K) -> float | None:
        """Return when a key expires, on the cache's ``timer``; None for never. Raises KeyError if it isn't there."""
        entry = self._store.find(key)
        if entry is None:
            raise KeyError(key)
        return None if entry[EXPIRES] == self._store.never else entry[EXPIRES]

    # -- writing

    def put(self, key: K, value: V, *, ttl: Seconds | None = _DEFAULT, tags: Iterable[str] | None = None) -> None:
        """Keep a value, instead of the one it may have; something else may be evicted for it.

        Args:
            key: hashable.
            value: anything, None too.
            ttl: how long this one lives, exactly, in seconds or as a timedelta; None for ever. The cache's own ttl,
                with its jitter, if not given.
            tags: strings to `invalidate` it by, in a list or the like; None for none. They replace the tags it had.

        Raises ValueError ("value too large") if it alone exceeds the limit; whatever ``__hash__`` and ``__eq__`` raise.
        Cost: a few microseconds; a lock is held for most of them.
        """
        if ttl is _DEFAULT:
            ttl = self._own_ttl(key, value)
        elif ttl is not None:
            ttl = limits.check_seconds(ttl, "ttl")
        self._store.put(key, value, ttl, () if tags is None else check_tags(tags))

    def __setitem__(self, key: K, value: V) -> None:
        self._store.put(key, value, None if self._ttl is None else self._own_ttl(key, value))

    def __delitem__(self, key: K) -> None:
        if self._store.take(key) is None:
            raise KeyError(key)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V | T) -> V | T: ...
    def pop(self, key: K, default: Any = _DEFAULT) -> Any:
        """Remove a key and return its value; ``default`` if it isn't there, or else KeyError."""
        entry = self._store.take(key)
        if entry is not None:
            return entry[VALUE]
        if default is _DEFAULT:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[K, V]:
        """Remove the entry that would be evicted next, and return its key and value. Raises KeyError if empty."""
        entry = self._store.take_next()
        if entry is None:
            raise KeyError(f"{type(self).__name__} is empty") from None
        return entry[KEY], entry[VALUE]

    def get_or_load(
        self, key: K, loader: Callable[[], V], *, ttl: Seconds | None = _DEFAULT, tags: Iterable[str] | None = None
    ) -> V:
        """Return a key's value; if it isn't there, that of ``loader()``, which is kept.

        However many threads and tasks ask for the key meanwhile, ``loader`` is called once, and what it returns or
        raises goes to all of them. An exception is not kept. If who called it is interrupted, another does. Two
        loaders that wait for each other don't deadlock: one of them is called again instead. If the key is written or
        removed while it is loaded, what was loaded is returned but not kept; neither is a value that is too large.

        Args: as `put`; for a coroutine function see `aget_or_load`.
        """
        entry = self._store.find(key)
        if entry is not None:
            entry[HITS] += 1
            value: V = entry[VALUE]
            return value
        check_callable(loader, "loader", "loader()", arguments=None)
        self._store.count_miss()
        loaded: V = run(self._loading(key, ttl, tags), loader)
        return loaded

    async def aget_or_load(
        self,
        key: K,
        loader: Callable[[], Awaitable[V]],
        *,
        ttl: Seconds | None = _DEFAULT,
        tags: Iterable[str] | None = None,
    ) -> V:
        """Do as `get_or_load` does, for a coroutine function; a task that is cancelled hands on what it began."""
        entry = self._store.find(key)
        if entry is not None:
            entry[HITS] += 1
            value: V = entry[VALUE]
            return value
        check_callable(loader, "loader", "loader(), to be awaited", arguments=None)
        self._store.count_miss()
        loaded: V = await arun(self._loading(key, ttl, tags), loader)
        return loaded

    @overload
    def setdefault(self: FrequencyBoostLRU[K, T | None], key: K, default: None = None) -> T | None: ...
    @overload
    def setdefault(self, key: K, default: V) -> V: ...
    def setdefault(self, key: K, default: Any = None) -> Any:
        """Return a key's value; if it isn't there, put ``default`` in and return that. In one step."""
        entry = self._store.find(key)
        if entry is not None:
            entry[HITS] += 1
            return entry[VALUE]
        entry = self._store.put(key, default, self._own_ttl(key, default), only_new=True)
        return default if entry is None else entry[VALUE]

    def clear(self) -> None:
        """Remove everything. The figures of `stats` go on."""
        self._store.clear()

    def invalidate(self, *, tag: str | Iterable[str] | None = None, match: str | None = None) -> int:
        """Remove the entries that carry a tag (any of several), or whose key matches a pattern; return their number.

        ``match`` is a pattern as in file names (`fnmatch`: ``*``, ``?``, ``[a-z]``; case matters), for keys that are
        strings; other keys never match. With both, entries to which either applies go. Cost: with ``tag`` that of the
        entries removed; with ``match`` that of looking at all keys.
        """
        return invalidate([self._store], tag, match)

    def shrink(self, *, fraction: float | None = None, to_bytes: int | str | None = None) -> int:
        """Evict what would be evicted next, until a fraction of the entries is gone or their size is at most so much.

        Args:
            fraction: from 0 to 1, of the entries there are.
            to_bytes: for a cache with ``max_bytes``: the bytes that may stay, such as ``"10MB"``.

        Return the number of entries evicted. Limits stay as they are.
        """
        if (fraction is None) == (to_bytes is None):
            raise TypeError("shrink() needs either fraction= or to_bytes=")
        if fraction is not None:
            return self._shrink_by(fraction)
        if self._max_bytes is None:
            raise ValueError("to_bytes= needs a cache with max_bytes=, which knows the sizes of its entries")
        most = parse_size(to_bytes, name="to_bytes")  # type: ignore[arg-type]  # it says itself what it takes
        return self._store.shrink(lambda: self._store.size <= most)

    def expire(self) -> int:
        """Give up what has expired, now rather than at the next write; return the number of entries left."""
        return self._store.expire()

    def reclaim(self, need_bytes: int) -> int:
        """Evict, by policy, about so many bytes; return how many, estimated. For the memory watchdog."""
        return self._store.reclaim(need_bytes)

    def held_bytes(self) -> int:
        """Return the bytes that it holds, estimated from some entries unless it has ``max_bytes``. For the watchdog."""
        return self._store.held_bytes()

    def stats(self) -> CacheStats:
        """Return the cache's figures. O(n): each entry has a counter of its own, which is what makes hits cheap."""
        from perfkit.caching.stats import stats_of

        return stats_of(self.name, [self._store], self._loads, maxsize=self._maxsize, max_bytes=self._max_bytes)

    # -- copies, and a warm start

    def dump(self, path: str | os.PathLike[str]) -> int:
        """Write the entries to a file, for `warm` after a restart; return their number.

        The file is MessagePack, replaced at once and readable by its owner alone. Keys and values may be None, bool,
        int (of 64 bits), float, str, bytes and datetime, and list, dict, tuple, set and frozenset of those.

        Exactly those types: not subclasses, nor bytearray.

        Raises CacheDumpRefused for anything else, which names the key; OSError. The file is then as it was.
        """
        from perfkit.caching import dump

        records = self._store.records()
        dump.write(path, records)
        return len(records)

    def warm(self, path: str | os.PathLike[str]) -> int:
        """Put in what a `dump` holds, as far as there is room and it isn't there; return the number of entries.

        The time since the dump, by the system's clock, is deducted from the lives that are left.

        Raises CacheDumpCorrupt, with the cache as it was, if the file isn't a whole dump, or holds a time in a zone
        that this machine doesn't know; FileNotFoundError, OSError.
        """
        from perfkit.caching import dump

        return self._store.restore(dump.read(path))

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in ("_store", "_find", "_loads")}
        state["_records"] = self._store.records()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        records = state.pop("_records")
        vars(self).update(state)
        self._open()
        self._store.restore(records)

    def _after_fork_in_child(self) -> None:
        self._store.renew()

    # -- helpers

    def _missed(self, default: Any) -> Any:
        self._store.count_miss()
        return default

    def _loading(self, key: K, ttl: Seconds | None, tags: Iterable[str] | None) -> _CacheLoad:
        if ttl is not None and ttl is not _DEFAULT:
            ttl = limits.check_seconds(ttl, "ttl")
        if self._loads is None:
            self._loads = Loads()
        return _CacheLoad(self, key, self._loads, ttl, () if tags is None else check_tags(tags))

    def _own_ttl(self, key: K, value: V) -> float | None:
        ttl = self._ttl(key, value) if callable(self._ttl) else self._ttl
        if ttl is None:
            return None
        return ttl * (1 - self._jitter * random()) if self._jitter else ttl  # noqa: S311 (spreads, protects nothing)

    def _units(self, key: K, value: V) -> float:
        size = self._finite(self.getsizeof(value), "getsizeof", key)
        return size if size > self._store.max_size else exact(size)

    def _bytes(self, key: K, value: V) -> float:
        if self._sizeof is None:
            return pair_size(key, value)
        return sum(math.ceil(self._finite(self._sizeof(thing), "sizeof", key)) for thing in (key, value))

    def _finite(self, size: object, what: str, key: K) -> float:
        """Return a size that somebody's function gave, if it can be kept to and summed up."""
        checked = checked_size(size, what)
        if checked == math.inf:
            self._store.count_refusal()
            raise TooLarge(f"value too large: {shown(key)} has an infinite size")
        return checked

    def _shrink_by(self, fraction: float) -> int:
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise ValueError(f"fraction must be from 0 to 1, not {fraction!r}")
        most = len(self) - math.ceil(len(self) * fraction)
        return self._store.shrink(lambda: len(self._store.data) <= most)


class _CacheLoad(Load):
    """One caller's way to a value by `FrequencyBoostLRU.get_or_load`."""

    __slots__ = ("_cache", "_ttl")

    def __init__(
        self, cache: FrequencyBoostLRU[Any, Any], key: Any, loads: Loads, ttl: float | None, tags: tuple[str, ...]
    ) -> None:
        super().__init__(cache._store, key, loads, tags)
        self._cache = cache
        self._ttl = ttl

    def put(self, value: Any, flight: Flight) -> None:
        """Put the value into the cache, unless it is too large."""
        ttl = self._cache._own_ttl(self.key, value) if self._ttl is _DEFAULT else self._ttl
        with contextlib.suppress(TooLarge):
            self.store.put(self.key, value, ttl, self.tags, flight)


class TTLCache(FrequencyBoostLRU["K", "V"]):
    """A `FrequencyBoostLRU` in which everything expires, with the arguments of ``cachetools.TTLCache`` in its order.

    Args:
        maxsize: the most entries, or units of ``getsizeof``; None for no limit.
        ttl: how long an entry lives after it was put in, as for `FrequencyBoostLRU`.
        timer: the clock, a function that returns seconds.
        getsizeof: ``getsizeof(value)``, a value's size in units of your own.
        options: as `FrequencyBoostLRU`.
    """

    def __init__(
        self,
        maxsize: float | None = _DEFAULT,
        ttl: Ttl = None,
        timer: Callable[[], float] = time.monotonic,
        getsizeof: Callable[[V], float] | None = None,
        **options: Any,
    ) -> None:
        if ttl is None:
            raise TypeError("TTLCache needs a ttl in seconds, ttl=60; FrequencyBoostLRU goes without one")
        super().__init__(maxsize, getsizeof, ttl=ttl, timer=timer, **options)
