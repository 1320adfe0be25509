"""Getting a value that is missing: found after all, waited for, or made by the caller, whom the others wait for then.

A `Load` is one caller's way there. Whoever makes the value calls the function itself, so that a recursive one is as
deep in frames as it would be without a cache, but for the wrapper::

    try:
        if load.begins():                   # waits, or says that it is for us to make the value
            load.keep(function(*args))
    except BaseException as error:
        if not load.bridges(error):
            raise
    finally:
        try:
            load.land()
        except BaseException:               # an interrupt struck in there; nobody else would do it
            load.land()
            raise
    return load.value
"""

from __future__ import annotations

import contextlib
import threading
from time import perf_counter
from types import CoroutineType

from perfkit._base.histogram import LatencyRecorder
from perfkit.caching.entry import HITS, VALUE
from perfkit.caching.flight import Abandoned, Flight, current

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from contextvars import Token
    from typing import Any

    from perfkit.caching.entry import Entry
    from perfkit.caching.store import Store

__all__ = ["Load", "Loads", "arun", "land", "run"]


class Loads:
    """How often values were made, how long it took, and how often it failed."""

    __slots__ = ("failures", "times")

    def __init__(self) -> None:
        self.times = LatencyRecorder()
        self.failures = 0


class Load:
    """One caller's way to a value that is missing. `land` ends it, whatever has happened, and may be called twice."""

    __slots__ = ("_flight", "_loads", "_started", "_token", "key", "store", "tags", "value")

    def __init__(self, store: Store, key: Any, loads: Loads, tags: tuple[str, ...]) -> None:
        self.store = store
        self.key = key
        self.tags = tags
        self._loads = loads
        self._flight: Flight | None = None
        self._token: Token[Flight | None] | None = None

    def begins(self) -> bool:
        """Find the value, or wait for who makes it; True if that is the caller, who then calls `keep`.

        Raises what the function raised where it was waited for. Whoever would have to be waited for for ever is not
        waited for: the caller makes the value then too.
        """
        while True:
            flight = self._join(Flight(self.tags))
            if flight is None:
                return False
            if flight is self._flight:
                return self._enter()
            if flight.would_deadlock(blocks_thread=threading.get_ident()):
                return self._enter()
            with contextlib.suppress(Abandoned):
                self.value = flight.wait()
                return False

    async def abegins(self) -> bool:
        """Do as `begins` does, in a task."""
        loop = _running_loop()
        while True:
            flight = self._join(Flight(self.tags, loop=loop))
            if flight is None:
                return False
            if flight is self._flight:
                return self._enter()
            if flight.would_deadlock():
                return self._enter()
            with contextlib.suppress(Abandoned):
                self.value = await flight.wait_in_loop()
                return False

    def begins_alone(self) -> bool:
        """Tell whether the caller is to make the value again although there is one: nobody else is at it."""
        self._flight = mine = Flight(self.tags)
        with self.store.lock:
            if self.store.flights.setdefault(self.key, mine) is mine:
                return self._enter()
        self._flight = None
        return False

    def keep(self, value: Any) -> None:
        """Take the value that the caller has made: into the store, if it is to be kept, and to all who wait."""
        self._leave()
        if type(value) is CoroutineType:
            value.close()
            raise TypeError(
                "what was to be cached is a coroutine, which can be awaited only once: make the function an async def,"
                " or use aget_or_load() for get_or_load()"
            )
        self.value = value
        if self._flight is not None:
            self.put(value, self._flight)
            self._flight.succeed(value)

    def put(self, value: Any, flight: Flight) -> None:
        """Put the value into the store, if it is to be kept."""
        raise NotImplementedError

    def bridges(self, error: BaseException) -> bool:
        """Pass an error on to all who wait; True if there is a ``value`` all the same.

        What isn't an Exception (a cancellation, an interrupt) is the caller's alone: another tries again.
        """
        if isinstance(error, Exception):
            if self._token is not None:
                self._loads.failures += 1
            if self._flight is not None:
                self._flight.fail(error)
        return False

    def land(self) -> None:
        """See to it that nobody waits for a caller who has left, and that the next one begins anew."""
        if self._token is not None:
            self._leave()
        flight = self._flight
        if flight is None:
            return
        try:
            if self.store.flights:
                with self.store.lock:
                    if self.store.flights.get(self.key) is flight:
                        del self.store.flights[self.key]
        finally:
            flight.abandon()
        self._flight = None  # or a failure's frames would keep themselves alive

    def _join(self, mine: Flight) -> Flight | None:
        """Return the flight to wait for, ours if there was none; None if the value has come meanwhile."""
        self._flight = mine
        with self.store.lock:
            # first, for it may run the key's own code, which must not find us under way
            entry: Entry | None = self.store.fresh(self.key)
            if entry is not None:
                self._flight = None
                entry[HITS] += 1
                self.value = entry[VALUE]
                return None
            flight: Flight = self.store.flights.setdefault(self.key, mine)
            if flight.is_over:  # one that could not be taken away
                self.store.flights[self.key] = flight = mine
            if flight is not mine:
                self._flight = None
            return flight

    def _enter(self) -> bool:
        self._token, self._started = current.set(self._flight or current.get()), perf_counter()
        return True

    def _leave(self) -> None:
        token, self._token = self._token, None
        self._loads.times.record(perf_counter() - self._started)
        with contextlib.suppress(ValueError):  # a coroutine that is closed by the collector ends in another's context
            current.reset(token)  # type: ignore[arg-type]  # there is one: see those who call this


def _running_loop() -> asyncio.AbstractEventLoop | None:
    import asyncio

    return asyncio._get_running_loop()  # None under another framework's


def run(load: Load, function: Callable[[], Any]) -> Any:
    """Return the value of ``function()``, called once however many threads and tasks ask for the key."""
    try:
        if load.begins():
            load.keep(function())
    except BaseException as error:
        if not load.bridges(error):
            raise
    finally:
        land(load)
    return load.value


async def arun(load: Load, function: Callable[[], Awaitable[Any]]) -> Any:
    """Do as `run` does, for a coroutine function."""
    try:
        if await load.abegins():
            load.keep(await function())
    except BaseException as error:
        if not load.bridges(error):
            raise
    finally:
        land(load)
    return load.value


def land(load: Load) -> None:
    """End a load, also if an interrupt strikes while that is done: nobody else would."""
    try:
        load.land()
    except BaseException:
        load.land()
        raise
