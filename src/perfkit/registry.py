"""Live parts register here, weakly: ``stats()`` reads them, the memory watchdog reclaims from them.

A part calls ``register(self, part="…")`` when it is made. It needs a ``name`` and ``stats()``; one that holds memory it
can give back also has ``reclaim(need_bytes)``, which returns the bytes let go, and is found by that alone, so nobody
registers a cache by hand. ``reclaim`` may be called from any thread at any time: it must not wait for locks that are
held during I/O or a caller's function, and it drops only what can be made again.
"""

from __future__ import annotations

import weakref
from collections import namedtuple

from perfkit._base.logs import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NamedTuple, Protocol

    class Live(Protocol):
        """What every live object of perfkit has."""

        @property
        def name(self) -> str:
            """What the object is called in tables and log lines."""

        def stats(self) -> Any:
            """Return a frozen dataclass of its figures, cheap enough to be called each second."""

    class Reclaimable(Protocol):
        """A live object that can give memory back under pressure."""

        def reclaim(self, need_bytes: int) -> int:
            """Let go of about ``need_bytes`` (at least 1), or of what there is; return the bytes let go, estimated."""

    class Sized(Reclaimable, Protocol):
        """One that can say how much it holds: the largest is asked first, so that small ones keep what they have."""

        def held_bytes(self) -> int:
            """Return the bytes that it holds, estimated."""

    class _Snapshot(NamedTuple):
        part: str
        name: str
        stats: Any

else:
    _Snapshot = namedtuple("_Snapshot", ["part", "name", "stats"])

__all__ = ["Snapshot", "Stats", "largest_first", "live", "reclaimables", "register", "stats"]


class Snapshot(_Snapshot):
    """The figures of one live object at one moment: ``part``, ``name``, and the dataclass that its ``stats()`` gave."""

    __slots__ = ()


class Stats(tuple[Snapshot, ...]):
    """The figures of every live object at one moment: a tuple of `Snapshot`, which can be shown in four ways.

    ``print(stats)`` shows the main figures as one table, for people.
    """

    __slots__ = ()

    def __str__(self) -> str:
        from perfkit._base.figures_table import drawn

        return drawn(self)

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return all figures as JSON can hold them.

        Shape: for each part a list with a dictionary for each of its objects: ``{"caching": [{"kind": "cache", "name":
        "prices", "hits": 12, …}], …}``. Figures of durations are dictionaries (``count``, ``mean``, ``p50``, …, in
        seconds). What is infinite is None.
        """
        from perfkit._base.figures import dictionary

        return dictionary(self)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return what `to_dict` says as JSON text, on one line unless ``indent`` spaces a level are asked for."""
        import json

        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)

    def prometheus(self) -> str:
        """Return all figures in the text format that Prometheus scrapes, to be served as ``text/plain; version=0.0.4``.

        A metric is called ``perfkit_``, the kind of object, the figure, and its unit: ``perfkit_cache_hits_total``,
        ``perfkit_pool_idle``, ``perfkit_tracker_latency_seconds`` (a summary). The label ``name`` is the object's;
        where two of a kind have one name, the second is "name (2)". States are a gauge for each, 1 for the one that is.
        Cost: of the order of 10 µs an object, when it is asked for; nothing is done event by event.
        """
        from perfkit._base.figures_prometheus import exposed

        return exposed(self)


# A plain dict, not a WeakSet: a weak reference's callback may run in the middle of anything, so it must take no lock,
# and a WeakSet cannot be walked while other threads add to it. Single dict operations are atomic, with and without the
# GIL.
_live: dict[int, tuple[str, weakref.ref[Any]]] = {}


def register(thing: Live, *, part: str) -> None:
    """Make ``thing`` visible to `stats` and to the watchdog for as long as it lives.

    Args:
        thing: an object with ``name`` and ``stats()``, weakly referable; it is never kept alive by this.
        part: the part it belongs to, such as ``"statefile"``.

    Cost: about a microsecond, once an object.
    """
    key = id(thing)
    _live[key] = part, weakref.ref(thing, lambda _: _live.pop(key, None))


def live() -> Iterator[tuple[str, Any]]:
    """Yield ``(part, object)`` for each object alive now, oldest first. Safe while other threads register."""
    for part, reference in list(_live.values()):
        thing = reference()
        if thing is not None:
            yield part, thing


def reclaimables() -> Iterator[tuple[str, Reclaimable]]:
    """Yield ``(part, object)`` for each live object that can give memory back."""
    return ((part, thing) for part, thing in live() if callable(getattr(thing, "reclaim", None)))


def largest_first() -> list[tuple[str, Reclaimable]]:
    """Return what `reclaimables` yields, what holds most first: or small ones would be emptied before a large one.

    Those that can't say are last, oldest first.
    """
    return sorted(reclaimables(), key=lambda each: _held_bytes(each[1]), reverse=True)


def _held_bytes(thing: Any) -> int:
    if not hasattr(thing, "held_bytes"):
        return 0
    try:
        return int(thing.held_bytes())
    except Exception:  # noqa: BLE001 (a single bad object hides no other)
        return 0


def stats() -> Stats:
    """Return the figures of every live perfkit object, oldest first, as ``(part, name, stats)`` tuples.

    ``print`` shows them as a table; its ``to_dict()``, ``to_json()`` and ``prometheus()`` give them to programs. Each
    ``stats`` is the frozen dataclass that the object's own ``.stats()`` returns. Objects are held weakly: one that is
    gone is not listed. One whose ``stats()`` raises is logged and left out, so that a single bad object hides no other.
    Thread-safe. Cost: the sum of the objects' own ``stats()``, a few microseconds each.
    """
    return Stats(_snapshots())


def _snapshots() -> Iterator[Snapshot]:
    for part, thing in live():
        name = type(thing).__name__
        try:
            name = thing.name
            yield Snapshot(part, name, thing.stats())
        except Exception:  # noqa: BLE001 (a single bad object hides no other)
            logger("registry").exception("stats() of %s %r failed; it is left out", part, name)
