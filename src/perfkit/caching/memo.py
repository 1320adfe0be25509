"""What a cached function does when the value isn't at hand: serve what is stale, load, keep, and remember failures."""

from __future__ import annotations

import copy
from functools import partial
from random import random

from perfkit.caching import background
from perfkit.caching.entry import EXPIRES, HITS, SOFT, VALUE
from perfkit.caching.loading import Loader, Loads, aload, areload, load, reload
from perfkit.caching.store import TooLarge
from perfkit.caching.tags import check_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from perfkit.caching.entry import Entry
    from perfkit.caching.flight import Flight
    from perfkit.caching.options import Options
    from perfkit.caching.store import Store

__all__ = ["Memo"]


_REFRESH_FAILED = "refreshing %s for the key %r failed; the old value serves until it expires"


class Memo:
    """A function, and what was asked of its cache. The stores are passed in: a function has one, a method many."""

    def __init__(self, function: Callable[..., Any], options: Options, name: str) -> None:
        self.function = function
        self.options = options
        self.name = name
        self.loads = Loads()
        self._loader = Loader(function, self._keep, self.loads)

    def miss(self, store: Store, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return the value of a call that the wrapper has found no fresh entry for."""
        entry = store.find(key)
        if entry is not None and self._is_fresh(entry):
            if self._claims_refresh(store, entry):
                background.in_thread(partial(self._refresh, store, key, args, kwargs))
            return entry[VALUE]
        store.count_miss()
        try:
            if store.failures is not None:
                self._raise_kept(store.failures, key)
            return load(store, key, self._loader, args, kwargs)
        except Exception as error:
            if self.options.error_ttl:
                self._keep_failure(store, key, error)
            if entry is None or not self._serves_stale(entry):
                raise
            return entry[VALUE]

    async def amiss(self, store: Store, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do as `miss` does, for a coroutine function."""
        entry = store.find(key)
        if entry is not None and self._is_fresh(entry):
            if self._claims_refresh(store, entry):
                background.in_task(partial(self._arefresh, store, key, args, kwargs))
            return entry[VALUE]
        store.count_miss()
        try:
            if store.failures is not None:
                self._raise_kept(store.failures, key)
            return await aload(store, key, self._loader, args, kwargs)
        except Exception as error:
            if self.options.error_ttl:
                self._keep_failure(store, key, error)
            if entry is None or not self._serves_stale(entry):
                raise
            return entry[VALUE]

    def _keep(
        self, store: Store, key: Any, value: Any, flight: Flight, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Put a value that was loaded into the store, if it is to be kept."""
        options = self.options
        if options.cache_if is not None and not options.cache_if(value):
            return
        ttl = options.ttl
        if ttl is not None:
            ttl = ttl(key, value) if callable(ttl) else ttl
            if ttl is not None and not ttl > 0:
                return
            if options.jitter and ttl is not None:
                ttl *= 1 - options.jitter * random()  # noqa: S311 (spreads, protects nothing)
        tags = options.tags(*args, **kwargs) if callable(options.tags) else options.tags
        try:
            store.put(key, value, ttl, check_tags(tags) if tags else (), flight)
        except TooLarge:
            return

    # -- entries that are no longer new

    def _is_fresh(self, entry: Entry) -> bool:
        """Tell whether an entry is within its ttl, though the time to refresh it may have come."""
        if entry[EXPIRES] is None:
            return True
        return bool(self.options.timer() < entry[EXPIRES] - (self.options.stale_if_error or 0.0))

    def _claims_refresh(self, store: Store, entry: Entry) -> bool:
        """Count a hit, and tell whether it is for us to have the value refreshed: one caller is told so."""
        with store.lock:
            entry[HITS] += 1
            if store.aging is None or entry[SOFT] > self.options.timer():
                return False
            entry[SOFT] = entry[EXPIRES] - (self.options.stale_if_error or 0.0)
            return True

    def _refresh(self, store: Store, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            reload(store, key, self._loader, args, kwargs)
        except Exception:  # noqa: BLE001 (nobody waits for it; the old value serves on)
            _logger().exception(_REFRESH_FAILED, self.name, key)

    async def _arefresh(self, store: Store, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            await areload(store, key, self._loader, args, kwargs)
        except Exception:  # noqa: BLE001 (nobody waits for it; the old value serves on)
            _logger().exception(_REFRESH_FAILED, self.name, key)

    def _serves_stale(self, entry: Entry) -> bool:
        """Tell whether an entry past its ttl may stand in for an error."""
        if self.options.stale_if_error is None or entry[EXPIRES] <= self.options.timer():
            return False
        entry[HITS] += 1
        return True

    # -- failures that are kept

    def _raise_kept(self, failures: Store, key: Any) -> None:
        """Raise what was raised lately for this key."""
        kept = failures.find(key)
        if kept is not None:
            error: Exception = kept[VALUE]
            raise error.with_traceback(None)  # or it would grow with each caller

    def _keep_failure(self, store: Store, key: Any, error: Exception) -> None:
        seconds = next((ttl for kind, ttl in self.options.error_ttl.items() if isinstance(error, kind)), None)
        if seconds is None or not store.max_count:
            return
        failures = store.failures_kept()
        if failures.find(key) is None:
            failures.put(key, _without_frames(error), seconds)


def _without_frames(error: Exception) -> Exception:
    """Return a copy, which doesn't keep alive what the frames it passed through refer to; itself if there is none."""
    try:
        twin = copy.copy(error)
    except Exception:  # noqa: BLE001 (an __init__ of its own; it is kept as it is, for as long as it is kept)
        return error
    return twin if type(twin) is type(error) else error


def _logger() -> Any:
    import logging

    return logging.getLogger("perfkit.caching")
