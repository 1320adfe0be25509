"""The pool's core against a naive model of it, with a clock, tickets and connections that are all made up.

The model is a driver that remembers where each connection is, in plain lists. After each step it does what the core has
left in its ``todo``, and looks whether all is as it should be. What a step may not do is in the invariants.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perfkit.errors import PoolClosed, PoolFull
from perfkit.pooling.core import REASONS, Core
from perfkit.pooling.entry import Entry

FIRST, MOST = 1.0, 8.0  # pauses
LIFETIME, IDLE = 50.0, 20.0
pick = st.integers(0, 1_000_000)


class Numbered(Entry):
    """A connection whose place in a set is the same in each run, as Hypothesis wants it."""

    __slots__ = ("number",)

    def __init__(self, number, *args, **more):
        self.number = number
        super().__init__(object(), *args, **more)

    def __hash__(self):
        return self.number

    def __eq__(self, other):
        return self is other


class Ticket:
    """Somebody who waits; what comes of it is noted. One whose owner was cancelled takes nothing."""

    def __init__(self, since):
        self.since = since
        self.entry = self.error = None
        self.was_told = False
        self.is_gone = False

    def give(self, entry):
        assert not self.is_served
        if self.is_gone:
            return False
        self.entry = entry
        return True

    def nudge(self):
        assert not self.is_served
        self.was_told = True

    def fail(self, error):
        assert not self.is_served
        self.error = error

    @property
    def is_served(self):
        return self.entry is not None or self.error is not None or self.was_told


class Pool(RuleBasedStateMachine):
    """A driver that does nothing by itself: each thing that may happen is a rule."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.waiting, self.told, self.asking = [], [], None
        self.idle, self.lent, self.checking, self.attempts, self.probes = [], [], [], [], []
        self.closing, self.lost, self.made = 0, 0, 0
        self.failures = 0
        self.share = 0.5

    @initialize(
        max_size=st.integers(1, 5),
        min_size=st.integers(0, 3),
        max_waiting=st.integers(0, 6) | st.just(1000),
        max_uses=st.integers(1, 6) | st.just(10**9),
        barging=st.sampled_from([0.0, 3.0]),
    )
    def begin(self, max_size, min_size, max_waiting, max_uses, barging):
        self.core = Core(
            name="pool",
            max_size=max_size,
            min_size=min(min_size, max_size),
            max_waiting=max_waiting,
            max_idle=IDLE,
            max_uses=max_uses,
            barging=barging,
            backoff=(FIRST, MOST),
            random=lambda: self.share,
        )

    # -- what a driver does with what was decided

    def step(self, decision, *args, **more):
        """Have something decided, do what follows from it, and hold it against the model."""
        size, failed = self.core.size, self.core.error is not None
        try:
            return decision(*args, **more)
        finally:
            begun = self.take_over()
            assert self.core.size <= max(size, self.core.max_size)
            if begun:
                assert self.core.size + self.core.connecting <= self.core.max_size
            if begun and failed and self.core.error is not None:
                assert self.core.connecting == 1, "several attempts while they fail"
                assert self.now >= self.core.retry_at, "an attempt before its time"

    def take_over(self):
        """Bring the model up to date; return how many attempts were begun."""
        todo = self.core.todo
        closing, checks, connects = list(todo.closing), list(todo.checks), list(todo.connects)
        for things in (todo.closing, todo.checks, todo.connects):
            things.clear()
        assert not self.core.idle or not self.core.is_closed
        for entry in closing:
            assert entry.is_over
            assert self.core.ending(entry)
            self.remove(entry)
            self.closing += 1
        for entry in checks:
            self.remove(entry)
            self.checking.append(entry)
        self.attempts += connects
        self.serve()
        self.sort_idle()
        return len(connects)

    def remove(self, entry):
        places = [place for place in (self.idle, self.lent, self.checking) if entry in place]
        assert len(places) <= 1, "in two places"
        for place in places:
            place.remove(entry)

    def serve(self):
        """See who was given what: nobody before somebody who has waited longer."""
        served = [ticket for ticket in self.waiting if ticket.is_served]
        kept = [ticket for ticket in self.waiting if not ticket.is_served]
        if served:
            last = self.waiting.index(served[-1])
            assert all(ticket.is_served or ticket.is_gone for ticket in self.waiting[:last]), "overtaken"
        self.waiting = [ticket for ticket in kept if ticket in self.core.waiting]
        missing = [ticket for ticket in kept if ticket not in self.waiting]
        assert all(ticket.is_gone or ticket is self.asking for ticket in missing), "forgotten"
        for ticket in served:
            if ticket.was_told:
                self.told.append(ticket)
            elif ticket.entry is not None:
                self.lend(ticket.entry)

    def lend(self, entry):
        assert not entry.is_over
        assert entry not in self.lent, "lent twice"
        assert entry not in self.checking
        assert entry not in self.core.idle
        assert entry.retired is None
        assert entry.expires_at > self.now
        if entry in self.idle:
            self.idle.remove(entry)
        entry.uses += 1
        assert entry.uses <= self.core.max_uses
        self.lent.append(entry)

    def sort_idle(self):
        """What was idle before is as it was, and what has come is after it."""
        now_idle = list(self.core.idle)
        assert len(set(map(id, now_idle))) == len(now_idle)
        stayed = [entry for entry in self.idle if entry in now_idle]
        assert now_idle[: len(stayed)] == stayed
        assert all(entry in now_idle for entry in self.idle), "an idle one is gone, and nobody has it"
        for entry in now_idle[len(stayed) :]:
            assert entry not in self.lent
            assert entry not in self.checking
        self.idle = now_idle

    # -- callers

    @rule()
    def ask(self):
        self.asking = ticket = Ticket(self.now)
        self.waiting.append(ticket)
        before = len(self.waiting)
        try:
            self.step(self.core.ask, ticket, self.now)
        except PoolClosed:
            assert self.core.is_closed
        except PoolFull:
            assert before > self.core.max_waiting
        except ConnectionError:
            assert self.core.is_final
            assert not self.core.size + self.core.connecting
            assert self.now < self.core.retry_at
        else:
            assert not self.core.is_closed
            return
        assert not ticket.is_served
        assert ticket not in self.core.waiting

    @rule()
    def line_up(self):
        """As tasks do where no more connections may be made."""
        ticket = Ticket(self.now)
        if self.step(self.core.line_up, ticket):
            self.waiting.append(ticket)
            assert len(self.waiting) <= max(self.core.max_waiting, 1)
            assert not self.core.idle
            assert self.core.size >= self.core.max_size

    @precondition(lambda self: self.told)
    @rule(which=pick)
    def come_after_being_told(self, which):
        """Who was told that something is idle takes it, or finds that another has been quicker and is first again."""
        self.told.pop(which % len(self.told))
        if self.idle:
            self.lend(self.core.idle.pop())
            return
        self.asking = ticket = Ticket(self.now)
        self.waiting.insert(0, ticket)
        try:
            self.step(self.core.ask, ticket, self.now, again=True)
        except (PoolClosed, ConnectionError):
            assert ticket not in self.core.waiting

    @precondition(lambda self: self.idle)
    @rule()
    def take_what_is_idle(self):
        """Without asking, as the fast path does: the one that was used last."""
        entry = self.core.idle.pop()
        assert entry is self.idle[-1]
        self.lend(entry)

    @precondition(lambda self: self.waiting)
    @rule(which=pick, by_then_gone=st.booleans())
    def give_up_waiting(self, which, by_then_gone):
        ticket = self.waiting[which % len(self.waiting)]
        ticket.is_gone = True
        if by_then_gone:  # a task that is cancelled is out of it before it has a turn to say so
            return
        assert self.step(self.core.withdraw, ticket)
        assert not self.core.withdraw(ticket)

    @rule()
    def lend_all(self):
        """As many are in use as there may be, if none is to fail."""
        while self.idle:
            self.lend(self.core.idle.pop())
        while self.core.size < self.core.max_size and not self.core.is_closed:
            self.ask()
            if not self.attempts:
                return
            while self.attempts:
                self.made_one(self.attempts.pop(), LIFETIME)

    # -- connections that come back

    @precondition(lambda self: self.lent)
    @rule(which=pick)
    def give_back(self, which):
        entry = self.lent.pop(which % len(self.lent))
        if entry.retired is None and entry.uses < self.core.max_uses and not self.core.waiting:
            self.core.idle.append(entry)
            self.step(lambda: None)
            return
        is_bad = entry.retired is not None or entry.uses >= self.core.max_uses or self.core.is_closed
        closing = self.closing
        self.lent.append(entry)  # until it is known where it goes
        self.lent.remove(entry)
        self.step(self.core.give_back, entry, self.now)
        assert entry.is_over == is_bad
        assert self.closing - closing == is_bad

    @precondition(lambda self: self.lent)
    @rule(which=pick)
    def discard(self, which):
        entry = self.lent.pop(which % len(self.lent))
        entry.retire("discarded")
        self.step(self.core.give_back, entry, self.now)
        assert entry.is_over

    @precondition(lambda self: self.lent)
    @rule(which=pick)
    def lose(self, which):
        """Whoever has it is gone; it is not closed."""
        closing = self.closing
        self.core.lost.append(self.lent.pop(which % len(self.lent)))
        assert len(self.step(self.core.find_lost, self.now)) == 1
        self.lost += 1
        assert self.closing == closing

    @precondition(lambda self: self.lent)
    @rule(which=pick)
    def find_dead(self, which):
        """The others that have been idle as long are to be checked, and are nobody's until then."""
        entry = self.lent.pop(which % len(self.lent))
        doubtful = [other for other in self.idle if other.trusted_until <= self.now]
        self.step(self.core.suspect, entry, self.now)
        assert entry.is_over
        assert all(other in self.checking for other in doubtful)

    @precondition(lambda self: self.checking)
    @rule(which=pick, is_alive=st.booleans())
    def check(self, which, is_alive):
        entry = self.checking.pop(which % len(self.checking))
        if is_alive:
            entry.trusted_until = min(entry.expires_at, self.now + 5)
            self.step(self.core.give_back, entry, self.now)
        else:
            self.step(self.core.close, entry, "dead", self.now)

    # -- connecting

    @precondition(lambda self: self.attempts)
    @rule(which=pick, age=st.floats(1, LIFETIME), source=st.integers(0, 1))
    def connect(self, which, age, source):
        self.made_one(self.attempts.pop(which % len(self.attempts)), age, source)

    def made_one(self, attempt, age, source=0):
        entry = Numbered(self.made, self.now, age, lost=self.core.lost, source=source)
        entry.trusted_until = min(entry.expires_at, self.now + 5)
        is_old = attempt.generation != self.core.generation
        self.made += 1
        self.step(self.core.connected, attempt, entry, self.now)
        self.failures = 0
        assert entry.is_over or not is_old
        assert self.core.error is None

    @precondition(lambda self: self.attempts)
    @rule(which=pick, is_final=st.booleans(), share=st.floats(0, 1))
    def fail(self, which, is_final, share):
        attempt = self.attempts.pop(which % len(self.attempts))
        self.share, until = share, self.core.retry_at
        if self.now >= until:
            self.failures = 1 if is_final else self.failures + 1
            until = self.now + min(MOST, FIRST * 2 ** (self.failures - 1)) * (0.5 + share / 2)
        is_hopeless = is_final and not self.core.size and not self.attempts
        waiting = [ticket for ticket in self.waiting if not ticket.is_gone]
        self.step(self.core.failed, attempt, ConnectionError(), self.now, is_final=is_final)
        assert self.core.retry_at == until
        assert all((ticket.error is not None) == is_hopeless for ticket in waiting)

    @precondition(lambda self: self.attempts)
    @rule(which=pick)
    def forget_an_attempt(self, which):
        """Nobody came to make it."""
        self.core.lost.append(self.attempts.pop(which % len(self.attempts)))
        self.step(self.core.find_lost, self.now)

    @rule()
    def prefer_another_factory(self):
        attempt = self.step(self.core.probe)
        assert (attempt is None) == bool(self.core.is_closed or self.attempts or self.probes)
        self.probes += [] if attempt is None else [attempt]

    @precondition(lambda self: self.probes)
    @rule()
    def forget_the_probe(self):
        """Nobody came to make it."""
        self.core.lost.append(self.probes.pop())
        self.step(self.core.find_lost, self.now)

    @precondition(lambda self: self.probes)
    @rule(works=st.booleans())
    def try_the_preferred(self, works):
        attempt = self.probes.pop()
        if not works:
            self.step(self.core.give_up, attempt, self.now)
            return
        second_best = [entry for entry in self.idle if entry.source]
        entry = Numbered(self.made, self.now, LIFETIME, lost=self.core.lost)
        self.made += 1
        self.failures = 0
        self.step(self.core.fall_back, attempt, entry, self.now)
        assert all(entry.is_over for entry in second_best)

    # -- the pool as a whole

    @rule(seconds=st.floats(0.1, 15))
    def go_on(self, seconds):
        """Time goes by, and the upkeep looks."""
        self.now += seconds
        size, idle_closed = self.core.size, self.core.closed["idle"]
        self.step(self.core.tick, self.now)
        assert all(entry.expires_at > self.now for entry in self.idle)
        assert all(entry.retired is not None for entry in self.lent if entry.expires_at <= self.now)
        if self.core.closed["idle"] > idle_closed:
            assert size > self.core.min_size
        if self.core.error is None:
            assert self.core.next_at() > self.now

    @rule()
    def warm(self):
        try:
            is_warm = self.step(self.core.warm, self.now)
        except PoolClosed:
            assert self.core.is_closed
            return
        assert is_warm == (self.core.size >= max(1, self.core.min_size))

    @rule()
    def drain(self):
        self.step(self.core.drain, self.now)
        assert not self.core.idle
        assert all(entry.retired is not None for entry in self.lent)

    @rule(max_size=st.integers(1, 6), min_size=st.integers(0, 3))
    def resize(self, max_size, min_size):
        others = sum(entry.retired is None for entry in [*self.lent, *self.checking])
        idle = len(self.idle) - min(len(self.idle), max(0, self.core.size - max_size))
        self.step(self.core.resize, min(min_size, max_size), max_size, self.now)
        staying = sum(entry.retired is None for entry in self.core.entries)
        assert staying == min(idle + others, max_size), "too many or too few are let go"

    @rule(now=st.sampled_from([False] * 15 + [True]))
    def shut(self, now):
        if not now:
            return
        self.step(self.core.shut, self.now)
        assert not self.idle
        assert not self.waiting

    # -- what is so after each step

    @invariant()
    def nothing_is_lost_or_made_up(self):
        held = [*self.idle, *self.lent, *self.checking]
        assert len(set(map(id, held))) == len(held)
        assert self.core.size == len(held)
        assert set(self.core.entries) == set(held)
        assert (self.core.connecting, self.core.probing) == (len(self.attempts), len(self.probes))
        assert self.core.created == self.made == len(held) + self.closing + self.lost
        assert sum(self.core.closed[reason] for reason in REASONS) == self.closing + self.lost
        assert not self.core.todo

    @invariant()
    def the_queue_is_that_of_the_model(self):
        self.waiting = [ticket for ticket in self.waiting if ticket in self.core.waiting]
        assert list(self.core.waiting) == self.waiting

    @invariant()
    def nobody_waits_for_what_is_there(self):
        """Something is idle only for those who were told of it and haven't come yet."""
        if self.waiting:
            assert len(self.idle) <= len(self.told)

    @invariant()
    def nobody_waits_for_what_could_be_made(self):
        core = self.core
        if core.is_closed or not self.waiting or core.size + core.connecting >= core.max_size:
            return
        if core.error is None:
            assert core.connecting >= min(len(self.waiting), core.max_size - core.size)
        else:
            assert core.connecting or self.now < core.retry_at

    @invariant()
    def as_many_as_are_to_be_kept_are_there_or_made(self):
        core = self.core
        if core.is_used and not core.is_closed and core.error is None:
            assert core.size + core.connecting >= core.min_size

    @invariant()
    def what_is_idle_may_be_lent(self):
        assert all(entry.retired is None for entry in self.core.idle)
        assert all(entry.uses < self.core.max_uses for entry in self.core.idle)

    def teardown(self):
        for entry in [*self.idle, *self.lent, *self.checking, *self.attempts, *self.probes]:
            entry.is_over = True  # or each would be put into a list of lost ones that nobody reads


Pool.TestCase.settings = settings(max_examples=500, stateful_step_count=40, deadline=None)
TestCore = Pool.TestCase
