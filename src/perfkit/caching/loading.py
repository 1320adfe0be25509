"""Getting a value that is missing: found after all, computed here, or waited for. For threads, and for tasks."""

from __future__ import annotations

import contextlib
import threading
from time import perf_counter

from perfkit._base.histogram import LatencyRecorder
from perfkit.caching.entry import HITS, VALUE
from perfkit.caching.flight import Abandoned, Flight, current

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from typing import Any

    from perfkit.caching.entry import Entry
    from perfkit.caching.store import Store

__all__ = ["Loader", "Loads", "aload", "areload", "load", "reload"]


class Loads:
    """How often values were made, how long it took, and how often it failed."""

    __slots__ = ("failures", "times")

    def __init__(self) -> None:
        self.times = LatencyRecorder()
        self.failures = 0


class Loader:
    """How a value is made, and how it is kept."""

    __slots__ = ("function", "keep", "loads")

    def __init__(
        self,
        function: Callable[..., Any],
        keep: Callable[[Store, Any, Any, Flight, tuple[Any, ...], dict[str, Any]], object],
        loads: Loads,
    ) -> None:
        """``keep(store, key, value, flight, args, kwargs)`` puts what ``function`` returned into the store, or not."""
        self.function = function
        self.keep = keep
        self.loads = loads


def load(store: Store, key: Any, loader: Loader, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return ``loader.function(*args, **kwargs)``, called once however many threads and tasks ask for the key.

    Raises what it raises, in all of them. Whoever it would have to wait for for ever is not waited for.
    """
    while True:
        mine = Flight()
        try:
            entry, flight = _join(store, key, mine)
            if entry is not None:
                return entry[VALUE]
            if flight is mine:
                return _lead(store, key, loader, args, kwargs, mine)
        except Exception as error:
            mine.fail(error)
            raise
        finally:
            _land(store, key, mine)
        if flight.would_deadlock(blocks_thread=threading.get_ident()):
            return loader.function(*args, **kwargs)
        with contextlib.suppress(Abandoned):
            return flight.wait()


async def aload(store: Store, key: Any, loader: Loader, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do as `load` does, for a coroutine function. A task that is cancelled while it leads hands on the lead."""
    while True:
        mine = Flight(loop_thread=threading.get_ident())
        try:
            entry, flight = _join(store, key, mine)
            if entry is not None:
                return entry[VALUE]
            if flight is mine:
                return await _alead(store, key, loader, args, kwargs, mine)
        except Exception as error:
            mine.fail(error)
            raise
        finally:
            _land(store, key, mine)
        if flight.would_deadlock():
            return await loader.function(*args, **kwargs)
        with contextlib.suppress(Abandoned):
            return await flight.wait_in_loop()


def reload(store: Store, key: Any, loader: Loader, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Make a value again although there is one, unless that is being done. Raises what the function raises."""
    mine = Flight()
    try:
        if _join_alone(store, key, mine):
            _lead(store, key, loader, args, kwargs, mine)
    except Exception as error:
        mine.fail(error)
        raise
    finally:
        _land(store, key, mine)


async def areload(store: Store, key: Any, loader: Loader, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Do as `reload` does, for a coroutine function."""
    mine = Flight(loop_thread=threading.get_ident())
    try:
        if _join_alone(store, key, mine):
            await _alead(store, key, loader, args, kwargs, mine)
    except Exception as error:
        mine.fail(error)
        raise
    finally:
        _land(store, key, mine)


def _join(store: Store, key: Any, mine: Flight) -> tuple[Entry | None, Flight]:
    """Return the entry, if it has come meanwhile; and the flight to wait for, which is ``mine`` if there was none."""
    with store.lock:
        flight: Flight = store.flights.setdefault(key, mine)
        if flight is not mine:
            return None, flight
        entry = store.fresh(key)
        if entry is not None:
            entry[HITS] += 1
        return entry, mine


def _join_alone(store: Store, key: Any, mine: Flight) -> bool:
    with store.lock:
        return store.flights.setdefault(key, mine) is mine


def _lead(store: Store, key: Any, loader: Loader, args: tuple[Any, ...], kwargs: dict[str, Any], flight: Flight) -> Any:
    token, started = current.set(flight), perf_counter()
    try:
        value = loader.function(*args, **kwargs)
    except Exception:
        loader.loads.failures += 1
        raise
    finally:
        _leave(token)
        loader.loads.times.record(perf_counter() - started)
    loader.keep(store, key, value, flight, args, kwargs)
    flight.succeed(value)
    return value


async def _alead(
    store: Store, key: Any, loader: Loader, args: tuple[Any, ...], kwargs: dict[str, Any], flight: Flight
) -> Any:
    token, started = current.set(flight), perf_counter()
    try:
        value = await loader.function(*args, **kwargs)
    except Exception:
        loader.loads.failures += 1
        raise
    finally:
        _leave(token)
        loader.loads.times.record(perf_counter() - started)
    loader.keep(store, key, value, flight, args, kwargs)
    flight.succeed(value)
    return value


def _land(store: Store, key: Any, flight: Flight) -> None:
    """See to it that nobody waits for a flight whose leader has left, and that the next caller begins another."""
    if store.flights:
        with store.lock:
            if store.flights.get(key) is flight:
                del store.flights[key]
    if not flight.is_over:
        flight.abandon()


def _leave(token: Token[Flight | None]) -> None:
    with contextlib.suppress(ValueError):  # a coroutine that is closed by the collector ends in another's context
        current.reset(token)
