"""What forking may do to breakers, retries and heartbeats, one function a scenario; what is wrong is an AssertionError.

Arguments: the scenario's name. Here and not in pytest's process, because that has threads of its own.
"""

import faulthandler
import sys
import threading
import warnings

from fork_scenarios import eventually, forked, reap

import perfkit
from perfkit.errors import BreakerOpen
from perfkit.testing import FakeClock


def held(lock):
    """Have another thread hold a lock until the event that is returned is set."""
    has_it, let_go = threading.Event(), threading.Event()

    def hold():
        with lock:
            has_it.set()
            let_go.wait(30)

    threading.Thread(target=hold, daemon=True).start()
    assert has_it.wait(20)
    return let_go


def a_lock_that_somebody_holds():
    breaker = perfkit.CircuitBreaker(consecutive=1)
    by_host = perfkit.CircuitBreaker.per_key()
    budget = perfkit.RetryBudget()
    retry = perfkit.retry(on=OSError, budget=budget, wait=0)
    heartbeat = perfkit.Heartbeat(lambda: None)
    there = by_host("there")
    things = [breaker, by_host, budget, retry, heartbeat, there]
    let_go = [held(thing._lock) for thing in things]

    def child():
        answers = [OSError()]

        def function():
            if answers:
                raise answers.pop()
            return "answer"

        assert retry.call(function) == "answer"
        breaker.trip()
        assert breaker.state == "open"
        assert by_host("there") is there
        assert by_host("new").call(len, "four") == 4
        there.trip()
        for thing in things:
            thing.stats()

    reap(forked(child))
    for event in let_go:
        event.set()
    assert breaker.state == "closed"


def probes_of_the_parent():
    clock = FakeClock()
    breaker = perfkit.CircuitBreaker(timer=clock)
    breaker.trip()
    clock.advance(30)

    def child():
        breaker.call(len, "")
        assert breaker.state == "closed"

    with breaker:
        reap(forked(child))
        assert breaker.state == "half-open"
    assert breaker.state == "closed"


def a_call_that_the_child_ends():
    """It began in the parent, where it is counted; in the child it is another's."""
    clock = FakeClock()
    breaker = perfkit.CircuitBreaker(timer=clock)
    breaker.trip()
    clock.advance(30)

    def child():
        breaker.__exit__(OSError, OSError(), None)
        assert breaker.state == "half-open"
        breaker.call(len, "")

    with breaker:
        reap(forked(child))


def an_open_breaker_stays_open():
    breaker = perfkit.CircuitBreaker()
    breaker.trip()

    def child():
        try:
            breaker.call(len, "")
        except BreakerOpen:
            return
        raise AssertionError("it was let through")

    reap(forked(child))


def a_heartbeat():
    asked, hanging = threading.Semaphore(0), threading.Event()

    def beat():
        asked.release()
        hanging.wait(30)

    heartbeat = perfkit.Heartbeat(beat, every=0.01, timeout=0.02, misses=1)
    heartbeat.start()
    assert asked.acquire(timeout=20)
    eventually(lambda: heartbeat.is_lost)

    def child():
        assert not heartbeat.is_running
        hanging.set()
        heartbeat.start()
        assert not heartbeat.is_lost
        for _ in range(3):
            assert asked.acquire(timeout=20)

    reap(forked(child))
    assert heartbeat.is_running
    heartbeat.stop()
    hanging.set()


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        a_lock_that_somebody_holds,
        probes_of_the_parent,
        a_call_that_the_child_ends,
        an_open_breaker_stays_open,
        a_heartbeat,
    )
}

if __name__ == "__main__":
    faulthandler.dump_traceback_later(60, exit=True)
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads: they are the subject
    SCENARIOS[sys.argv[1]]()
