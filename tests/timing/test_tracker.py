import json
import os
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit
from perfkit.testing import FakeClock
from perfkit.timing import PerformanceTracker

# Durations as they come, evenly over the orders of magnitude, with ties; and shapes as latencies have them.
durations = st.integers(0, 40).flatmap(lambda bits: st.integers(0, 2 ** (bits + 1) - 1)).map(lambda ns: ns / 1e9)
samples = st.lists(durations, min_size=1, max_size=80) | st.builds(
    lambda seed, size, spread: np.random.default_rng(seed).lognormal(-7, spread, size).tolist(),
    st.integers(0, 2**32),
    st.integers(1, 3000),
    st.floats(0, 3),
)


def fail(clock):
    clock.advance(3)
    raise KeyError


@given(samples, st.sampled_from([0, 1, 25, 50, 90, 95, 99, 99.9, 100]))
def test_percentiles_are_within_one_percent_of_numpys(values, q):
    tracker = PerformanceTracker()
    for value in values:
        tracker.observe(value)
    found = tracker.percentile(q)
    # numpy's rank is a float product: where it ought to be a whole number, it may be the one behind
    expected = np.percentile(values, [q, max(q - 1e-9, 0)], method="inverted_cdf")
    assert any(abs(found - value) <= max(value * 0.01, 0.5e-9) * (1 + 1e-9) for value in expected)


@given(samples, samples)
def test_merged_is_as_if_all_had_been_recorded_here(mine, theirs):
    one, other, both = PerformanceTracker(), PerformanceTracker(), PerformanceTracker()
    for value in mine:
        one.observe(value)
        both.observe(value)
    for value in theirs:
        other.observe(value)
        both.observe(value)
    one.merge(PerformanceTracker.from_dict(json.loads(json.dumps(other.to_dict()))))
    merged, expected = one.to_dict()["latency"], both.to_dict()["latency"]
    assert merged.pop("total") == pytest.approx(expected.pop("total"))
    assert merged == expected


def test_errors_are_counted_apart():
    clock = FakeClock()
    tracker = PerformanceTracker("search", timer=clock)
    for seconds in (0.1, 0.2, 0.3):
        tracker.observe(seconds)
    tracker.observe_error(5.0)
    clock.advance(8)
    stats = tracker.stats()
    assert (stats.name, stats.count, stats.errors, stats.seconds, stats.rate) == ("search", 3, 1, 8, 0.5)
    assert (stats.latency.max, stats.error_latency.max) == (0.3, 5.0)
    assert (tracker.count, tracker.errors) == (3, 1)
    assert tracker.within(0.25) == 0.5
    assert pickle.loads(pickle.dumps(stats)) == stats


def test_a_new_one_has_no_figures():
    tracker = PerformanceTracker(timer=FakeClock())
    stats = tracker.stats()
    assert (stats.count, stats.errors, stats.rate, stats.latency.p99) == (0, 0, 0.0, 0.0)
    assert tracker.within(1) == 1.0


class TestAWindow:
    def test_what_is_older_is_forgotten(self):
        clock = FakeClock()
        tracker = PerformanceTracker(window=60, timer=clock)
        for minute in range(5):
            tracker.observe(minute + 1.0)
            clock.advance(60)
        assert tracker.count <= 2
        assert tracker.stats().latency.max == 5.0
        clock.advance(11)
        assert tracker.stats().latency.count == 0
        assert tracker.stats().rate == 0.0

    @given(st.lists(st.floats(0.01, 30), max_size=60))
    def test_all_of_the_window_is_there_and_at_most_a_sixth_more(self, pauses):
        clock = FakeClock()
        tracker, times = PerformanceTracker(window=60, timer=clock), []
        for pause in pauses:
            clock.advance(pause)
            times.append(clock())
            tracker.observe(1.0)
        least = sum(clock() - at < 60 for at in times)
        most = sum(clock() - at <= 70 + 1e-6 for at in times)
        assert least <= tracker.count <= most

    def test_its_rate_is_of_the_window(self):
        clock = FakeClock()
        tracker = PerformanceTracker(window=60, timer=clock)
        clock.advance(86_400)
        for _ in range(30):
            clock.advance(1)
            tracker.observe(0.1)
            tracker.observe_error(0.1)
        assert tracker.stats().rate == pytest.approx(1.0)
        assert tracker.stats().seconds == 60

    def test_before_it_is_over_once_the_rate_is_of_the_time_there_was(self):
        clock = FakeClock()
        tracker = PerformanceTracker(window=60, timer=clock)
        for _ in range(10):
            clock.advance(1)
            tracker.observe(0.1)
        assert (tracker.stats().rate, tracker.stats().seconds) == (1.0, 10)

    def test_threads_lose_nothing_when_slices_change(self):
        tracker = PerformanceTracker(window=600.0)
        slices = tracker._recorder._slices

        def work():
            for number in range(5_000):
                tracker.observe(0.001)
                if number % 500 == 0:
                    slices.until = 0.0  # the next one turns

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tracker.count == 40_000


def test_threads_that_have_ended_are_counted_on():
    tracker = PerformanceTracker()

    def work():
        for _ in range(1000):
            tracker.observe(0.001)

    for _ in range(3):
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert tracker.count == 24_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # 3.12 warns of a fork while threads run
@pytest.mark.parametrize("window", [None, 60])
def test_a_child_counts_on_by_itself(window):
    tracker = PerformanceTracker(window=window)
    tracker.observe(1.0)
    child = os.fork()
    if child == 0:
        tracker.observe(2.0)
        tracker.merge(tracker)
        os._exit(tracker.count)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 4
    assert tracker.count == 1


class TestTime:
    def test_a_block(self):
        clock = FakeClock()
        tracker = PerformanceTracker(timer=clock)
        with tracker.time():
            clock.advance(2)
        with pytest.raises(KeyError), tracker.time():
            fail(clock)
        assert (tracker.stats().latency.max, tracker.stats().error_latency.max) == (2, 3)

    def test_a_function(self):
        clock = FakeClock()
        tracker = PerformanceTracker("search", timer=clock)

        @tracker.time()
        def search(words):
            clock.advance(len(words))
            return words

        assert search("abc") == "abc"
        assert tracker.stats().latency.max == 3
        assert perfkit.timing.tracker_of(search) is tracker


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PerformanceTracker(5), "name must be a string"),
        (lambda: PerformanceTracker(window=0), "window must be more than 0 seconds"),
        (lambda: PerformanceTracker(window="60"), "window must be a number of seconds"),
        (lambda: PerformanceTracker(timer=1), "timer must be a function"),
        (lambda: PerformanceTracker().observe(float("nan")), "a finite number of seconds"),
        (lambda: PerformanceTracker().percentile(101), "must be in 0..100"),
        (lambda: PerformanceTracker().percentile(0.99), r"percentile\(99\), not percentile\(0.99\)"),
        (lambda: PerformanceTracker().observe("1"), "must be a number of seconds, not '1'"),
        (lambda: PerformanceTracker().observe(True), "must be a number of seconds, not True"),
        (lambda: PerformanceTracker(window=10**400), "window must be more than 0 seconds, and finite"),
        (lambda: PerformanceTracker().within(-1), "seconds must be 0 or more"),
        (lambda: PerformanceTracker().merge({}), "from_dict"),
        (lambda: PerformanceTracker.from_dict({}), "was not made by"),
        (lambda: PerformanceTracker.from_dict([]), "was not made by"),
        (lambda: PerformanceTracker.from_dict(PerformanceTracker().to_dict() | {"seconds": -1}), "seconds must be"),
        (lambda: PerformanceTracker.from_dict(PerformanceTracker().to_dict() | {"latency": {}}), "'scheme' must be"),
        (lambda: perfkit.timing.tracker_of(print), "is not measured"),
    ],
)
def test_what_is_refused(make, says):
    with pytest.raises((TypeError, ValueError), match=says):
        make()


def test_it_is_in_the_stats_under_its_name():
    tracker = PerformanceTracker("search")
    assert ("timing", "search") in [(one.part, one.name) for one in perfkit.stats()]
    assert repr(tracker) == "<PerformanceTracker 'search'>"
