"""The hashes of what was evicted lately, in arrays of fixed size: no key is kept alive, and churn costs no memory.

Two first-in-first-out rings (newcomers that failed, proven entries that were dropped) in one array, and a table that
leads from a hash to its place in it. The table has one place for each hash and forgets the older of two that meet: a
hint lost now and then costs less than a search would.
"""

from __future__ import annotations

from array import array

__all__ = ["Ghosts"]

_NOBODY = -1  # what hash() never returns


class Ghosts:
    """Remembers up to ``capacity`` newcomers with their birth, and half as many proven entries without."""

    __slots__ = ("_born", "_next", "_next_proven", "capacity", "hashes", "newcomers", "places", "proven", "size")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.newcomers = self.proven = 0  # how many are remembered
        ring = capacity + max(1, capacity // 2)
        self.hashes = array("q", [_NOBODY]) * ring
        self._born = array("q", [0]) * capacity
        # Coprime with 2 and 3, so that keys in equal steps meet no more often than others.
        self.size = 6 * capacity + 1
        self.places = array("i" if ring < 2**31 else "q", [0]) * self.size
        self._next, self._next_proven = 0, capacity

    def born(self, place: int) -> int | None:
        """Return when a newcomer was born; None for a proven entry."""
        return self._born[place] if place < self.capacity else None

    def forget(self, place: int) -> None:
        """Remove what is at a place."""
        self.hashes[place] = _NOBODY
        if place < self.capacity:
            self.newcomers -= 1
        else:
            self.proven -= 1

    def add(self, hashed: int, born: int) -> None:
        """Remember an entry that was dropped: a newcomer with its birth, or, with a birth below 0, a proven one."""
        hashes = self.hashes
        if born < 0:
            place = self._next_proven
            self._next_proven = place + 1 if place + 1 < len(hashes) else self.capacity
            if hashes[place] == _NOBODY:
                self.proven += 1
        else:
            place = self._next
            self._next = place + 1 if place + 1 < self.capacity else 0
            if hashes[place] == _NOBODY:
                self.newcomers += 1
            self._born[place] = born
        hashes[place] = hashed
        self.places[hashed % self.size] = place
