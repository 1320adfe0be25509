"""`Beats` against a plain simulation of its rules, and each rule by itself."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from perfkit.resilience.beats import Beats


class Machine(RuleBasedStateMachine):
    """Ticks come when they were asked for, too early, or far too late; beats come back whenever they like.

    The oracle writes down every miss with its time, and looks at the whole story to say what is lost.
    """

    @initialize(every=st.sampled_from([1.0, 4.0]), timeout=st.sampled_from([1.0, 3.0, 10.0]), limit=st.integers(1, 3))
    def begin(self, every, timeout, limit):
        self.every, self.timeout, self.limit = every, timeout, limit
        self.beats = Beats(every, timeout, limit)
        self.now, self.ring_at = 100.0, 100.0
        self.under_way = {}  # number -> when it began; the last one alone may count
        self.counted = set()  # numbers that were counted as a miss, or are from before a stop
        self.story = []  # True for a good beat, False for a miss, None for a start
        self.events = []
        self.running = False

    def row(self):
        """How many misses there were since the last good beat or start."""
        return next((n for n, result in enumerate(reversed(self.story)) if result is not False), len(self.story))

    @rule()
    def start(self):
        self.beats.start(self.now)
        self.story.append(None)
        self.events.append(None)
        self.running, self.ring_at = True, self.now
        self.counted |= set(self.under_way)

    @rule()
    def stop(self):
        self.beats.stop()
        self.running = False
        self.counted |= set(self.under_way)

    @precondition(lambda self: self.running)
    @rule(late=st.sampled_from([0.0, 0.0, 0.0, 0.5, 25.0]))
    def ring(self, late):
        self.now = max(self.now, self.ring_at + late)
        self.tick()

    @precondition(lambda self: self.running)
    @rule(early=st.sampled_from([0.0, 0.3]))
    def ring_too_early(self, early):
        self.now = min(self.now + early, max(self.now, self.ring_at - 0.01))
        self.tick()

    def tick(self):
        step = self.beats.tick(self.now)
        assert step.wait > 0
        self.ring_at = self.now + step.wait
        hanging = [number for number, began in self.under_way.items() if self.now >= began + self.timeout]
        if step.event == "lost" or self.beats.misses > self.misses_told():
            assert hanging
            self.story.append(False)
            self.counted |= set(hanging)
        self.tell(step.event)
        if step.begin is not None:
            assert not self.under_way
            self.under_way[step.begin] = self.now

    def misses_told(self):
        return sum(result is False for result in self.story)

    def tell(self, event):
        if event is not None:
            self.events.append(event)

    @precondition(lambda self: self.under_way)
    @rule(good=st.booleans())
    def come_back(self, good):
        [(number, began)] = self.under_way.items()
        event = self.beats.ended(number, self.now, is_good=good)
        del self.under_way[number]
        if number in self.counted:
            assert event is None
            return
        result = good and self.now < began + self.timeout
        before = self.events[-1] == "lost"
        self.story.append(result)
        assert event == ("back" if result and before else "lost" if self.is_newly_lost() else None)
        self.tell(event)

    def is_newly_lost(self):
        return self.story[-1] is False and self.row() == self.limit

    @invariant()
    def they_agree(self):
        if not hasattr(self, "beats"):
            return
        assert self.beats.misses == self.misses_told()
        assert self.beats.in_row == self.row()
        assert self.beats.is_lost == (self.row() >= self.limit)
        assert self.beats.times_lost == self.events.count("lost")

    @invariant()
    def lost_and_back_take_turns(self):
        if hasattr(self, "events"):
            assert all(one != other for one, other in zip(self.events, self.events[1:], strict=False) if one)


TestBeats = Machine.TestCase


def started(every=10.0, timeout=4.0, limit=2):
    beats = Beats(every, timeout, limit)
    beats.start(0.0)
    return beats


def test_the_first_beat_is_at_once_and_the_others_in_their_time():
    beats = started()
    step = beats.tick(0.0)
    assert (step.begin, step.wait) == (1, 4.0)
    assert beats.ended(1, 1.0, is_good=True) is None
    step = beats.tick(4.0)
    assert (step.begin, step.wait) == (None, 6.0)
    assert beats.tick(10.0).begin == 2


def test_a_beat_that_hangs_is_a_miss_at_its_timeout_and_each_period_after():
    beats = started(limit=3)
    now, missed = 0.0, []
    while now < 40:
        before = beats.misses
        step = beats.tick(now)
        if beats.misses > before:
            missed.append((now, step.event))
        now += step.wait
    assert missed == [(4.0, None), (14.0, None), (24.0, "lost"), (34.0, None)]
    assert beats.beats == 1


def test_a_late_success_brings_nothing_back():
    beats = started(limit=1)
    beats.tick(0.0)
    assert beats.tick(4.0).event == "lost"
    assert beats.ended(1, 5.0, is_good=True) is None
    assert beats.is_lost
    assert beats.tick(10.0).begin == 2
    assert beats.ended(2, 11.0, is_good=True) == "back"


def test_a_success_that_is_late_is_a_miss_though_nobody_has_looked():
    beats = started(limit=1)
    beats.tick(0.0)
    assert beats.ended(1, 4.0, is_good=True) == "lost"


def test_a_timeout_longer_than_the_period_gives_a_beat_its_time():
    beats = started(every=2.0, timeout=7.0)
    beats.tick(0.0)
    assert beats.tick(2.0).begin is None
    assert beats.tick(4.0).begin is None
    assert beats.ended(1, 5.0, is_good=True) is None
    assert (beats.misses, beats.tick(6.0).begin) == (0, 2)


def test_what_was_slept_through_is_not_made_up_for():
    beats = started()
    beats.tick(0.0)
    beats.ended(1, 1.0, is_good=True)
    step = beats.tick(1000.0)
    assert (step.begin, beats.misses) == (2, 0)
    beats.ended(2, 1001.0, is_good=True)
    assert beats.tick(1004.0).wait == 6.0


def test_a_beat_from_before_a_stop_counts_for_nothing():
    beats = started(limit=1)
    beats.tick(0.0)
    beats.stop()
    beats.start(1.0)
    assert beats.tick(1.0).begin is None
    assert beats.ended(1, 2.0, is_good=False) is None
    assert beats.tick(11.0).begin == 2
