"""KeyboardInterrupt at any place of a guarded call: no lock is kept, nobody is shut out for ever."""

import threading

import pytest
from interrupting import FIRST, STEP, interrupted

import perfkit
from perfkit.errors import BreakerOpen
from perfkit.testing import FakeClock

PATIENCE = 20.0


def in_a_thread(operation):
    """Return what it returns, or None if it hangs: a lock that was kept is the thread's that kept it."""
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(operation()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return outcome[0] if outcome else None


def strike_everywhere(scene, check, least=5):
    """Play ``scene(struck)`` with an interrupt at the first place, the second, and so on, and look at what is left.

    ``scene`` runs ``struck(operation)`` in a thread of its own, and returns what ``check`` is given.
    """
    at, places = FIRST, [True]
    while places[-1] is not None:

        def struck(operation, at=at):
            in_a_thread(lambda: places.append(interrupted(operation, at)))

        left = scene(struck)
        check(left, places[-1])
        at += STEP
    assert at > least, "hardly anything was interrupted"


class Guarded:
    """A breaker in a certain state, and a call that ends in a certain way."""

    def __init__(self, state, ending, options):
        self.clock = FakeClock()
        self.breaker = perfkit.CircuitBreaker(consecutive=1, timer=self.clock, on_change=lambda *_: None, **options)
        self.ending = ending
        self.call = self.breaker(self.end)
        if state != "closed":
            self.breaker.trip()
        if state == "half-open":
            self.clock.advance(30)

    def end(self):
        if self.ending == "bad":
            raise OSError

    def once(self):
        try:
            self.call()
        except (OSError, BreakerOpen):
            return

    def in_block(self):
        try:
            with self.breaker:
                self.end()
        except (OSError, BreakerOpen):
            return

    def check(self, where):
        """The lock is free; what is wrong opens it; it recovers."""
        assert in_a_thread(self.breaker.stats), where
        self.ending = "bad"
        self.once()
        assert self.breaker.state != "closed", where
        self.ending = "good"
        for _ in range(3):
            self.clock.advance(100)
            self.once()
        assert self.breaker.state == "closed", where


@pytest.mark.parametrize("options", [{}, {"window_seconds": 1000.0}], ids=["calls", "seconds"])
@pytest.mark.parametrize("ending", ["good", "bad"])
@pytest.mark.parametrize("state", ["closed", "open", "half-open"])
@pytest.mark.parametrize("way", ["once", "in_block"])
def test_a_breaker(state, ending, options, way):
    def scene(struck):
        guarded = Guarded(state, ending, options)
        struck(getattr(guarded, way))
        return guarded

    strike_everywhere(scene, Guarded.check, least=2)


def test_a_breaker_of_a_group():
    def scene(struck):
        by_host = perfkit.CircuitBreaker.per_key(2, consecutive=1)

        def operations():
            by_host("a").trip()
            by_host("b").reset()
            by_host("c").trip()

        struck(operations)
        return by_host

    def check(by_host, where):
        assert in_a_thread(by_host.stats), where
        assert in_a_thread(lambda: by_host("a") is by_host("a") is not by_host("b")), where

    strike_everywhere(scene, check)


def test_a_retry_with_a_budget():
    def scene(struck):
        clock = FakeClock()
        budget = perfkit.RetryBudget(timer=clock)
        retry = perfkit.retry(on=OSError, attempts=3, budget=budget, timer=clock, sleep=clock.sleep)

        def fail():
            raise OSError

        def operation():
            with pytest.raises(OSError):
                retry.call(fail)

        struck(operation)
        return retry, budget

    def check(left, where):
        retry, budget = left
        assert in_a_thread(budget.stats), where
        assert in_a_thread(retry.stats), where
        assert in_a_thread(lambda: retry.call(len, "four")) == 4, where

    strike_everywhere(scene, check)


def test_starting_and_stopping_a_heartbeat():
    def scene(struck):
        asked = threading.Semaphore(0)
        heartbeat = perfkit.Heartbeat(asked.release, every=0.01)

        def operation():
            heartbeat.start()
            heartbeat.stop()

        struck(operation)
        return heartbeat, asked

    def check(left, where):
        heartbeat, asked = left

        def beats():
            heartbeat.stop()
            heartbeat.start()
            return all(asked.acquire(timeout=PATIENCE) for _ in range(2)) and heartbeat.stats()

        assert in_a_thread(beats), where
        heartbeat.stop()

    strike_everywhere(scene, check)
