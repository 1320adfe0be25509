"""Measuring usage against every bound, as often as somebody asks, but a control group only now and then."""

from __future__ import annotations

import time
from contextlib import suppress

from perfkit.memory.limits import bounds
from perfkit.memory.sampling import group_usage, is_there, rss
from perfkit.memory.usage import MemoryUsage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.memory.limits import Bound

__all__ = ["Gauge"]

_GROUP_EVERY = 0.05  # seconds; reading a group costs ten times what the process's own memory does
_BOUNDS_EVERY = 10.0  # seconds; limits can be changed, and processes moved


class Gauge:
    """Usage of what this process may use. Thread-safe: what is kept is replaced by one assignment."""

    def __init__(
        self,
        limit: int | None,
        timer: Callable[[], float] = time.monotonic,
        *,
        rss: Callable[[], int] = rss,
        process: str = "self",
    ) -> None:
        self._limit = limit
        self._timer = timer
        self._rss = rss
        self._process = process
        self.bounds = bounds(limit, process)
        self._is_grouped = len(self.bounds) > 1
        self._bounds_at = self._groups_at = timer()
        self._groups: tuple[tuple[Bound, int], ...] = ()
        self._base = 0  # own memory when those were read
        self._read_groups()

    @property
    def limit(self) -> Bound:
        """The tightest bound by itself, however full it and the others are."""
        return min(self.bounds, key=lambda bound: bound.limit)

    def read(self, *, is_exact: bool = False) -> MemoryUsage:
        """Return usage by the bound that is the fullest.

        Between two readings of a control group it is taken to grow as the process does; ``is_exact`` reads it now.
        """
        own = self._rss()
        if self._is_grouped or is_exact:
            self._look_again(is_exact=is_exact)
        bound, used = self.bounds[0], own
        for other, charged in self._groups:
            charged = max(0, charged + own - self._base)  # noqa: PLW2901 (what it is by now)
            if charged * bound.limit > used * other.limit:
                bound, used = other, charged
        return MemoryUsage(used, bound.limit, own, bound.source)

    def excess(self, share: float, more: int = 0, *, is_exact: bool = False) -> int:
        """Return the most that any bound would be over that share of it with so much more; negative: what is left."""
        own = self._rss()
        if self._is_grouped:
            self._look_again(is_exact=is_exact)
        excess = own + more - share * self.bounds[0].limit
        for bound, charged in self._groups:
            excess = max(excess, charged + own - self._base + more - share * bound.limit)
        return int(excess)

    def room(self, share: float) -> int:
        """Return the most that could ever be had within that share of every bound."""
        return int(share * self.limit.limit)

    def look_for_bounds(self, *, at_once: bool = False) -> None:
        """See now and then whether limits have changed. Those that can't be read now stay as they are."""
        if not at_once and self._timer() - self._bounds_at < _BOUNDS_EVERY:
            return
        self._bounds_at = self._timer()
        with suppress(OSError):
            self.bounds = bounds(self._limit, self._process)
        self._is_grouped = len(self.bounds) > 1
        self._read_groups()

    def _look_again(self, *, is_exact: bool) -> None:
        if is_exact or self._timer() - self._groups_at >= _GROUP_EVERY:
            self._read_groups()

    def _read_groups(self) -> None:
        """Read what each group holds; one that is there and can't be read has grown as the process did."""
        last, base = {bound.group: used for bound, used in self._groups}, self._base
        found = [(bound, bound.group, group_usage(bound.group)) for bound in self.bounds if bound.group is not None]
        own = self._rss()
        groups = []
        for bound, group, used in found:
            if used is None and group in last and is_there(group):
                used = max(0, last[group] + own - base)  # noqa: PLW2901 (what it is by all we know)
            if used is not None:
                groups.append((bound, used))
        self._base, self._groups, self._groups_at = own, tuple(groups), self._timer()
