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
from perfkit.caching.flight import Abandoned, Flight, running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
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

    __slots__ = ("_flight", "_loads", "_started", "key", "store", "tags", "value")

    def __init__(self, store: Store, key: Any, loads: Loads, tags: tuple[str, ...]) -> None:
        self.store = store
        self.key = key
        self.tags = tags
        self._loads = loads
        self._flight: Flight | None = None
        self._started: float | None = None  # since when the caller makes the value

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
                return self._starts()
            waiting = flight.may_wait(blocks_thread=threading.get_ident())
            if waiting is None:
                return self._starts()
            with contextlib.suppress(Abandoned):
                self.value = flight.wait(waiting)
                return False

    async def abegins(self) -> bool:
        """Do as `begins` does, in a task."""
        here = running()
        while True:
            flight = self._join(Flight(self.tags, *here))
            if flight is None:
                return False
            if flight is self._flight:
                return self._starts()
            waiting = flight.may_wait()
            if waiting is None:
                return self._starts()
            with contextlib.suppress(Abandoned):
                self.value = await flight.wait_in_loop(waiting)
                return False

    def begins_alone(self) -> bool:
        """Tell whether the caller is to make the value again although there is one: nobody else is at it."""
        return self._leads(Flight(self.tags))

    def abegins_alone(self) -> bool:
        """Do as `begins_alone` does, in a task."""
        return self._leads(Flight(self.tags, *running()))

    def keep(self, value: Any) -> None:
        """Take the value that the caller has made: into the store, if it is to be kept, and to all who wait.

        Until that is done it is being made: users' code that is asked whether and how it is to be kept may ask for it.
        """
        self._stops()
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
            if self._started is not None:
                self._loads.failures += 1
            if self._flight is not None:
                self._flight.fail(error)
        return False

    def land(self) -> None:
        """See to it that nobody waits for a caller who has left, and that the next one begins anew."""
        flight = self._flight
        if flight is not None:
            try:
                if self.store.flights:
                    with self.store.lock:
                        if self.store.flights.get(self.key) is flight:
                            del self.store.flights[self.key]
            finally:
                flight.abandon()
                flight.place.leave()
            self._flight = None  # or a failure's frames would keep themselves alive
        if self._started is not None:
            self._stops()

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
            flight = self._led(mine)
            if flight is not mine:
                mine.place.leave()
                self._flight = None
            return flight

    def _leads(self, mine: Flight) -> bool:
        """Tell whether there was no flight, so that it is ours now."""
        self._flight = mine
        with self.store.lock:
            if self._led(mine) is mine:
                return self._starts()
            mine.place.leave()
        self._flight = None
        return False

    def _led(self, mine: Flight) -> Flight:
        """Return the key's flight, which is ours if there was none.

        We are part of ours before it is in the table: a signal's handler or a finaliser may ask for it from then on.
        """
        mine.place.enter()
        flight: Flight = self.store.flights.setdefault(self.key, mine)
        if flight is not mine and (flight.is_over or flight.place.stands()):  # one that could not be taken away
            self.store.flights[self.key] = flight = mine
        return flight

    def _starts(self) -> bool:
        self._started = perf_counter()
        return True

    def _stops(self) -> None:
        started, self._started = self._started, None
        self._loads.times.record(perf_counter() - started)  # type: ignore[operator]  # those who call this have begun


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
