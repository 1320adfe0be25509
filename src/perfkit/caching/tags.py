"""Which entries carry which tags, so that they can be dropped together. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfkit.caching.entry import Entry

__all__ = ["Tags", "check_tags"]


def check_tags(tags: object) -> tuple[str, ...]:
    """Return tags as a tuple, or raise TypeError: an iterable of strings, but not one string."""
    if isinstance(tags, str) or not hasattr(tags, "__iter__"):
        raise TypeError(f"tags must be an iterable of strings, such as ('users',), not {tags!r}")
    checked = tuple(tags)
    for tag in checked:
        if not isinstance(tag, str):
            raise TypeError(f"tags must be strings, not {tag!r} ({type(tag).__name__})")
    return checked


class Tags:
    """Entries by tag. By identity, so that no key's ``__eq__`` or ``__hash__`` is asked."""

    __slots__ = ("_entries", "_tags")

    def __init__(self) -> None:
        self._entries: dict[str, dict[int, Entry]] = {}
        self._tags: dict[int, tuple[str, ...]] = {}

    def set(self, entry: Entry, tags: tuple[str, ...]) -> None:
        """Give an entry these tags instead of those it had."""
        self.remove(entry)
        if tags:
            self._tags[id(entry)] = tags
        for tag in tags:
            self._entries.setdefault(tag, {})[id(entry)] = entry

    def remove(self, entry: Entry) -> None:
        """Forget an entry."""
        for tag in self._tags.pop(id(entry), ()):
            carriers = self._entries.get(tag, {})
            carriers.pop(id(entry), None)
            if not carriers:
                self._entries.pop(tag, None)

    def of(self, entry: Entry) -> tuple[str, ...]:
        """Return an entry's tags."""
        return self._tags.get(id(entry), ())

    def carriers(self, tags: Iterable[str]) -> list[Entry]:
        """Return the entries that carry any of these tags."""
        found: dict[int, Entry] = {}
        for tag in tags:
            found.update(self._entries.get(tag, {}))
        return list(found.values())

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
        self._tags.clear()
