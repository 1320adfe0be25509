"""Dropping entries that have something in common, also those that are only just being made."""

from __future__ import annotations

from perfkit.caching.entry import KEY
from perfkit.caching.tags import check_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from perfkit.caching.store import Store

__all__ = ["invalidate"]


def invalidate(stores: Iterable[Store], tag: str | Iterable[str] | None, match: str | None) -> int:
    """Remove from some stores what carries a tag or has a key that matches, and return the number of entries."""
    if tag is None and match is None:
        raise TypeError("invalidate needs tag= or match=; clearing removes everything")
    wanted = () if tag is None else check_tags((tag,) if isinstance(tag, str) else tag)
    is_meant = _nobody if match is None else _matcher(match)
    removed = 0
    for store in stores:
        store.abandon(lambda key, flight: is_meant(key) or not set(wanted).isdisjoint(flight.tags))
        removed += _remove(store, wanted, is_meant)
        if store.failures is not None:  # after the loads, which would keep theirs
            _remove(store.failures, wanted, is_meant)
    return removed


def _remove(store: Store, tags: tuple[str, ...], is_meant: Callable[[Any], bool]) -> int:
    found = store.carriers(tags)
    if is_meant is not _nobody:
        found += [entry for entry in store.entries() if is_meant(entry[KEY])]
    return store.remove(found)


def _nobody(key: Any) -> bool:  # noqa: ARG001 (the shape of a matcher)
    return False


def _matcher(pattern: object) -> Callable[[Any], bool]:
    import fnmatch
    import re

    if not isinstance(pattern, str):
        raise TypeError(f"match must be a pattern such as 'user:*', not {pattern!r}")
    matches = re.compile(fnmatch.translate(pattern)).match
    return lambda key: isinstance(key, str) and matches(key) is not None
