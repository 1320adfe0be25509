"""`Lift` against the plainest writing of its rules there is, and against what they are for."""

import random
from collections import deque
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perfkit.caching.entry import BORN, DEAD, HITS, KEY
from perfkit.caching.ghosts import Ghosts
from perfkit.caching.policy import UNBOUNDED, Lift


class Oracle:
    """The rules as prose has them: lists, searched from end to end; entries are [key, hits, born]."""

    def __init__(self, capacity):
        self.capacity = capacity
        self.small, self.main = [], []
        self.newcomers, self.proven = deque(maxlen=capacity), deque(maxlen=max(1, capacity // 2))
        self.target = max(1.0, capacity / 10)
        self.now = self.since_decay = 0
        self.regret = self.gain = 0.0

    def entries(self):
        return self.small + self.main

    def hit(self, key):
        next(entry for entry in self.entries() if entry[0] == key)[1] += 1

    def confirm(self):
        while self.main[0][1]:
            key, hits, born = self.main.pop(0)
            hits = min(hits, 3)
            self.gain += min((self.now - born) / self.capacity, hits)
            self.main.append([key, hits - 1, self.now])

    def known(self, ghosts):
        return sum(ghost is not None for ghost in ghosts)

    def recall(self, key):
        """Return None if the key is no ghost, else whether it goes to main."""
        room = self.capacity - self.target
        at = next((at for at, ghost in enumerate(self.newcomers) if ghost and ghost[0] == key), None)
        if at is not None:
            born = self.newcomers[at][1]
            if self.now - born <= self.capacity:
                self.regret += 1
                step = max(1.0, self.known(self.proven) / max(1.0, room))
                self.target = max(1.0, min(self.target + step, 0.98 * self.capacity))
            self.newcomers[at] = None
        elif key in self.proven:
            if self.regret <= self.gain:
                step = max(1.0, min(self.known(self.newcomers), room) / self.known(self.proven))
                self.target = max(1.0, self.target - step, 0.05 * self.capacity)
            born = -1
            self.proven[self.proven.index(key)] = None
        else:
            return None
        if not self.main or len(self.main) < self.capacity - int(self.target):
            return True
        self.confirm()
        return self.main[0][2] < born

    def drop_main(self):
        self.confirm()
        self.proven.append(self.main.pop(0)[0])

    def evict(self):
        if self.small and (len(self.small) >= int(self.target) or not self.main):
            key, hits, born = self.small.pop(0)
            if hits < 2:
                if self.main:
                    self.confirm()
                if not self.main or self.now - self.main[0][2] <= 16 * self.capacity:
                    self.newcomers.append((key, born))
                    return
                self.drop_main()
                self.main.append([key, hits, self.now])
            else:
                self.main.append([key, 0, self.now])
        else:
            self.drop_main()

    def admit(self, key):
        self.now += 1
        self.since_decay += 1
        if self.since_decay == 4 * self.capacity:
            self.since_decay, self.regret, self.gain = 0, self.regret / 2, self.gain / 2
        to_main = self.recall(key)
        while len(self.entries()) >= self.capacity:
            self.evict()
        is_warm = len(self.entries()) >= self.capacity - 1 or len(self.small) < int(self.target)
        if to_main is None and self.small and not is_warm:
            oldest = self.small.pop(0)
            self.main.append([oldest[0], oldest[1], self.now])
        (self.main if to_main else self.small).append([key, 0, self.now])


class Cache:
    """What a store does with a policy, and nothing else."""

    def __init__(self, capacity):
        self.policy = Lift(capacity)
        self.entries = {}

    def use(self, key):
        """Read a key, putting it in if it isn't there; tell whether it was."""
        if key in self.entries:
            self.entries[key][HITS] += 1
            return True
        entry = [None, 0, key, 0, None, 1]
        victim = self.policy.admit(entry, hash(key))
        if victim is not None:
            self.out(victim)
        self.entries[key] = entry
        return False

    def out(self, victim):
        self.policy.ghosts.add(hash(victim[KEY]), victim[BORN])
        assert self.entries.pop(victim[KEY]) is victim
        victim[BORN] = DEAD


# Keys that small have places of their own among the ghosts, so nothing is forgotten and the two must agree exactly.
@settings(max_examples=300)
@given(st.integers(1, 12), st.data())
def test_it_keeps_what_the_rules_keep(capacity, data):
    keys = st.integers(0, 6 * capacity)
    cache, oracle = Cache(capacity), Oracle(capacity)
    for key in data.draw(st.lists(keys, max_size=200)):
        if cache.use(key):
            oracle.hit(key)
        else:
            oracle.admit(key)
        queues = [[entry[KEY] for entry in queue] for queue in (cache.policy.small, cache.policy.main)]
        assert queues == [[entry[0] for entry in queue] for queue in (oracle.small, oracle.main)]


@pytest.mark.parametrize("seed", range(20))
def test_it_keeps_what_the_rules_keep_in_the_long_run(seed):
    """Loops, scans and favourites in turn, so that both queues grow and shrink and entries get stale."""
    dice = random.Random(seed)
    capacity = dice.choice([5, 20, 60])
    cache, oracle, loop = Cache(capacity), Oracle(capacity), count()
    for _ in range(40):
        length, kind = dice.randrange(1, 6 * capacity), dice.randrange(3)
        for _ in range(dice.randrange(20, 10 * capacity)):
            key = (next(loop) % length, dice.randrange(length), int(dice.paretovariate(1)) % length)[kind]
            if cache.use(key):
                oracle.hit(key)
            else:
                oracle.admit(key)
        assert set(cache.entries) == {entry[0] for entry in oracle.entries()}
        assert (cache.policy._target, cache.policy._regret) == pytest.approx((oracle.target, oracle.regret))


class Machine(RuleBasedStateMachine):
    """Whatever is admitted, hit, deleted, evicted, resized: nobody is lost, nobody is there twice, hits add up."""

    keys = st.integers(0, 40)

    def __init__(self):
        super().__init__()
        self.cache = Cache(8)
        self.hits = 0

    @rule(key=keys)
    def use(self, key):
        self.hits += self.cache.use(key)

    @precondition(lambda self: self.cache.entries)
    @rule(data=st.data())
    def delete(self, data):
        entry = self.cache.entries.pop(data.draw(st.sampled_from(sorted(self.cache.entries))))
        self.cache.policy.bury(entry)
        self.cache.policy.bury(entry)

    @rule()
    def evict(self):
        victim = self.cache.policy.evict()
        assert (victim is None) is (not self.cache.entries)
        if victim is not None:
            self.cache.out(victim)

    @rule(capacity=st.sampled_from([1, 3, 8, 30, UNBOUNDED]))
    def resize(self, capacity):
        self.cache.policy.resize(capacity)
        while len(self.cache.policy) > capacity:
            self.evict()

    @rule()
    def forget_all(self):
        self.cache.policy.retired += sum(entry[HITS] for entry in self.cache.entries.values())
        self.cache.policy.forget_all()
        self.cache.entries.clear()

    @invariant()
    def everybody_is_there_once(self):
        policy = self.cache.policy
        living = [entry[KEY] for entry in policy.entries()]
        assert sorted(living) == sorted(self.cache.entries)
        assert len(policy) == len(living) <= policy.capacity

    @invariant()
    def hits_add_up(self):
        counted = sum(entry[HITS] for entry in self.cache.entries.values())
        assert self.cache.policy.retired + counted == self.hits


TestLift = Machine.TestCase


def ratio(cache, keys):
    keys = list(keys)
    return sum(cache.use(key) for key in keys) / len(keys)


def test_a_scan_does_not_wash_out_what_is_in_use():
    cache, dice = Cache(100), random.Random(1)
    favourites = [dice.randrange(90) for _ in range(2000)]
    ratio(cache, favourites)
    ratio(cache, range(1000, 1500))
    assert ratio(cache, range(90)) > 0.8


def test_a_loop_larger_than_the_cache_has_a_resident_part():
    assert ratio(Cache(100), list(range(150)) * 20) > 0.4


def test_the_dead_do_not_count_as_full():
    cache = Cache(10)
    for key in range(10):
        cache.use(key)
    for key in range(1, 10):
        cache.policy.bury(cache.entries.pop(key))
    for key in range(20, 29):
        cache.use(key)
    assert set(cache.entries) == {0, *range(20, 29)}


def test_put_and_delete_for_ever_takes_no_more_room():
    policy = Lift(UNBOUNDED)
    for key in range(10_000):
        entry = [None, 0, key, 0, None, 1]
        policy.admit(entry, key)
        policy.bury(entry)
    assert len(policy.small) + len(policy.main) < 100


@given(st.integers(1, 20), st.lists(st.tuples(st.integers(0, 10**18), st.booleans()), max_size=200))
def test_ghosts_are_the_last_that_were_added(capacity, added):
    """Of what a ghost table says it knows, nothing is made up; and it counts what it knows."""
    ghosts = Ghosts(capacity)
    newcomers, proven = deque(maxlen=capacity), deque(maxlen=max(1, capacity // 2))
    for born, (hashed, is_proven) in enumerate(added):
        ghosts.add(hashed, -1 if is_proven else born)
        (proven if is_proven else newcomers).append((hashed, born))
    assert (ghosts.newcomers, ghosts.proven) == (len(newcomers), len(proven))
    for hashed, _ in added:
        place = ghosts.places[hashed % ghosts.size]
        if ghosts.hashes[place] == hashed:
            born = ghosts.born(place)
            assert (hashed, born) in newcomers if born is not None else hashed in [known for known, _ in proven]
            ghosts.forget(place)
            assert ghosts.hashes[place] != hashed
