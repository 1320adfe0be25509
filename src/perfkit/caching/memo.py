"""What a cached function does when the value isn't at hand: serve what is stale, load, keep, and remember failures."""

from __future__ import annotations

import contextlib
from random import random

from perfkit._base.exceptions import without_frames
from perfkit._base.logs import logger
from perfkit.caching import background
from perfkit.caching.entry import EXPIRES, HITS, SOFT, VALUE
from perfkit.caching.loading import Load, Loads, land
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

__all__ = ["Memo", "MemoLoad"]


class Memo:
    """A function, and what was asked of its cache. The stores are passed in: a function has one, a method many."""

    def __init__(self, function: Callable[..., Any], options: Options, name: str) -> None:
        self.function = function
        self.options = options
        self.name = name
        self.loads = Loads()

    def missed(self, store: Store, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> MemoLoad:
        """Return the way to the value of a call that the wrapper has found no fresh entry for."""
        return MemoLoad(self, store, key, args, kwargs)

    def ttl(self, key: Any, value: Any) -> float | None:
        """Return how long a value is kept: None for ever, 0 for not at all."""
        options = self.options
        ttl = options.ttl(key, value) if callable(options.ttl) else options.ttl
        if ttl is None or not options.jitter:
            return ttl
        return ttl * (1 - options.jitter * random())  # noqa: S311 (spreads, protects nothing)

    def is_fresh(self, entry: Entry) -> bool:
        """Tell whether an entry is within its ttl, though the time to refresh it may have come."""
        if entry[EXPIRES] is None:
            return True
        return bool(self.options.timer() < entry[EXPIRES] - (self.options.stale_if_error or 0.0))

    def claims_refresh(self, store: Store, entry: Entry) -> bool:
        """Count a hit, and tell whether it is for us to have the value refreshed: one caller is told so."""
        with store.lock:
            entry[HITS] += 1
            if store.aging is None or entry[SOFT] > self.options.timer():
                return False
            entry[SOFT] = entry[EXPIRES] - (self.options.stale_if_error or 0.0)
            return True


class MemoLoad(Load):
    """One call's way to its value."""

    __slots__ = ("_args", "_kwargs", "_memo", "_stale")

    def __init__(self, memo: Memo, store: Store, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tags = memo.options.tags
        super().__init__(store, key, memo.loads, check_tags(tags(*args, **kwargs)) if callable(tags) else tags or ())
        self._memo = memo
        self._args = args
        self._kwargs = kwargs
        self._stale: Entry | None = None

    def begins(self) -> bool:
        """Do as `Load.begins`, unless there is a value that will do."""
        if self._is_at_hand():
            if self._is_due():
                background.in_thread(self._again()._refresh)
            return False
        return super().begins()

    async def abegins(self) -> bool:
        """Do as `Load.abegins`, unless there is a value that will do."""
        if self._is_at_hand():
            if self._is_due():
                background.in_task(self._again()._arefresh)
            return False
        return await super().abegins()

    def put(self, value: Any, flight: Flight) -> None:
        """Put the value into the store, if that was asked for."""
        options = self._memo.options
        if options.cache_if is not None and not options.cache_if(value):
            self.store.count_refusal()
            return
        ttl = None if options.ttl is None else self._memo.ttl(self.key, value)
        if ttl is not None and not ttl > 0:
            self.store.count_refusal()
            return
        with contextlib.suppress(TooLarge):  # the store has counted it
            self.store.put(self.key, value, ttl, self.tags, flight)

    def bridges(self, error: BaseException) -> bool:
        """Do as `Load.bridges`; keep the error, or have an old value stand in for it, where that was asked for."""
        if isinstance(error, Exception) and self._memo.options.error_ttl:
            self._keep_failure(error)  # first, so that who comes when the flight is over finds it
        super().bridges(error)
        if not isinstance(error, Exception):
            return False
        stale = self._stale
        if stale is None or self._memo.options.stale_if_error is None or stale[EXPIRES] <= self._memo.options.timer():
            return False
        stale[HITS] += 1
        self.value = stale[VALUE]
        return True

    # -- what is there already

    def _is_at_hand(self) -> bool:
        """Tell whether there is a value within its ttl; else count a miss, and raise what was raised lately."""
        entry = self.store.find(self.key)
        if entry is not None and self._memo.is_fresh(entry):
            self._stale = entry
            self.value = entry[VALUE]
            return True
        self._stale = entry
        self.store.count_miss()
        if self.store.failures is not None:
            _raise_kept(self.store.failures, self.key)
        return False

    def _is_due(self) -> bool:
        return self._stale is not None and self._memo.claims_refresh(self.store, self._stale)

    def _again(self) -> MemoLoad:
        return MemoLoad(self._memo, self.store, self.key, self._args, self._kwargs)

    def _refresh(self) -> None:
        try:
            if self.begins_alone():
                self.keep(self._memo.function(*self._args, **self._kwargs))
        except BaseException as error:  # noqa: BLE001 (nobody waits for it; the old value serves on)
            super().bridges(error)
            logger("caching").exception(_REFRESH_FAILED, self._memo.name, self.key)
        finally:
            land(self)

    async def _arefresh(self) -> None:
        try:
            if self.abegins_alone():
                self.keep(await self._memo.function(*self._args, **self._kwargs))
        except Exception as error:  # noqa: BLE001 (nobody waits for it; the old value serves on)
            super().bridges(error)
            logger("caching").exception(_REFRESH_FAILED, self._memo.name, self.key)
        finally:
            land(self)

    def _keep_failure(self, error: Exception) -> None:
        seconds = next((ttl for kind, ttl in self._memo.options.error_ttl.items() if isinstance(error, kind)), None)
        if seconds is None or not self.store.max_count:
            return
        with self.store.lock:  # under which the flight is taken away from whoever loads what is discarded
            if self._flight is None or self.store.flights.get(self.key) is not self._flight:
                return
            with contextlib.suppress(TooLarge):
                self.store.failures_kept().put(self.key, without_frames(error), seconds, self.tags)


_REFRESH_FAILED = "refreshing %s for the key %r failed; the old value serves until it expires"


def _raise_kept(failures: Store, key: Any) -> None:
    """Raise what was raised lately for this key."""
    kept = failures.find(key)
    if kept is not None:
        raise without_frames(kept[VALUE])  # another each time, or it would keep its callers' frames
