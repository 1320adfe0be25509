"""Timing at its worst: interrupts, handlers, finalisers and forks anywhere; nothing is lost, stuck or made up."""

import asyncio
import contextvars
import dataclasses
import functools
import gc
import json
import os
import signal
import sys
import threading
import time
import weakref

import interrupting
import pytest
from interrupting import FIRST, STEP, interrupted

import perfkit
from perfkit.timing import profiling


@pytest.fixture(autouse=True)
def _only_what_the_test_makes(monkeypatch):
    monkeypatch.setattr(perfkit.registry, "_live", {})


@pytest.fixture(autouse=True)
def _also_inside_histograms(monkeypatch):
    monkeypatch.setattr(interrupting, "HISTOGRAM", None)


def everywhere(operation, check, handler=None):
    """Strike at the first place, the second, and so on, each in a thread of its own: a thread's first is special."""
    at, place, failures = FIRST, "", []

    def once():
        nonlocal place
        try:
            made = operation()
            strike = interrupting.interrupt if handler is None else functools.partial(handler, *made[1:])
            place = interrupted(made[0], at, strike)
            check(place, *made[1:])
        except Exception as error:
            failures.append((place, error))

    while place is not None:
        thread = threading.Thread(target=once)
        thread.start()
        thread.join(60)
        assert not thread.is_alive(), f"stuck, struck at {place}"
        assert failures == []
        at += STEP
    assert at > 3


@pytest.mark.parametrize("window", [None, 60])
def test_interrupted_while_recording(window):
    """What comes later is counted, and what is stored can be read."""

    def operation():
        tracker = perfkit.PerformanceTracker(window=window)
        return lambda: [tracker.observe(0.001 * number) for number in range(3)], tracker

    def check(place, tracker):
        before = tracker.count
        for number in range(10):
            tracker.observe(0.002 * number)
        assert tracker.count == before + 10
        again = perfkit.PerformanceTracker.from_dict(json.loads(json.dumps(tracker.to_dict())))
        assert again.count == tracker.count

    everywhere(operation, check)


@pytest.mark.parametrize("window", [None, 60])
def test_a_handler_records_and_reads_in_the_middle(window):
    told = []

    def operation():
        tracker, other = perfkit.PerformanceTracker(window=window), perfkit.PerformanceTracker()
        other.observe(2e-9)  # short ones, in the first buckets: the places are many enough
        return lambda: [tracker.observe(1e-9), tracker.merge(other), tracker.observe(4e-9)], tracker

    def handler(tracker):
        tracker.observe(2e-9)
        told.append(tracker.to_dict())

    def check(place, tracker):
        assert tracker.count == (3 if place is None else 4), place
        if told:
            perfkit.PerformanceTracker.from_dict(told.pop())

    everywhere(operation, check, handler)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a system with interval timers")
def test_a_real_signal_while_trackers_are_merged():
    full, tracker = perfkit.PerformanceTracker(), None
    for number in range(500):
        full.observe(1.5 ** (number % 60) * 1e-6)
    before = signal.signal(signal.SIGALRM, lambda *_: tracker is None or tracker.observe(0.1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until:
            tracker = perfkit.PerformanceTracker()
            tracker.merge(full)
            assert tracker.count >= 500
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_is_stored_while_threads_record_can_be_read():
    tracker, done = perfkit.PerformanceTracker(), threading.Event()

    def work():
        number = 0
        while not done.is_set():
            number += 1
            tracker.observe(1.1 ** (number % 200) * 1e-6)

    threads = [threading.Thread(target=work) for _ in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for _ in range(500):
            perfkit.PerformanceTracker.from_dict(tracker.to_dict())
    finally:
        sys.setswitchinterval(interval)
        done.set()
        for thread in threads:
            thread.join()


def test_a_profile_that_is_interrupted_leaves_the_place_free():
    def operation():
        work = perfkit.profiled(every=1, report=lambda report: None, name="interrupted")(lambda: sum(range(3)))
        return (work,)

    def check(place):
        reports = []
        again = perfkit.profiled(every=1, report=reports.append)(lambda: sum(range(3)))
        assert again() == 3
        assert len(reports) == 1, place

    at, place = FIRST, ""
    while place is not None:  # in this thread: where a profiler is at work there is none beside it
        place = interrupted(lambda: profiling._slot.take(made := Holder()) and profiling._slot.give_back(made), at)
        check(place)
        at += STEP
    operation()[0]()
    check(None)


class Holder:
    """What may hold the place of profiles."""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of a fork while threads run
def test_a_child_that_returns_from_a_profiled_function_gets_its_result():
    @perfkit.profiled(every=1, report=lambda report: None)
    def forks():
        return os.fork()

    child = forks()
    if child == 0:
        os._exit(forks.__name__ == "forks" and 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_an_exception_that_can_not_be_changed_passes_as_it_is():
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    def fail():
        raise Frozen(3)

    async def afail():
        raise Frozen(4)

    for decorator in (perfkit.timed, perfkit.Timer("x"), perfkit.profiled(every=1, report=lambda report: None)):
        with pytest.raises(Frozen):
            decorator(fail)()
        with pytest.raises(Frozen):
            asyncio.run(decorator(afail)())


def test_a_debugger_is_left_alone():
    reports = []
    work = perfkit.profiled(every=1, report=reports.append)(lambda: 1)
    before = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        work()
    finally:
        sys.settrace(before)
    assert reports == []
    if not hasattr(sys, "monitoring"):
        return
    sys.monitoring.use_tool_id(sys.monitoring.DEBUGGER_ID, "a debugger")
    try:
        work()
    finally:
        sys.monitoring.free_tool_id(sys.monitoring.DEBUGGER_ID)
    assert reports == []


def fail():
    raise KeyError


class TestTimers:
    def test_what_ended_is_not_changed_by_others_of_its_name(self):
        with perfkit.Timer():
            with perfkit.Timer("same") as first, perfkit.Timer("x"):
                pass
            with perfkit.Timer("same"), perfkit.Timer("x"), perfkit.Timer("y"):
                pass
        assert [(child.name, child.count) for child in first.children] == [("x", 1)]

    def test_a_task_that_outlives_the_timer_it_was_started_in_belongs_to_those_around_it(self):
        async def work():
            await asyncio.sleep(0)
            with perfkit.Timer("work"):
                pass

        async def main():
            with perfkit.Timer() as outer:
                with perfkit.Timer("spawn"):
                    task = asyncio.create_task(work())
                await task
            return {child.name for child in outer.children}

        assert asyncio.run(main()) == {"spawn", "work"}

    def test_each_that_starts_the_next_has_a_tree_however_many_there_were(self):
        trees = []

        async def main():
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def tick(left):
                with perfkit.Timer("tick") as timer:
                    with perfkit.Timer("inside"):
                        pass
                    if left:
                        loop.call_soon(tick, left - 1)
                    else:
                        done.set()
                trees.append(len(timer.children))

            tick(200)
            await done.wait()

        asyncio.run(main())
        assert trees == [1] * 201

    def test_a_second_run_has_nothing_of_the_first(self):
        timer = perfkit.Timer()
        with pytest.raises(KeyError), timer:
            fail()
        with timer:
            assert (timer.error, timer.laps, timer.children) == (None, (), ())

    def test_a_clock_that_fails_leaves_a_timer_that_can_be_used(self):
        ticks = [1.0, None, 3.0, 5.0]

        def clock():
            tick = ticks.pop(0)
            if tick is None:
                raise OSError("no clock")
            return tick

        timer = perfkit.Timer(timer=clock)
        with pytest.raises(OSError, match="no clock"), timer:
            pass
        with timer:
            pass
        assert timer.seconds == 2.0

    def test_the_context_is_not_kept(self):
        variable, timers = contextvars.ContextVar("large"), []

        def work():
            variable.set(Holder())
            with perfkit.Timer() as timer:
                timers.append(timer)
            return weakref.ref(variable.get())

        gone = contextvars.copy_context().run(work)
        gc.collect()
        assert gone() is None
        assert not timers[0].is_running


def test_names_that_are_no_utf8_and_no_line(tmp_path):
    state = perfkit.StateFile(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json"), default=dict)
    tracker = perfkit.PerformanceTracker("two\nlines")
    stats = perfkit.stats()
    assert stats.prometheus().encode()
    assert stats.to_json().encode()
    assert str(stats).encode()
    assert "two\\nlines" in str(stats)
    assert (state.name, tracker.name) == (state.name, "two\nlines")


def test_an_object_without_a_name_hides_no_other(caplog):
    class Nameless:
        @property
        def name(self):
            raise RuntimeError("none today")

        def stats(self):
            return None

    nameless = Nameless()
    perfkit.registry.register(nameless, part="odd")
    tracker = perfkit.PerformanceTracker("seen")
    assert tracker.name in [name for _, name, _ in perfkit.stats()]
    assert "Nameless" in caplog.text


def metrics(name):
    lines = [line for line in perfkit.stats().prometheus().splitlines() if f'name="{name}"' in line]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_counters_never_go_down():
    tracker, last = perfkit.PerformanceTracker("sums"), -1.0
    for number in range(300):
        tracker.observe(0.0 if number % 2 else 0.1)
        total = metrics("sums")['perfkit_tracker_latency_seconds_sum{name="sums"}']
        assert total >= last
        last = total


def test_of_a_window_nothing_is_a_counter():
    tracker = perfkit.PerformanceTracker("lately", window=60)
    tracker.observe(1.0)
    other = perfkit.PerformanceTracker("always")
    other.observe(1.0)
    kinds = dict(line.split()[2:] for line in perfkit.stats().prometheus().splitlines() if line.startswith("# TYPE"))
    names = {series.partition("{")[0] for series in metrics("lately")}
    assert {kinds[name] for name in names} == {"gauge"}
    assert names.isdisjoint(series.partition("{")[0] for series in metrics("always"))
