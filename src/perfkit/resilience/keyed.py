"""One circuit breaker a key, bounded: what `CircuitBreaker.per_key` returns."""

from __future__ import annotations

import itertools
import threading
from weakref import WeakValueDictionary

from perfkit import registry
from perfkit._base import fork
from perfkit.caching import FrequencyBoostLRU
from perfkit.resilience import limits
from perfkit.resilience.breaker import CircuitBreaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any, NoReturn

    from perfkit.resilience.circuit import State
    from perfkit.resilience.stats import KeyedBreakersStats

__all__ = ["KeyedBreakers"]

_numbers = itertools.count(1)


class _Keyed(CircuitBreaker):
    """A breaker of a group: the group is listed, and is told of its changes first."""

    _is_listed = False

    def __init__(self, key: Hashable, group: KeyedBreakers, options: dict[str, Any]) -> None:
        super().__init__(**options, name=f"{group.name}[{key!r}]")
        self._key = key
        self._group = group

    def _changed(self, before: State, after: State) -> None:
        self._group._heed(self._key, self)
        super()._changed(before, after)


class KeyedBreakers:
    """Hands out one `perfkit.CircuitBreaker` a key: ``by_host(host)``. Made by ``CircuitBreaker.per_key(...)``.

    At most twice ``max_keys`` breakers are kept: as many as that of any kind, the ones used least forgotten first (see
    `perfkit.FrequencyBoostLRU`), and as many again that are not closed, the oldest forgotten first. A breaker that
    somebody holds is the one its key gives, also if it would be forgotten. Thread-safe; a key that is known costs no
    lock. Under memory pressure breakers that are closed may be forgotten.
    """

    def __init__(self, max_keys: int, options: dict[str, Any]) -> None:
        self._max_keys = limits.check_count(max_keys, "max_keys")
        self._options = dict(options)
        self.name: str = self._options.pop("name", None) or f"breakers-{next(_numbers)}"
        _Keyed("", self, self._options)  # bad options are refused here, not where the first key comes by
        self._kept: FrequencyBoostLRU[Hashable, _Keyed] = FrequencyBoostLRU(max_keys, name=f"{self.name}, keys")
        self._not_closed: dict[Hashable, _Keyed] = {}
        self._alive: WeakValueDictionary[Hashable, _Keyed] = WeakValueDictionary()
        self._lock = threading.RLock()
        fork.after_in_child(self)
        registry.register(self, part="resilience")

    def __enter__(self) -> NoReturn:
        raise TypeError("a breaker is for one key: write `with breakers(key):`")

    def __exit__(self, *raised: object) -> None: ...

    def __call__(self, key: Hashable) -> CircuitBreaker:
        """Return the breaker of a key, new and closed if there is none. Raises TypeError for a key without a hash."""
        try:
            hash(key)
        except TypeError:
            raise TypeError(f"a breaker's key must be hashable, such as a host's name, not {key!r}") from None
        return self._kept.get(key) or self._found_or_made(key)

    def stats(self) -> KeyedBreakersStats:
        """Return the figures of the breakers there are now, together. O(keys)."""
        from perfkit.resilience.stats import keyed_stats

        return keyed_stats(self.name, self._breakers())

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: keys={len(self._alive)}>"

    def _breakers(self) -> dict[Hashable, CircuitBreaker]:
        with self._lock:
            return dict(self._alive.items())

    def _found_or_made(self, key: Hashable) -> CircuitBreaker:
        with self._lock:
            breaker = self._alive.get(key)
            if breaker is None:
                breaker = self._alive[key] = _Keyed(key, self, self._options)
            self._kept[key] = breaker
            return breaker

    def _heed(self, key: Hashable, breaker: _Keyed) -> None:
        """Keep a breaker for as long as it isn't closed. Its state is asked for, as threads may come in any order."""
        with self._lock:
            self._not_closed.pop(key, None)
            if breaker.state == "closed":
                return
            self._not_closed[key] = breaker
            while len(self._not_closed) > self._max_keys:
                del self._not_closed[next(iter(self._not_closed))]

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
