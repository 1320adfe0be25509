"""Refreshing ahead of time: what happens meanwhile wins, and what goes wrong harms nobody."""

import asyncio
import gc
import logging
import subprocess
import sys
import threading

import pytest

from perfkit._base.workers import Workers
from perfkit.caching import background, cached
from perfkit.testing import FakeClock


class Refreshing:
    """A cached function with one value, and the refresh of that under way until told to ``go_on``."""

    def __init__(self, outcome=None):
        self.clock = FakeClock()
        self.calls = 0
        self.outcome = outcome or (lambda: self.calls)
        self.started, self.go_on, self.over = threading.Event(), threading.Event(), threading.Event()
        self.function = cached(self._make, ttl=10, refresh_ahead=0.5, tags=["t"], timer=self.clock)
        self.function()
        self.clock.advance(6)
        assert self.function() == 1
        assert self.started.wait(10)

    def _make(self):
        self.calls += 1
        if self.calls == 1:
            return 1
        self.started.set()
        assert self.go_on.wait(10)
        try:
            return self.outcome()
        finally:
            self.over.set()

    def end(self):
        self.go_on.set()
        assert self.over.wait(10)


@pytest.mark.parametrize(
    "interfere",
    [
        lambda function: function.cache_clear(),
        lambda function: function.cache_discard(),
        lambda function: function.cache_invalidate(tag="t"),
        lambda function: function.cache.popitem(),
        lambda function: function.cache.pop(function.cache_key()),
    ],
    ids=["clear", "discard", "invalidate", "popitem", "pop"],
)
def test_what_is_removed_while_it_is_refreshed_stays_removed(interfere, eventually):
    refreshing = Refreshing()
    store = refreshing.function.cache._store
    flight = next(iter(store.flights.values()))
    interfere(refreshing.function)
    assert refreshing.function.cache_info().currsize == 0
    refreshing.end()
    eventually(lambda: flight.is_over)
    assert refreshing.function.cache_info().currsize == 0
    assert refreshing.function() == 3


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_refresh_that_is_ended_by_force(error, caplog, eventually):
    """The worker lives on, nobody waits, and the next one refreshes."""

    def end_it():
        raise error("by force")

    with caplog.at_level(logging.ERROR, "perfkit.caching"):
        refreshing = Refreshing(end_it)
        refreshing.end()
        eventually(lambda: "by force" in caplog.text)
    eventually(lambda: not refreshing.function.cache._store.flights)
    assert refreshing.function() == 1
    refreshing.outcome = lambda: "new"
    refreshing.clock.advance(5)
    assert refreshing.function() == "new"


AT_EXIT = "atexit.register(lambda: print(f()))"
LATER = """
class Late:
    def __init__(self, f):
        self.f = f

    def __del__(self):
        print(self.f())

late = Late(f)
"""


@pytest.mark.parametrize("when", [AT_EXIT, LATER], ids=["atexit", "when modules go"])
def test_refreshes_at_the_end_of_the_interpreter(when):
    """No thread can be started then; the value that is there serves."""
    program = f"""
import atexit
from perfkit.caching import cached
from perfkit.testing import FakeClock
clock = FakeClock()
f = cached(lambda: "value", ttl=10, refresh_ahead=0.5, timer=clock)
f()
clock.advance(6)
{when}
"""
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.stderr, run.returncode) == ("value\n", "", 0)


def test_a_refresh_in_a_loop_that_is_closed_meanwhile():
    clock = FakeClock()
    entered = []

    @cached(ttl=10, refresh_ahead=0.5, timer=clock)
    async def fetch():
        entered.append(True)
        if len(entered) == 2:
            await asyncio.sleep(60)
        return len(entered)

    async def main():
        result = await fetch()
        await asyncio.sleep(0)
        return result

    assert asyncio.run(main()) == 1
    clock.advance(6)
    assert asyncio.run(main()) == 1
    assert len(entered) == 2
    assert not fetch.cache._store.flights
    clock.advance(5)
    assert asyncio.run(main()) == 3


def test_when_no_thread_can_be_started_workers_are_counted_right(monkeypatch):
    workers = Workers(2, "perfkit-test")
    refused, ran = [], threading.Event()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(20):
            with pytest.raises(RuntimeError):
                workers.submit(lambda: refused.append(True))
    workers.submit(ran.set)
    assert ran.wait(10)
    assert refused == []


def test_the_collector_may_end_a_waiting_task_anywhere():
    """Even while the same thread holds the lock of who waits for whom."""
    from perfkit.caching import flight

    held = flight.Flight()

    async def wait():
        await held.wait_in_loop()

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    def collect():
        nonlocal task
        with flight._graph:
            task = None
            held._wakers = None
            gc.collect()
        return True

    done = []
    thread = threading.Thread(target=lambda: done.append(collect()), daemon=True)
    thread.start()
    thread.join(20)
    assert done == [True]


class Hanging:
    """A cached function whose refreshes of even keys hang, and which knows what has been refreshed."""

    def __init__(self):
        self.clock, self.leave, self.refreshed = FakeClock(), threading.Event(), []
        self.first = threading.get_ident()
        self.function = cached(maxsize=None, ttl=10, refresh_ahead=0.5, timer=self.clock)(self.call)

    def call(self, key):
        if threading.get_ident() != self.first:
            if key % 2 == 0:
                self.leave.wait(20)
            self.refreshed.append(key)
        return key

    def refresh(self, keys):
        for key in keys:
            self.function(key)
        self.clock.advance(6)
        for key in keys:
            assert self.function(key) == key


def test_refreshes_that_hang_keep_few_others_from_theirs(eventually):
    hanging = Hanging()
    try:
        hanging.refresh([0, 2, 4, 6, 8, 10, 1, 3])
        eventually(lambda: sorted(hanging.refreshed) == [1, 3])
    finally:
        hanging.leave.set()
    eventually(lambda: len(hanging.refreshed) == 8)


def test_what_waits_for_a_refresh_is_bounded(eventually):
    hanging = Hanging()
    try:
        hanging.refresh(range(0, 2000, 2))
        assert len(background._workers) <= background._MOST_WAITING
    finally:
        hanging.leave.set()
    eventually(lambda: not len(background._workers))
    hanging.clock.advance(20)
    assert hanging.function(1998) == 1998
