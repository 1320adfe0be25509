"""A pass: giving memory back, the cheapest way first, until there is enough. One at a time in a process."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref

from perfkit import registry
from perfkit._base import fork
from perfkit._base.logs import logger
from perfkit._base.sizes import format_size
from perfkit.memory.gauge import Gauge
from perfkit.memory.hands import Hands, Hung
from perfkit.memory.haste import Haste
from perfkit.memory.pace import BackOff, Throttle
from perfkit.memory.standstill import standstill
from perfkit.memory.trim import Trimmer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from perfkit.memory.reclaimer import Reclaimer
    from perfkit.memory.usage import MemoryUsage

    Goal = Callable[[], int]  # how many bytes are still to be freed; 0 or less: it is reached

__all__ = ["PATIENCE", "TIERS", "Relief", "haste"]

TIERS = ("trim", "caches and pools", "garbage collection", "reclaimers")

PATIENCE = 1.0  # seconds that a call is waited for; one that takes longer goes on by itself
_ROUNDS = 10  # of asking the caches
_LAST = {"pooling"}  # parts that are asked after all others: connecting again costs their servers, too
_STEP = 0.01  # of the limit
_NOTICEABLE = 0.02  # of the limit
_KEPT = 0.1  # of the limit: room enough for the next objects, kept by the allocator
_BLOCK = 48  # bytes of a small object, at the least of most programs
_LOG_EVERY = 10.0  # seconds
_REASON = "a pass"  # begun anew at each step: a sign of life for sidecars


class Tally:
    """What a tier has done so far."""

    __slots__ = ("freed", "runs", "seconds")

    def __init__(self) -> None:
        self.freed = self.runs = 0
        self.seconds = 0.0


class _Process:
    """What there is once a process: the right to make a pass, and which calls have not returned."""

    def __init__(self) -> None:
        self._after_fork_in_child()
        fork.after_in_child(self)

    def _after_fork_in_child(self) -> None:
        self.passing = threading.Lock()
        self.under_way: dict[object, float] = {}  # since when


_process = _Process()
haste = Haste()


class Relief:
    """Who can give memory back against one limit, and what came of asking. Works without any thread of its own."""

    def __init__(self, limit: int | None, shares: tuple[float, float], timer: Callable[[], float], name: str) -> None:
        self.name = name
        self.low, self.high = shares
        self.gauge = Gauge(limit, timer)
        self.hands: Hands | None = None
        self.reclaimers: dict[Reclaimer, None] = {}  # a set that keeps their order; each step on it is atomic
        self.tracked: dict[int, weakref.ref[Any]] = {}
        self.tallies = [Tally() for _ in TIERS]
        self.passes = self.vain_passes = 0
        self.is_stuck = self.was_vain = False
        self.has_spared = False  # in the last pass, who may be of use, for its cooldown
        self._is_last = False  # the pass before a last resort
        self._patience = PATIENCE
        self._timer = timer
        self._back_off = BackOff()
        self._collecting = Throttle()
        self._trimmer: Trimmer | None = None
        self._let_go = 0  # in this pass, by who gave it
        self._most_blocks = 0  # that Python had at the beginning of a pass, since usage was low
        self._most_rss = self._least_rss = 0  # then, and since
        self._logged_at = -_LOG_EVERY

    def prepare(self) -> None:
        """Load now what a pass will need; it is no time for it then."""
        if self._trimmer is None:
            self._trimmer = Trimmer()
            self._trimmer.free()
            logger("memory")

    def track(self, thing: Any) -> None:
        """Have ``thing.release_memory()`` called in the last tier, for as long as it lives."""
        key = id(thing)
        self.tracked[key] = weakref.ref(thing, lambda _: self.tracked.pop(key, None))

    def over(self, need: int = 0) -> int:
        """Return by how much usage, with so much more, is over the high mark; 0 or less: it isn't."""
        return self.gauge.excess(self.high, need)

    def is_worth_it(self) -> bool:
        """Tell whether a pass would be, or the last one was in vain not long ago."""
        usage = self.gauge.read()
        return self._back_off.allows(self._timer(), usage.used, usage.limit)

    def next_at(self) -> float:
        """Return when a pass will be worth it again if nothing changes."""
        return self._back_off.next_at

    def is_waiting(self, seconds: float) -> bool:
        """Tell whether a call was begun so many seconds ago at most and has not returned: it may help yet."""
        since = time.perf_counter() - seconds
        return any(began > since for began in tuple(_process.under_way.values()))

    def note(self, usage: MemoryUsage) -> None:
        """Take note of usage between passes: who was short of memory, and has it back, isn't stuck."""
        self._least_rss = min(self._least_rss, usage.rss)
        if usage.fraction < self.low:
            self._most_blocks = 0
            self.is_stuck = self.was_vain = False

    def is_busy(self, reclaimer: Reclaimer) -> bool:
        """Tell whether a call of it has not returned."""
        return reclaimer in _process.under_way

    def bring_down(self, need: int = 0, *, at_last: bool = False) -> int:
        """Bring usage under the low mark, and with so much more under the high one; return the bytes it fell by.

        ``at_last``: a last resort is next, so nobody who may be of use is spared for its cooldown.
        """

        def goal() -> int:
            excess = self.gauge.excess(self.low, is_exact=True)
            return max(excess, self.gauge.excess(self.high, need)) if need else excess

        return self._pass(goal, at_last=at_last)

    def free(self, need: int) -> int:
        """Bring usage down by so many bytes, and under the low mark; return the bytes it fell by."""
        before = self.gauge.excess(self.low, is_exact=True)

        def goal() -> int:
            excess = self.gauge.excess(self.low, is_exact=True)
            return max(excess, excess - before + need)

        return self._pass(goal)

    # -- one pass

    def _pass(self, goal: Goal, *, at_last: bool = False) -> int:
        if not _process.passing.acquire(blocking=False):
            return 0
        try:
            haste.begin(goal)
            standstill.begin(_REASON)
            first = goal()
            if first <= 0:
                return 0
            began = time.perf_counter()
            self._begin(at_last=at_last)
            last = self._go_through(goal)
            self._conclude(first - last, last)
            self._log(first - last, last, time.perf_counter() - began)
            return max(0, first - last)
        finally:
            haste.end(goal)
            standstill.end(_REASON)
            _process.passing.release()

    def _begin(self, *, at_last: bool) -> None:
        self.prepare()
        self.passes += 1
        self._let_go = 0
        self._patience = PATIENCE
        self._is_last, self.has_spared = at_last, False
        blocks = sys.getallocatedblocks()
        if blocks > self._most_blocks:
            self._most_blocks = blocks
            self._most_rss = self._least_rss = self.gauge.read().rss

    def _go_through(self, goal: Goal) -> int:
        tiers = (self._trim, self._shrink, self._collect, self._reclaim)
        for number, work in enumerate(tiers):
            if self._measured(number, work, goal) <= 0:
                break
        else:  # what the reclaimers let go of may be garbage by now
            self._measured(2, self._collect, goal)
        return goal()

    def _measured(self, number: int, work: Callable[[Goal], object], goal: Goal) -> int:
        """Do the work of a tier; return what is still to be freed."""
        standstill.begin(_REASON)
        tally, before, began = self.tallies[number], goal(), time.perf_counter()
        work(goal)
        after = goal()
        tally.runs += 1
        tally.freed += max(0, before - after)
        tally.seconds += time.perf_counter() - began
        return after

    def _conclude(self, freed: int, left: int) -> None:
        """Take note of what came of a pass, which decides when the next one is worth it."""
        usage = self.gauge.read()
        self.was_vain = left > 0 and freed < _NOTICEABLE * usage.limit
        self.vain_passes += self.was_vain
        self._back_off.made(self._timer(), usage.used, was_effective=not self.was_vain)
        self.note(usage)
        has_given = self._let_go > max(_NOTICEABLE * usage.limit, 4 * freed)
        self.is_stuck = self.was_vain and (has_given or self._kept() > _KEPT * usage.limit)
        if left <= 0:
            self._most_blocks = 0

    def _kept(self) -> int:
        """Return about how many bytes of objects that are gone the allocator has kept."""
        gone = self._most_blocks - sys.getallocatedblocks()
        return gone * _BLOCK - (self._most_rss - self._least_rss)

    def _log(self, freed: int, left: int, took: float) -> None:
        if self._timer() - self._logged_at < _LOG_EVERY:
            return
        self._logged_at = self._timer()
        usage = self.gauge.read()
        stuck = "; what was let go of is kept by the allocator for the next objects" if self.is_stuck else ""
        logger("memory").warning(
            "%s: %s of %s in use (%s), %s freed in %.0f ms%s%s",
            self.name,
            *(format_size(usage.used), format_size(usage.limit), usage.source, format_size(max(0, freed)), took * 1e3),
            "" if left <= 0 else f", {format_size(left)} too few",
            stuck,
        )

    # -- the tiers

    def _trim(self, goal: Goal) -> None:  # noqa: ARG002 (all tiers are called alike)
        if self._trimmer is not None:
            self._trimmer.trim()

    def _shrink(self, goal: Goal) -> None:
        """Have live caches let go of what is needed, then pools of idle connections; then the user's."""
        for _ in range(_ROUNDS):  # what caches say of their bytes is estimated, and others allocate meanwhile
            before = goal()
            let_go = self._shrink_caches(goal, before)
            if not let_go or before - goal() < let_go / 2:  # the allocator keeps it: more of the same is of no use
                break
        for part, thing in registry.reclaimables():
            if part in _LAST and (need := goal()) > 0:
                self._ask_ours(part, thing, need)
        self._use(1, goal)

    def _shrink_caches(self, goal: Goal, need: int) -> int:
        let_go = 0
        for part, thing in registry.largest_first():
            left = min(goal(), need - let_go)
            if left <= 0:
                break
            left += int(_STEP * self.gauge.limit.limit)  # or it would stop a few pages short, again and again
            if part not in _LAST:
                let_go += self._ask_ours(part, thing, left)
                self._trim_if_left(goal)
        return let_go

    def _collect(self, goal: Goal) -> None:
        """Collect garbage, a small part of the time, for it stalls every thread; then the user's of this tier."""
        if self._collecting.allows(self._timer()):
            before, began = goal(), time.perf_counter()
            self._ask("gc", lambda _: gc.collect() and None, 0, "gc.collect")
            took = time.perf_counter() - began
            self._trim_if_left(goal)
            is_worth_it = before - goal() >= _NOTICEABLE * self.gauge.limit.limit
            self._collecting.made(self._timer(), took, was_effective=is_worth_it)
        self._use(2, goal)

    def _reclaim(self, goal: Goal) -> None:
        """Call the user's reclaimers of this tier, the fastest first, and what is tracked."""
        self._use(3, goal)
        for key, reference in list(self.tracked.items()):
            if goal() <= 0:
                return
            thing = reference()
            if thing is not None:
                self._ask(key, lambda _, thing=thing: thing.release_memory(), 0, thing)  # type: ignore[misc]  # bound
                self._trim_if_left(goal)
            del thing

    def _use(self, tier: int, goal: Goal) -> None:
        for reclaimer in sorted(self._in_tier(tier), key=lambda reclaimer: -reclaimer.pace):
            need = goal()
            if need <= 0:
                return
            if reclaimer in _process.under_way:
                continue
            if reclaimer.is_ready(self._timer(), at_last=self._is_last):
                self._call_if_possible(reclaimer, need, goal)
            else:
                self.has_spared |= reclaimer.is_ready(self._timer(), at_last=True)

    def _in_tier(self, tier: int) -> list[Reclaimer]:
        for reclaimer in tuple(self.reclaimers):
            if reclaimer.is_gone:
                self.reclaimers.pop(reclaimer, None)
        return [reclaimer for reclaimer in tuple(self.reclaimers) if reclaimer.tier == tier]

    def _call_if_possible(self, reclaimer: Reclaimer, need: int, goal: Goal) -> None:
        hindrance = reclaimer.hindrance(is_here=self.hands is None)
        if hindrance is None:
            self._call(reclaimer, need, goal)
            return
        reclaimer.skipped += 1
        if reclaimer.skipped == 1:
            logger("memory").warning("%s: %s can't be called: %s", self.name, reclaimer.name, hindrance)

    def _call(self, reclaimer: Reclaimer, need: int, goal: Goal) -> None:
        began = time.perf_counter()
        self._ask(reclaimer, reclaimer.call, need, reclaimer.name)
        self._trim_if_left(goal)
        freed, took = need - goal(), time.perf_counter() - began
        is_worth_it = freed >= min(need, _NOTICEABLE * self.gauge.limit.limit)
        reclaimer.note(self._timer(), freed, took, is_worth_it=is_worth_it)

    def _trim_if_left(self, goal: Goal) -> None:
        """Trim before anything more is let go of: it may be freed already, and only kept."""
        if goal() > 0:
            self._trim(goal)

    def _ask_ours(self, part: str, thing: Any, need: int) -> int:
        """Have a part of perfkit let go of something. Here: it doesn't hang, and another thread would cost time."""
        standstill.begin(_REASON)
        try:
            let_go = int(thing.reclaim(need))
        except Exception:  # noqa: BLE001 (a single bad one stops no other)
            logger("memory").exception(
                "%s: %s %r could not let go of anything", self.name, part, getattr(thing, "name", thing)
            )
            return 0
        self._let_go += let_go
        return let_go

    def _ask(self, key: object, fn: Callable[[int], Any], need: int, what: object) -> int:
        """Call ``fn(need)`` where it may hang; return what it says to have let go of. It never raises."""
        if key in _process.under_way:
            return 0
        standstill.begin(_REASON)
        estimates: list[Any] = []

        def job() -> None:
            _process.under_way[key] = time.perf_counter()
            try:
                estimates.append(fn(need))
            finally:
                _process.under_way.pop(key, None)

        try:
            error = self._made(job)
        except Hung:
            self._count(key, "hung")
            logger("memory").warning(
                "%s: %s has not returned in %.2g s; it is not called again until it does",
                *(self.name, what, self._patience),
            )
            self._patience /= 2  # or several that hang would hold up a pass for as many seconds
            return 0
        if error is not None:
            self._count(key, "errors")
            logger("memory").error("%s: %s failed", self.name, what, exc_info=error)
        let_go = int(estimates[0]) if estimates and isinstance(estimates[0], int) else 0
        self._let_go += max(0, let_go)
        return max(0, let_go)

    def _made(self, job: Callable[[], object]) -> BaseException | None:
        if self.hands is not None:
            return self.hands.call(job, self._patience)
        try:
            job()
        except Exception as error:  # noqa: BLE001 (a single bad one stops no other)
            return error
        return None

    def _count(self, key: object, what: str) -> None:
        if key in self.reclaimers:
            setattr(key, what, getattr(key, what) + 1)
