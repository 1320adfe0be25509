"""What a pool decides: who gets which connection, which are made, which closed (over 400 lines, for one lock's rules).

Pure: the time is passed in, and what is to be done (connect, close, check) is left in `todo` for a driver, which calls
every method here under its lock and does that after unlocking. The drivers own the fast path: they pop from ``idle``
and append to it without a lock. What makes that safe: whoever begins to wait stands in ``waiting`` first and looks at
``idle`` then; whoever gives back appends to ``idle`` first and looks at ``waiting`` then. One of them sees the other.

An interrupt may strike at any call, and what it strikes is not taken up again. So what belongs together changes without
a call between, whoever is handed something leaves the queue afterwards, and what was begun is found again: entries and
attempts by their ends, those to be closed in ``leaving``.
"""

from __future__ import annotations

import math
import weakref
from collections import OrderedDict, deque
from itertools import takewhile

from perfkit._base.exceptions import to_raise
from perfkit.pooling.entry import Attempt, Entry
from perfkit.pooling.errors import PoolClosed, PoolFull

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    from perfkit.pooling.options import Options

    class Ticket(Protocol):
        """Somebody's place in the queue, ``since`` when."""

        since: float

        def nudge(self) -> None:
            """Say that something is idle, which others may take first; nothing if it isn't waited for any more."""

        def give(self, entry: Entry) -> bool:
            """Hand over a connection; False if it isn't waited for any more."""

        def fail(self, error: Exception) -> None:
            """Hand over an error instead, if it is waited for still."""


__all__ = ["REASONS", "Core", "Todo"]

REASONS = ("lifetime", "idle", "uses", "dead", "drained", "surplus", "discarded", "failed over", "lost", "closed")


class Todo:
    """What a driver has to do once it has unlocked: entries to close, entries to check, connections to make.

    It takes them out one by one, without the lock.
    """

    __slots__ = ("checks", "closing", "connects")

    def __init__(self) -> None:
        self.closing: deque[Entry] = deque()
        self.checks: deque[Entry] = deque()
        self.connects: deque[Attempt] = deque()

    def __bool__(self) -> bool:
        return bool(self.closing or self.checks or self.connects)


class Core:
    """The state of one pool. ``size`` counts the connections there are; ``connecting``, attempts under way."""

    def __init__(
        self,
        *,
        name: str,
        max_size: int,
        min_size: int,
        max_waiting: int,
        max_idle: float,
        max_uses: int,
        barging: float,
        backoff: tuple[float, float],
        random: Callable[[], float],
    ) -> None:
        self.name = name
        self.max_size = max_size
        self.min_size = min_size
        self.max_waiting = max_waiting
        self.max_idle = max_idle
        self.max_uses = max_uses
        self.barging = barging  # seconds
        self.idle: deque[Entry] = deque()  # the last used is the next lent, so what isn't needed grows idle
        self.waiting: OrderedDict[Ticket, None] = OrderedDict()  # leaving it costs the same anywhere
        self.lost: deque[Entry | Attempt] = deque()  # what finalisers have found
        self.leaving: dict[int, Entry] = {}  # those that are to be closed, until they are
        self.todo = Todo()
        self.size = 0
        self.connecting = 0
        self.probing = 0  # tries of the preferred factory, which are none of those that are wanted; one at most
        self.generation = 0  # counts drains: an attempt that began before one has made an old connection
        self.is_closed = False
        self.is_used = False  # min_size is kept from the first use on
        self.error: Exception | None = None  # of the last attempt, if that failed
        self.is_final = False  # and trying again at once would be of no use
        self.retry_at = -math.inf
        self.created = self.errors = self.past_uses = self.turned_away = 0
        self.closed = dict.fromkeys(REASONS, 0)
        self._entries: dict[int, weakref.ref[Entry]] = {}
        self._peak = 0
        self._backoff = backoff
        self.failed_in_row = 0  # attempts
        self._failing_since = math.nan
        self._failures = 0  # in a row, those at once counted as one
        self._random = random

    @classmethod
    def made_of(cls, options: Options, name: str, *, barging: float, random: Callable[[], float]) -> Core:
        """Return the core of a pool with these options; ``barging``: see `_hand`."""
        return cls(
            name=name,
            max_size=options.max_size,
            min_size=options.min_size,
            max_waiting=options.max_waiting,
            max_idle=options.max_idle,
            max_uses=options.max_uses,
            barging=barging,
            backoff=options.backoff,
            random=random,
        )

    @property
    def entries(self) -> list[Entry]:
        """The connections that are in the pool, lent or not, and not lost.

        Of a pool that the collector is about to end, the weak references are gone already when a ``__del__`` closes it.
        """
        alive = [entry for reference in list(self._entries.values()) if (entry := reference()) is not None]
        return list({id(entry): entry for entry in [*self.idle.copy(), *alive]}.values())

    # -- somebody wants one

    def ask(self, ticket: Ticket, now: float, *, again: bool = False) -> None:
        """Queue somebody, and give him what has come meanwhile. ``again``: what he was given was dead, so he is first.

        Raises PoolClosed, PoolFull if too many wait, or why no connection can be made if none can for now.
        """
        if self.is_closed:
            self.check_open()
        if self.error is not None and self.is_final and now < self.retry_at and not self.size + self.connecting:
            raise to_raise(self.error)
        self.is_used = True
        self.waiting[ticket] = None
        if again:
            self.waiting.move_to_end(ticket, last=False)
        if self.idle:
            self.match()
        if self.size < self.max_size:
            self._plan(now)
        if len(self.waiting) > self.max_waiting + self.connecting and ticket in self.waiting and not again:
            del self.waiting[ticket]
            self.turned_away += 1
            raise PoolFull(
                f"{self.name!r}: as many callers wait for a connection already as may (max_waiting={self.max_waiting})",
                pool=self.name,
            )

    def line_up(self, ticket: Ticket) -> bool:
        """Queue somebody if that is all there is to do, for no more connections may be made; else False."""
        if self.size < self.max_size or self.idle or self.is_closed or len(self.waiting) >= self.max_waiting:
            return False
        self.waiting[ticket] = None
        return True

    def withdraw(self, ticket: Ticket) -> bool:
        """Take somebody out of the queue; False if he isn't in it any more, so has been given something."""
        return self.waiting.pop(ticket, self) is None

    def match(self) -> None:
        """Give what is idle to those who wait."""
        while self.waiting:
            try:
                entry = self.idle.pop()
            except IndexError:
                return
            self.hand_over(entry)

    def check_open(self) -> None:
        """Raise PoolClosed if it is."""
        if self.is_closed:
            raise PoolClosed(f"{self.name!r} is closed: no connection can be had from it", pool=self.name)

    # -- one comes back

    def give_back(self, entry: Entry, now: float) -> None:
        """Take a connection back: for who waits the longest, to the idle ones, or to be closed."""
        if self.is_closed:
            self.close(entry, "closed", now)
        elif now >= entry.expires_at:
            self.close(entry, entry.retired or "lifetime", now)
        elif entry.uses >= self.max_uses:
            self.close(entry, "uses", now)
        else:
            self._hand(entry, now)

    def hand_over(self, entry: Entry) -> None:
        """Give a connection to whoever waits the longest; make it idle if nobody does."""
        while self.waiting:
            first = next(iter(self.waiting))
            is_given = first.give(entry)
            del self.waiting[first]
            if is_given:
                return
        self.idle.append(entry)

    def close(self, entry: Entry, reason: str, now: float) -> None:
        """Let go of a connection that nobody holds but the caller; somebody may have a new one in its place."""
        self._let_go(entry, reason)
        self.todo.closing.append(entry)
        self._plan(now)

    def ending(self, entry: Entry) -> bool:
        """Take note that a connection is being closed; False if it is already."""
        is_first = not entry.is_ending
        entry.is_ending = True
        return is_first

    def ended(self, entry: Entry) -> None:
        """Take note that a connection was closed."""
        self.leaving.pop(id(entry), None)

    def find_lost(self, now: float) -> list[Entry]:
        """Free the places of what nobody holds any more. It isn't closed: somebody may still use the connection."""
        found = []
        while self.lost:
            thing = self.lost[0]  # it ends but once, so it is there until its place is free
            if isinstance(thing, Attempt):
                if not thing.is_over:
                    self._end(thing)
            elif not thing.is_over:
                self._let_go(thing, "lost")
                found.append(thing)
            self.lost.popleft()
            self._plan(now)
        return found

    def suspect(self, entry: Entry, now: float) -> None:
        """Close a connection that was found dead; those that have been idle as long are to be checked before use."""
        for other in self._each_idle():
            if not self._keep_if(other, other.trusted_until > now):
                self.todo.checks.append(other)
        self.close(entry, "dead", now)
        self.match()

    # -- one is made

    def connected(self, attempt: Attempt, entry: Entry, now: float) -> None:
        """Take a new connection."""
        if any(other.known() is entry.conn for other in self.entries):
            twice = TypeError(
                f"{self.name!r}: connect() returned a connection that the pool has already; it has to make a new one"
            )
            attempt.objection = twice
            self._fail_all(twice)  # who waits for what is lent would never learn it
            self.failed(attempt, twice, now, is_final=True)
            return
        self._end(attempt)
        if self.failed_in_row:
            attempt.mended = (self.failed_in_row, now - self._failing_since)
        self.error, self.is_final, self.retry_at, self._failures, self.failed_in_row = None, False, -math.inf, 0, 0
        self.note_peak()
        self._entries[id(entry)] = weakref.ref(entry)
        entry.is_over = False
        self.size += 1
        self.created += 1
        if self.is_closed:
            self.close(entry, "closed", now)
        elif attempt.generation != self.generation:
            self.close(entry, "drained", now)
        elif self.size > self.max_size:
            self.close(entry, "surplus", now)
        else:
            self._hand(entry, now)
            self._plan(now)

    def failed(self, attempt: Attempt, error: Exception, now: float, *, is_final: bool = False) -> None:
        """Take note that no connection could be made. Nobody tries for a while.

        ``is_final``: trying again is of no use, so those who wait get the error now, if nothing else can come; whoever
        comes later tries again soon, for somebody may have mended it.
        """
        self._end(attempt)
        self.errors += 1
        if not self.failed_in_row:
            self._failing_since = now
        self.failed_in_row += 1
        if is_final and self.error is not None and not self.is_final:
            error.__cause__ = self.error  # what a breaker opened for says more than that it is open
        self.error, self.is_final = error, is_final
        if now >= self.retry_at:  # of several that began together, the first has lengthened the wait
            first, most = self._backoff
            self._failures = 1 if is_final else self._failures + 1
            pause = min(most, first * 2.0 ** min(self._failures - 1, 60))
            self.retry_at = now + pause * (0.5 + self._random() / 2)
        if is_final and not self.size and not self.connecting:
            self._fail_all(error)
        self._plan(now)

    def fall_back(self, attempt: Attempt, entry: Entry, now: float) -> None:
        """Take a new connection of the preferred factory, and have those of the others closed."""
        attempt.is_probe = False  # now it has a place, or another would be begun for what it brings
        self.probing -= 1
        self.connecting += 1
        self.drain(now, "failed over", lambda other: other.source > 0)
        self.connected(attempt, entry, now)

    def give_up(self, attempt: Attempt, now: float) -> None:
        """Take note that a connection wasn't made, which says nothing of the next."""
        self._end(attempt)
        self._plan(now)

    # -- upkeep

    def tick(self, now: float) -> None:
        """Close what is over age or idle for too long, and connect what is wanted.

        Who takes one and who gives it back reads no clock. So one that is over age is known as such from here on, and
        idle since when this first saw it idle: exact to the time between two calls.
        """
        for entry in self.idle.copy():
            if entry.seen_uses != entry.uses:
                entry.seen_uses, entry.idle_since = entry.uses, now
        for entry in self.entries:
            if entry.expires_at <= now:
                entry.retire("lifetime")
        if any(self._due_at(entry) <= now for entry in self.idle.copy()):
            for entry in self._each_idle():
                surplus = self.size > self.min_size and now - entry.idle_since >= self.max_idle
                if not self._keep_if(entry, now < entry.expires_at and not surplus):
                    self.close(entry, "idle" if now < entry.expires_at else entry.retired or "lifetime", now)
        self._close_the_rest()
        self.match()
        self._plan(now)

    def next_at(self) -> float:
        """Return when `tick` will have something to do, as far as is known now; infinity if not."""
        times = [self._due_at(entry) for entry in self.idle.copy()]
        times += [entry.expires_at for entry in self.entries if entry.retired is None]
        if self.error is not None and self._wanted() > 0:
            times.append(self.retry_at)
        return min(times, default=math.inf)

    def attempt(self) -> Attempt:
        """Return an attempt to connect that has begun; `connected` or `failed` ends it."""
        attempt = Attempt(self.generation, self.lost)
        self.connecting += 1
        attempt.is_over = False
        return attempt

    def probe(self) -> Attempt | None:
        """Return a try of the preferred factory that has begun; `fall_back` or `give_up` ends it. None: not now.

        It takes nobody's place, for it may hang. What it makes beyond ``max_size`` is closed.
        """
        if self.is_closed or self.connecting or self.probing:
            return None
        attempt = Attempt(self.generation, self.lost, is_probe=True)
        self.probing += 1
        attempt.is_over = False
        return attempt

    @property
    def being_made(self) -> int:
        """How many connections are under way, wanted or not."""
        return self.connecting + self.probing

    def warm(self, now: float) -> bool:
        """Begin to connect what ``min_size`` asks for; True if it is there, and one at least."""
        self.check_open()
        self.is_used = True
        self._plan(now)
        return self.size >= max(1, self.min_size)

    def drain(self, now: float, reason: str = "drained", which: Callable[[Entry], bool] | None = None) -> None:
        """Have every connection (or those) closed: the idle ones now, the others when they come back."""
        if which is None:
            self.generation += 1
        self._retire([entry for entry in self.entries if which is None or which(entry)], reason, now)
        self._plan(now)

    def close_idle(self, now: float) -> None:
        """Close what is idle beyond ``min_size``, the longest idle first."""
        for entry in self._each_idle():
            if not self._keep_if(entry, self.size <= self.min_size):
                self.close(entry, "idle", now)
        self.match()

    def resize(self, min_size: int, max_size: int, now: float) -> None:
        """Change the limits; what is too much is closed, idle ones first."""
        self.min_size, self.max_size = min_size, max_size
        while self.size > max_size:
            try:
                self.close(self.idle.popleft(), "surplus", now)
            except IndexError:
                break
        staying = [entry for entry in self.entries if entry.retired is None]  # others go when they come back
        self._retire(staying[: max(0, len(staying) - max_size)], "surplus", now)
        self._plan(now)

    def shut(self, now: float) -> None:
        """Close the pool: idle ones now, the others when they come back. Who waits gets PoolClosed."""
        self.is_closed = True
        self._fail_all(PoolClosed(f"{self.name!r} was closed while a connection was waited for", pool=self.name))
        self._retire(self.entries, "closed", now)
        self._close_the_rest()

    def note_peak(self) -> int:
        """Return the most connections that were in use at once.

        The idle ones are a stack: those at its bottom that nobody has taken since the last look were idle all the time.
        """
        idle = self.idle.copy()
        untouched = list(takewhile(lambda entry: entry.noted_uses == entry.uses, idle))
        numbers = set(map(id, idle))
        for entry in self.entries:
            entry.noted_uses = entry.uses if id(entry) in numbers else -1
        self._peak = max(self._peak, self.size - len(untouched))
        return self._peak

    # -- how

    def _hand(self, entry: Entry, now: float) -> None:
        """Give a connection to whoever waits the longest. If that isn't long, it is made idle, and he is told.

        For a thread that is handed something has to be woken before anybody uses it, and the one that gave it back has
        to sleep when it wants the next: each use costs two changes of threads, and goes on doing so, for now all wait
        in line (Blasgen et al., The Convoy Phenomenon, 1979). Go's sync.Mutex hands over after a millisecond.
        """
        if not self.waiting:
            self.idle.append(entry)
        elif now - next(iter(self.waiting)).since < self.barging:
            self.idle.append(entry)
            first = self._first()
            first.nudge()
            del self.waiting[first]
        else:
            self.hand_over(entry)

    def _first(self) -> Ticket:
        return next(iter(self.waiting))

    def _fail_all(self, error: Exception) -> None:
        while self.waiting:
            first = self._first()
            first.fail(error)
            del self.waiting[first]

    def _close_the_rest(self) -> None:
        """Have those closed that an interrupt has kept from it."""
        known = set(map(id, self.todo.closing))
        rest = [entry for key, entry in list(self.leaving.items()) if not entry.is_ending and key not in known]
        self.todo.closing.extend(rest)

    def _end(self, attempt: Attempt) -> None:
        attempt.is_over = True
        if attempt.is_probe:
            self.probing -= 1
        else:
            self.connecting -= 1

    def _let_go(self, entry: Entry, reason: str) -> None:
        self.note_peak()
        if reason != "lost":
            self.leaving[id(entry)] = entry
        entry.retired = entry.retired or reason
        entry.is_over = True
        self.size -= 1
        self.past_uses += entry.uses
        self.closed[reason] += 1
        self._entries.pop(id(entry), None)

    def _retire(self, entries: Iterable[Entry], reason: str, now: float) -> None:
        for entry in entries:
            entry.retire(reason)
        for entry in self._each_idle():
            if not self._keep_if(entry, entry.retired is None):
                self.close(entry, entry.retired or reason, now)

    def _each_idle(self) -> Iterator[Entry]:
        """Take one idle one after the other, the longest idle first; others may take some meanwhile, or give some back.

        One at a time, so that an interrupt loses one.
        """
        for _ in range(len(self.idle)):
            try:
                entry = self.idle.popleft()
            except IndexError:
                return
            yield entry

    def _keep_if(self, entry: Entry, is_good: bool) -> bool:
        """Put an idle one back if it is good; when each had its turn they are in order again."""
        if is_good:
            self.idle.append(entry)
        return is_good

    def _due_at(self, entry: Entry) -> float:
        if self.size <= self.min_size:
            return entry.expires_at
        return min(entry.expires_at, entry.idle_since + self.max_idle)

    def _wanted(self) -> int:
        """Return how many connections should be begun: one for each who waits, and what ``min_size`` asks for."""
        if self.is_closed:
            return 0
        least = self.min_size - self.size if self.is_used else 0
        return min(max(len(self.waiting), least), self.max_size - self.size) - self.connecting

    def _plan(self, now: float) -> None:
        """Begin connections; after a failure one alone, in its time, or all would come down on a server just back."""
        wanted = self._wanted()
        if wanted <= 0:
            return
        if self.error is not None:
            if self.connecting or now < self.retry_at:
                return
            wanted = 1
        for _ in range(wanted):
            self.todo.connects.append(self.attempt())
