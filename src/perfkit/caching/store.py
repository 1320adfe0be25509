"""The entries of one cache and all that is done to them under its lock (over 400 lines, for it is one lock's rules).

A dictionary that readers use without the lock, and what keeps it within its limits.

Users' code (``__hash__`` and ``__eq__`` of keys, a timer, a value's ``__del__``) may run at each dictionary operation,
raise, or use the cache again from the same thread. So the lock is re-entrant, what could raise comes first, and between
two operations policy, dictionary and sums agree.
"""

from __future__ import annotations

import contextlib
import math
import threading
from functools import partial

from perfkit._base.logs import logger
from perfkit.caching.deadlines import Deadlines
from perfkit.caching.entry import BORN, DEAD, EXPIRES, HITS, KEY, SIZE, SOFT, VALUE
from perfkit.caching.policy import UNBOUNDED, Lift
from perfkit.caching.sizing import deep_size, shown
from perfkit.caching.tags import Tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from perfkit.caching.entry import Entry
    from perfkit.caching.flight import Flight

    T = TypeVar("T")
    Record = tuple[Any, Any, float | None, tuple[str, ...], bool]
    Evicted = tuple[Any, Any, str]  # key, value, cause

__all__ = ["CAUSES", "Store", "TooLarge"]

CAUSES = ("expired", "replaced", "deleted", "cleared")  # beside "size"

_SAMPLE = 32
_SLACK = 16  # the capacity follows what fits when that is off by more than one part in so many


class TooLarge(ValueError):
    """A value alone exceeds the limit: what cachetools raises a ValueError for."""


class Store:
    """Entries under at most ``max_count`` and ``max_size`` together, where ``weigh(key, value)`` gives a size."""

    def __init__(
        self,
        *,
        max_count: int,
        max_size: float,
        weigh: Callable[[Any, Any], float] | None,
        timer: Callable[[], float],
        on_evict: Callable[[Any, Any, Any], object] | None,
        aging: tuple[float, float] | None = None,
        never: float | None = None,
        timeless: bool = False,
        in_bytes: bool = False,
    ) -> None:
        """Make an empty store.

        ``in_bytes``: whether that is what ``weigh`` gives.
        ``never``: what EXPIRES is for ever; infinity for readers that compare it without looking. ``timeless``: readers
        don't look at EXPIRES at all, so nothing may expire.
        ``aging``: at which fraction of its ttl an entry turns SOFT, and for how many seconds after its ttl it stays.
        """
        self.data: dict[Any, Entry] = {}
        self.flights: dict[Any, Flight] = {}  # loads on the way
        self.lock = threading.RLock()
        self.timer = timer
        self.on_evict = on_evict
        self.max_count = max_count
        self.max_size = max_size
        self.size: float = 0
        self.misses = self.evicted = self.refused = 0
        self.failures: Store | None = None  # what was raised instead of a value, where that is kept
        self.evictions = dict.fromkeys(CAUSES, 0)
        self.aging = aging
        self.never = never
        self.timeless = timeless
        self._weigh = weigh
        self._in_bytes = in_bytes
        self._policy = Lift(min(max(1, max_count), UNBOUNDED))
        self._deadlines = Deadlines()
        self._is_timed = False  # whether anything ever expires here
        self._is_torn = False  # whether policy and sums may disagree with the dictionary
        self._tags: Tags | None = None

    def another(self) -> Store:
        """Return an empty store of the same kind."""
        return Store(
            max_count=self.max_count,
            max_size=self.max_size,
            weigh=self._weigh,
            timer=self.timer,
            on_evict=self.on_evict,
            aging=self.aging,
            never=self.never,
            timeless=self.timeless,
            in_bytes=self._in_bytes,
        )

    def hits(self) -> int:
        """Return how often readers found something. O(n): each entry has a counter of its own."""
        with self.lock:
            current: int = sum([entry[HITS] for entry in self.data.values()])
            return self._policy.retired + current

    def find(self, key: Any) -> Entry | None:
        """Return the living entry of a key."""
        entry = self.data.get(key)
        if entry is None or (entry[EXPIRES] is not None and entry[EXPIRES] <= self.timer()):
            return None
        return entry

    def fresh(self, key: Any) -> Entry | None:
        """Return the living entry of a key, unless it has turned SOFT."""
        entry = self.find(key)
        if entry is None or self.aging is None or entry[SOFT] > self.timer():
            return entry
        return None

    def put(  # noqa: C901, PLR0912, PLR0915 (in one piece, for each call would cost as much as what it does)
        self,
        key: Any,
        value: Any,
        ttl: float | None,
        tags: tuple[str, ...] = (),
        flight: Flight | None = None,
        *,
        only_new: bool = False,
    ) -> Entry | None:
        """Keep a value for ``ttl`` seconds, or for as long as there is room. Raises ValueError if it is too large.

        ``flight`` is the load that made it: if its key was written or removed meanwhile, the value isn't kept.
        ``only_new``: an entry that is there stays as it is. Return the key's entry, or None if the value isn't kept.
        """
        hashed = hash(key)
        if ttl is not None and not ttl > 0:
            self._refuse(key)
            return None
        size = 1 if self._weigh is None and self.max_count else self._checked_size(key, value)
        expires, soft = self.never if ttl is None else self._end_of(ttl), _NEVER_SOFT
        if self.aging is not None:
            expires, soft = self._aged(ttl)
        gone: list[Evicted] = []
        try:
            with self.lock:
                try:
                    if (flight is not None or self.flights) and self.flights.pop(key, None) is not flight is not None:
                        return None
                    if self._is_timed or self._is_torn:
                        self._expire(gone)
                    entry = self.data.get(key)
                    if entry is None:
                        if self._weigh is not None:
                            self._make_room(size, gone)
                        new = [value, 0, key, 0, expires, size, *soft]
                        entry = self.data.setdefault(key, new)
                    else:
                        new = None
                    if entry is new:
                        if self._weigh is not None:
                            self.size += size
                        victim = self._policy.admit(entry, hashed)
                        if victim is not None:
                            self._let_go(victim, gone)
                        if ttl is not None:
                            self._is_timed = True
                            self._deadlines.add(entry)
                    elif only_new:
                        return entry
                    else:
                        self._replace(entry, [value, expires, size, *soft], gone)
                    if tags or self._tags is not None:
                        self._tag(entry, tags)
                    return entry  # noqa: TRY300 (it is the end)
                except _ANYWHERE:
                    self._is_torn = True
                    self._mend(gone)
                    raise
                except Exception:  # each step is prepared for what users' code raises
                    raise
                except BaseException:
                    self._is_torn = True
                    self._mend(gone)
                    raise
        finally:
            if gone and self.on_evict is not None:
                self.tell(gone)

    def count_miss(self) -> None:
        """Count a read that found nothing."""
        with self.lock:
            self.misses += 1

    def count_refusal(self) -> None:
        """Count a value that isn't kept."""
        with self.lock:
            self.refused += 1

    def failures_kept(self) -> Store:
        """Return the store of what was raised instead of a value, made now if there is none; bound as this one is."""
        with self.lock:
            if self.failures is None:
                self.failures = Store(
                    max_count=self.max_count,
                    max_size=self.max_size,
                    weigh=self._weigh,
                    timer=self.timer,
                    on_evict=None,
                )
            return self.failures

    def take(self, key: Any) -> Entry | None:
        """Remove a key, and what was raised for it, and return its entry, or None."""
        return self._exclusively(lambda gone: self._taken(key, gone))

    def take_next(self) -> Entry | None:
        """Remove the entry that would be evicted next, and return it."""
        return self._exclusively(self._taken_next)

    def remove(self, entries: Iterable[Entry], cause: str = "deleted") -> int:
        """Remove those entries that are still there, and return their number."""
        return self._exclusively(lambda gone: self._removed(entries, cause, gone))

    def shrink(self, is_enough: Callable[[], bool]) -> int:
        """Evict by policy until that is enough or nothing is left; return the number of entries evicted."""
        return self._exclusively(lambda gone: self._shrunk(is_enough, gone))

    def discard(self, key: Any) -> bool:
        """Remove a key, and what was raised for it; False if there was no entry."""
        return self.take(key) is not None

    def held_bytes(self) -> int:
        """Return the bytes of all entries, estimated."""
        return int(self._bytes()) if self.data else 0

    def reclaim(self, need_bytes: int) -> int:
        """Evict, by policy, about so many bytes; return how many, estimated."""
        count, size = self.expire(), self._bytes()
        if not count:
            return 0
        most = count - math.ceil(count * min(1.0, need_bytes / max(size, 1)))
        return int(size * self.shrink(lambda: len(self.data) <= most) / count)

    def count_anew(self) -> None:
        """Count hits and misses from zero."""
        with self.lock:
            self.misses, self._policy.retired = 0, 0
            for entry in self.data.values():
                self._policy.retired -= entry[HITS]

    def clear(self) -> None:
        """Remove everything; the counts stay."""
        self._exclusively(self._cleared)

    def expire(self) -> int:
        """Remove what has expired, and return the number of entries left."""
        if self._is_timed or self._is_torn:
            self._exclusively(self._expire)
        return len(self.data)

    def entries(self) -> list[Entry]:
        """Return the living entries, as the policy has them: oldest first, newcomers before proven ones."""
        self.expire()
        with self.lock:
            return list(self._policy.entries())

    def records(self) -> list[Record]:
        """Return the living entries as they would be put in again: key, value, seconds left, tags, and queue."""
        self.expire()
        with self.lock:
            now, proven = self.timer(), {id(entry) for entry in self._policy.main}
            return [
                (
                    entry[KEY],
                    entry[VALUE],
                    None if entry[EXPIRES] == self.never else entry[EXPIRES] - now,
                    self.tags_of(entry),
                    id(entry) in proven,
                )
                for entry in self._policy.entries()
            ]

    def restore(self, records: Iterable[Record]) -> int:
        """Put in what isn't there, each into the queue it was in, as far as there is room; return their number."""
        self.expire()
        return sum(self._exclusively(partial(self._restored, record)) for record in records)

    def carriers(self, tags: Iterable[str]) -> list[Entry]:
        """Return the entries that carry any of these tags."""
        with self.lock:
            return [] if self._tags is None else self._tags.carriers(tags)

    def tags_of(self, entry: Entry) -> tuple[str, ...]:
        """Return an entry's tags."""
        return () if self._tags is None else self._tags.of(entry)

    def abandon(self, concerns: Callable[[Any, Flight], bool]) -> None:
        """Have some loads that are on the way kept by nobody."""
        with self.lock:
            for key in [key for key, flight in self.flights.items() if concerns(key, flight)]:
                del self.flights[key]

    def renew(self) -> None:
        """After a fork, in the child: loads that other threads led never end, nor does what they held the lock for."""
        torn = not self.lock.acquire(blocking=False)
        self.lock = threading.RLock()
        self.flights.clear()
        if self.failures is not None:
            self.failures.renew()
        if torn:
            self._policy.forget_all()
            self._deadlines.clear()
            self._tags = None
            self.data.clear()
            self.size = 0

    def tell(self, gone: list[Evicted]) -> None:
        """Call ``on_evict`` for what has left the cache. Not under the lock."""
        if self.on_evict is None:
            return
        for key, value, cause in gone:
            try:
                self.on_evict(key, value, cause)
            except Exception:  # noqa: BLE001 (whoever happens to put something in has nothing to do with it)
                logger("caching").exception("on_evict(%r, ..., %r) failed; the entry is gone all the same", key, cause)

    def _exclusively(self, change: Callable[[list[Evicted]], T]) -> T:
        """Return ``change(gone)``, made under the lock; then tell what has gone."""
        gone: list[Evicted] = []
        try:
            with self.lock:
                try:
                    return change(gone)
                except _ANYWHERE:
                    self._is_torn = True
                    self._mend(gone)
                    raise
                except Exception:  # each change is prepared for what users' code raises
                    raise
                except BaseException:
                    self._is_torn = True
                    self._mend(gone)
                    raise
        finally:
            self.tell(gone)

    # -- under the lock

    def _mend(self, gone: list[Evicted]) -> None:
        """Have policy and sums follow the dictionary again, and the dictionary its limits.

        After what may have struck between any two steps: an interrupt, or the end of the stack or of the memory. Those
        may strike here too; `_is_torn` is there until it is done, and it is done before the next change.
        """
        entries = list(self.data.values())
        self._policy.keep_only(entries)
        self._deadlines.clear()
        self.size = sum([entry[SIZE] for entry in entries]) if self._weigh is not None else 0
        for entry in entries:
            if entry[EXPIRES] != self.never:
                self._is_timed = True
                self._deadlines.add(entry)
        while (len(self.data) > self.max_count or self.size > self.max_size) and self._evict(gone):
            pass
        self._is_torn = False

    def _restored(self, record: Record, _: list[Evicted]) -> bool:
        """Put an entry in as it once was; False if its key is there, or no room."""
        key, value, left, tags, is_proven = record
        if key in self.data or len(self.data) >= self.max_count or (self.timeless and left is not None):
            return False
        try:
            size = self._checked_size(key, value)
        except TooLarge:
            return False
        if self.size + size > self.max_size:
            return False
        expires = self.never if left is None else self.timer() + left
        soft = [] if self.aging is None else [_FOREVER if left is None else self.timer() + left - self.aging[1]]
        entry = [value, 0, key, 0, expires, size, *soft]
        self.data[key] = entry
        self.size += size if self._weigh is not None else 0
        self._policy.restore(entry, proven=is_proven)
        if left is not None:
            self._is_timed = True
            self._deadlines.add(entry)
        if tags:
            self._tag(entry, tags)
        return True

    def _taken(self, key: Any, gone: list[Evicted]) -> Entry | None:
        self._expire(gone)
        self.flights.pop(key, None)
        if self.failures is not None:
            self.failures.take(key)
        entry = self.data.get(key)
        if entry is not None:
            self._remove(entry, "deleted", gone)
        return entry

    def _removed(self, entries: Iterable[Entry], cause: str, gone: list[Evicted]) -> int:
        for entry in entries:
            if entry[BORN] != DEAD:
                self._drop_flight(entry[KEY])
                self._remove(entry, cause, gone)
        return len(gone)

    def _drop_flight(self, key: Any) -> None:
        """Have what is being loaded for a key kept by nobody."""
        if self.flights:
            with contextlib.suppress(Exception):  # the key's own fault
                self.flights.pop(key, None)

    def _taken_next(self, gone: list[Evicted]) -> Entry | None:
        self._expire(gone)
        entry = self._policy.evict()
        if entry is not None:
            self._drop_flight(entry[KEY])
            entry[BORN] = DEAD
            self._forget(entry, "deleted", gone)
        return entry

    def _shrunk(self, is_enough: Callable[[], bool], gone: list[Evicted]) -> int:
        self._expire(gone)
        expired = len(gone)
        while not is_enough() and self._evict(gone):
            pass
        return len(gone) - expired

    def _cleared(self, gone: list[Evicted]) -> None:
        self.flights.clear()
        self.failures = None
        self._expire(gone)
        entries = list(self.data.values())
        self.data.clear()
        self._policy.retired += sum([entry[HITS] for entry in entries])
        self._policy.forget_all()
        self._deadlines.clear()
        self._tags = None
        self.size = 0
        self.evictions["cleared"] += len(entries)
        for entry in entries:
            entry[BORN] = DEAD
            gone.append((entry[KEY], entry[VALUE], "cleared"))

    def _expire(self, gone: list[Evicted]) -> None:
        """Remove what has expired; first of all mend what is torn."""
        if self._is_torn:
            self._mend(gone)
        if self._is_timed:
            for entry in self._deadlines.over(self.timer()):
                self._remove(entry, "expired", gone)

    def _replace(self, entry: Entry, new: list[Any], gone: list[Evicted]) -> None:
        self.evictions["replaced"] += 1
        gone.append((entry[KEY], entry[VALUE], "replaced"))
        value, expires, size, *soft = new
        self.size += size - entry[SIZE]
        was = entry[EXPIRES]
        entry[VALUE], entry[EXPIRES], entry[SIZE], entry[SOFT:] = value, expires, size, soft
        if was != expires:
            if was != self.never:
                self._deadlines.forget()
            if expires != self.never:
                self._is_timed = True
                self._deadlines.add(entry)
        while self.size > self.max_size and self._evict(gone, keep=entry):
            pass

    def _make_room(self, size: float, gone: list[Evicted]) -> None:
        """Evict until an entry of this size fits. The policy's capacity is the number of those that do."""
        policy = self._policy
        if self.size + size <= self.max_size:
            if len(policy) >= policy.capacity < self.max_count:
                policy.resize(min(self.max_count, policy.capacity + policy.capacity // _SLACK + 1))
            return
        fits = max(1, len(policy))
        if policy.capacity > fits + fits // _SLACK + 1:
            policy.resize(fits)
        while self.size + size > self.max_size and self._evict(gone):
            pass

    def _evict(self, gone: list[Evicted], keep: Entry | None = None) -> bool:
        """Evict one entry; False if there is none, but for ``keep``."""
        victim = self._policy.evict()
        if victim is keep and victim is not None:
            other = self._policy.evict()
            self._policy.restore(victim, proven=True)
            victim = other
        if victim is None:
            return False
        self._let_go(victim, gone)
        return True

    def _let_go(self, victim: Entry, gone: list[Evicted]) -> None:
        """Take what the policy has evicted out of the cache, and leave a ghost of it."""
        key = victim[KEY]
        gone.append((key, victim[VALUE], "size"))
        born, victim[BORN] = victim[BORN], DEAD
        try:
            self._policy.ghosts.add(hash(key), born)
            is_out = self.data.pop(key) is victim
        except Exception:  # noqa: BLE001 (the key's own fault; what can't be hashed any more has no ghost)
            is_out = False
        self.evicted += 1
        if not is_out or self._is_timed or self._weigh is not None or self._tags is not None:
            self._settle(victim, gone, is_out=is_out)

    def _remove(self, entry: Entry, cause: str, gone: list[Evicted]) -> None:
        """Take an entry out of the cache, and out of the policy."""
        if entry[BORN] == DEAD:  # the key's own code asks, while it is done
            return
        self._policy.bury(entry)
        self._forget(entry, cause, gone)

    def _forget(self, entry: Entry, cause: str, gone: list[Evicted]) -> None:
        try:
            is_out = self.data.pop(entry[KEY]) is entry
        except Exception:  # noqa: BLE001 (the key's own fault)
            is_out = False
        gone.append((entry[KEY], entry[VALUE], cause))
        self.evictions[cause] += 1
        self._settle(entry, gone, is_out=is_out)

    def _settle(self, entry: Entry, gone: list[Evicted], *, is_out: bool) -> None:
        """Take an entry that has left out of the sums, and out of the dictionary if asking its key has not done it."""
        if not is_out:
            self._unlink(entry, gone)
        if entry[EXPIRES] != self.never:
            self._deadlines.forget()
        if self._weigh is not None:
            self.size -= entry[SIZE]
        if self._tags is not None:
            self._tags.remove(entry)

    def _unlink(self, entry: Entry, gone: list[Evicted]) -> None:
        """Take an entry out of the dictionary without asking its key, which is not to be trusted any more."""
        others = [other for other in self._policy.entries() if other is not entry]
        self.data.clear()
        for other in others:
            try:
                is_in = self.data.setdefault(other[KEY], other) is other
            except Exception:  # noqa: BLE001 (this one can't be found again either)
                is_in = False
            if not is_in:
                self._policy.bury(other)
                gone.append((other[KEY], other[VALUE], "deleted"))
                self.evictions["deleted"] += 1
                self._settle(other, gone, is_out=True)

    def _bytes(self) -> float:
        """Return about how many bytes keys and values take, from a few of them if nobody has measured."""
        if self._in_bytes:
            return self.size
        entries = self.entries()
        sample = entries[:: max(1, len(entries) // _SAMPLE)]
        return len(entries) * sum(deep_size(entry) for entry in sample) / max(1, len(sample))

    def _refuse(self, key: Any) -> None:
        """Keep nothing for a key: what it had is replaced by what lives for no time."""
        self.count_refusal()
        self.take(key)

    def _checked_size(self, key: Any, value: Any) -> float:
        size = 1 if self._weigh is None else self._weigh(key, value)
        if not size <= self.max_size or not self.max_count:
            self.count_refusal()
            raise TooLarge(f"value too large: {shown(key)} has a size of {size:,}, and the most is {self._most():,}")
        return size

    def _most(self) -> float:
        return self.max_size if self.max_count else 0

    def _end_of(self, ttl: float) -> float:
        if self.timeless:
            raise ValueError(
                "nothing in this function's cache expires, so that its hits need no clock: for lives of their own give"
                " it @cached(ttl=...), which may be infinite"
            )
        return self.timer() + ttl

    def _aged(self, ttl: float | None) -> tuple[float | None, tuple[float, ...]]:
        """Return when an entry expires and when it turns SOFT."""
        if ttl is None or self.aging is None:
            return self.never, (_FOREVER,)
        now, (fraction, stale) = self.timer(), self.aging
        return now + ttl + stale, (now + ttl * fraction,)

    def _tag(self, entry: Entry, tags: tuple[str, ...]) -> None:
        if self._tags is None:
            self._tags = Tags()
        self._tags.set(entry, tags)


_ANYWHERE = (RecursionError, MemoryError)  # Exceptions that strike as an interrupt does, not only in users' code
_FOREVER = math.inf
_NEVER_SOFT: tuple[float, ...] = ()
