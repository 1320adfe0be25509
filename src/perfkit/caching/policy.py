"""LIFT, the policy that decides what is evicted: Loop-tolerant Inter-reference FIFO with a FIFO-regret guard. Pure.

Two queues, oldest first: ``small`` for newcomers, ``main`` for what has proved itself, and ghosts of what was dropped
from each. A hit only raises a counter, so reading takes no lock and moves nothing. Time is counted in misses.

The base is S3-FIFO (J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23): most entries are
never read again, and leave by the small queue before they cost the others their place. Five things are different:

* *Warm fill.* Until the cache is full, small flows over into main, so that a loop larger than the cache has a resident
  part to hit.
* *LIRS's test* (S. Jiang, X. Zhang, SIGMETRICS '02). A ghost that comes back enters a full main only if it was born
  after main's oldest entry was last confirmed: if its own distance between uses is shorter.
* *The young test.* Small grows (N. Megiddo, D. Modha, "ARC", FAST '03, steers by ghosts so) only for ghosts that a
  plain FIFO of the whole capacity would still hold.
* *The regret guard.* Main grows only while it earns more hits than that FIFO would have had.
* *Staleness.* An entry of main that nobody confirmed for 16 capacities gives up its place.

Weak where loops are slightly larger than the cache, since age in misses underestimates distance, and where a scan turns
back at its end (a zigzag), which LRU likes and this does not.
"""

from __future__ import annotations

from collections import deque

from perfkit.caching.entry import BORN, DEAD, HITS
from perfkit.caching.ghosts import Ghosts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfkit.caching.entry import Entry

__all__ = ["UNBOUNDED", "Lift"]

UNBOUNDED = 2**62  # a capacity that is never reached

_STALE = 16  # capacities without a confirmation
_PROVING_HITS = 2  # with these an entry goes from small to main
_MOST_HITS = 3  # more than these count as these
_DECAY = 4  # capacities after which what was gained and regretted counts half
_SMALL, _LEAST_SMALL, _MOST_SMALL = 0.1, 0.05, 0.98  # of the capacity: small's length at first, and its bounds
_FEW_DEAD = 16
_PROVEN = -1  # the birth of a victim that comes from main

_NO_GHOSTS = Ghosts(1)  # never written to: a cache that has evicted nothing has none of its own


class Lift:
    """Which of at most ``capacity`` entries has to go. The caller has them by key, locks, and is told who goes.

    Entries are lists as in `perfkit.caching.entry`; the policy reads and writes HITS and BORN. All methods but `resize`
    are O(1), amortised: a turn of main's queue is paid for by the hits that made it turn.
    """

    __slots__ = (
        "_dead",
        "_decay_at",
        "_gain",
        "_regret",
        "_small_size",
        "_stale_age",
        "_target",
        "capacity",
        "clock",
        "ghosts",
        "main",
        "retired",
        "small",
    )

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # at least 1
        self.retired = 0  # hits that have been taken from entries' counters
        self.clock = 0
        self.forget_all()

    def __len__(self) -> int:
        return len(self.small) + len(self.main) - self._dead

    def entries(self) -> Iterator[Entry]:
        """Yield the living entries, oldest first, newcomers before proven ones."""
        for queue in (self.small, self.main):
            yield from (entry for entry in queue if entry[BORN] != DEAD)

    def forget_all(self) -> None:
        """Start anew; of what was, only the counts stay."""
        self.small: deque[Entry] = deque()
        self.main: deque[Entry] = deque()
        self._dead = 0
        self._aim(self.capacity * _SMALL)
        self._regret = self._gain = 0.0
        self._decay_at = self.clock + _DECAY * self.capacity
        self.ghosts = _NO_GHOSTS

    def admit(self, entry: Entry, hashed: int) -> Entry | None:
        """Give a new entry its place; return the one that goes for it if the cache is full.

        ``hashed`` is its key's hash. The caller takes the victim out of the cache and adds it to the ``ghosts``.
        """
        self.clock = now = self.clock + 1
        if now >= self._decay_at:
            self._decay()
        small, main, capacity = self.small, self.main, self.capacity
        ghosts = self.ghosts
        place = ghosts.places[hashed % ghosts.size]
        is_ghost = ghosts.hashes[place] == hashed
        into = main if is_ghost and self._returns_to_main(place) else small
        victim = None
        count = len(small) + len(main) - self._dead
        if count >= capacity:
            if ghosts is _NO_GHOSTS:
                self._make_ghosts()
            is_from_small = small and (len(small) >= self._small_size or not main)
            victim = (self._from_small() if is_from_small else self._from_main()) or self.evict()
        elif not is_ghost and count < capacity - 1 and small and len(small) >= self._small_size:
            self._warm()
        entry[BORN] = now
        into.append(entry)
        return victim

    def evict(self) -> Entry | None:
        """Take out the entry that would go next, and return it; None if there is none. `ghosts` should know of it."""
        if self.ghosts is _NO_GHOSTS:
            self._make_ghosts()
        small, main = self.small, self.main
        while small or main:
            is_from_small = small and (len(small) >= self._small_size or not main)
            victim = self._from_small() if is_from_small else self._from_main()
            if victim is not None:
                return victim
        return None

    def bury(self, entry: Entry) -> None:
        """Take note that an entry was deleted; its place in the queue is given up later, in one go with others'."""
        if entry[BORN] == DEAD:
            return
        self.retired += entry[HITS]
        entry[HITS], entry[BORN] = 0, DEAD
        self._dead += 1
        if self._dead > _FEW_DEAD and self._dead * 3 > len(self.small) + len(self.main):
            self._compact()

    def keep_only(self, entries: list[Entry]) -> None:
        """Have these entries, each once, in the queues they are in, and no others. O(n)."""
        wanted = {id(entry): entry for entry in entries}
        for queue in (self.small, self.main):
            there = [wanted.pop(id(entry)) for entry in queue if id(entry) in wanted]
            queue.clear()
            queue.extend(there)
        self._dead = 0
        for entry in wanted.values():
            self.restore(entry, proven=False)
        for entry in entries:
            entry[BORN] = max(entry[BORN], 0)

    def restore(self, entry: Entry, *, proven: bool) -> None:
        """Append an entry as it once was, without a miss; for a copy of a cache."""
        entry[BORN] = self.clock
        (self.main if proven else self.small).append(entry)

    def resize(self, capacity: int) -> None:
        """Change the capacity. Entries beyond it stay until `evict` is asked, or somebody is admitted."""
        first = self.capacity == UNBOUNDED
        target = capacity * _SMALL if first else self._target * capacity / self.capacity
        self.capacity = capacity
        self._aim(target)
        self._decay_at = min(self._decay_at, self.clock + _DECAY * capacity)
        if not capacity // 4 <= self.ghosts.capacity <= 2 * capacity:
            self.ghosts = _NO_GHOSTS
        while first and len(self.small) > self._target:  # what the warm fill would have done, had we known
            self._warm()

    def _make_ghosts(self) -> None:
        """Have arrays for ghosts, now that there is something to evict: caches that never do need none."""
        self.ghosts = Ghosts(max(1, min(self.capacity, len(self))))

    def _aim(self, target: float) -> None:
        """Set the wanted length of small, which is at least 1, and what else follows from it and the capacity."""
        self._target = max(1.0, target)
        self._small_size = int(self._target)
        self._stale_age = _STALE * self.capacity

    def _warm(self) -> None:
        oldest = self.small.popleft()
        if oldest[BORN] == DEAD:
            self._dead -= 1
            return
        oldest[BORN] = self.clock
        self.main.append(oldest)

    def _decay(self) -> None:
        self._regret /= 2
        self._gain /= 2
        self._decay_at = self.clock + _DECAY * self.capacity

    def _compact(self) -> None:
        self.small = deque(entry for entry in self.small if entry[BORN] != DEAD)
        self.main = deque(entry for entry in self.main if entry[BORN] != DEAD)
        self._dead = 0

    def _returns_to_main(self, place: int) -> bool:
        """Learn from a ghost that came back, and say whether it enters main."""
        ghosts, room = self.ghosts, self.capacity - self._target
        born = ghosts.born(place)
        if born is None:
            if self._regret <= self._gain:
                step = max(1.0, min(ghosts.newcomers, room) / ghosts.proven)
                self._aim(max(self._target - step, self.capacity * _LEAST_SMALL))
            born = -1  # older than all of main
        elif self.clock - born <= self.capacity:
            self._regret += 1
            step = max(1.0, ghosts.proven / max(1.0, room))
            self._aim(min(self._target + step, self.capacity * _MOST_SMALL))
        ghosts.forget(place)
        main = self.main
        if not main or len(main) < self.capacity - self._small_size:
            return True
        self._confirm()
        return bool(main[0][BORN] < born)

    def _confirm(self) -> None:
        """Turn main until its oldest entry is one without hits."""
        main, now = self.main, self.clock
        while hits := main[0][HITS]:
            if main[0][BORN] == DEAD:  # a reader that had it before it was buried counted a hit
                main[0][HITS] = 0
                return
            entry = main.popleft()
            kept = min(hits, _MOST_HITS)
            self._gain += min((now - entry[BORN]) / self.capacity, kept)
            entry[HITS] = kept - 1
            self.retired += hits - kept + 1
            entry[BORN] = now
            main.append(entry)

    def _from_small(self) -> Entry | None:
        """Take small's oldest out: it is the victim, or it goes to main. None if another step is needed."""
        main, now = self.main, self.clock
        entry, victim = self.small.popleft(), None
        hits = entry[HITS]
        if entry[BORN] == DEAD:
            self._dead -= 1
            return None
        if hits >= _PROVING_HITS:
            self.retired += hits
            entry[HITS] = 0
        else:
            if main and main[0][HITS]:
                self._confirm()
            if not main or now - main[0][BORN] <= self._stale_age:
                if hits:
                    self.retired += hits
                return entry
            victim = self._from_main()
        entry[BORN] = now
        main.append(entry)
        return victim

    def _from_main(self) -> Entry | None:
        """Take main's oldest out once it has no hits: it is the victim. None if another step is needed."""
        self._confirm()
        entry = self.main.popleft()
        if entry[BORN] == DEAD:
            self._dead -= 1
            return None
        entry[BORN] = _PROVEN
        return entry
