import json
import math
import os
import pickle
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit
from perfkit._base.histogram import LAST, Histogram, LatencyRecorder, LatencySummary, bounds

ROOT = str(Path(perfkit.__file__).parents[1])
BEYOND = 2**50 / 1e9  # seconds from which on durations share the last bucket

# Durations as they come: from one tick of the clock to days, evenly over the orders of magnitude, with ties.
nanoseconds = st.integers(0, 49).flatmap(lambda bits: st.integers(0, 2 ** (bits + 1) - 1)).map(lambda ns: ns / 1e9)
fractional = st.floats(0, BEYOND, exclude_max=True)
durations = nanoseconds | fractional | st.sampled_from([0.0, 1e-9, 63.5e-9, 64e-9, 127e-9, 128e-9, 0.25, 1.0, 3600.0])
mixtures = st.lists(st.tuples(durations, st.integers(1, 200)), min_size=1, max_size=30).map(
    lambda parts: [value for value, times in parts for _ in range(times)]
)
samples = st.lists(durations, max_size=60) | mixtures
percentages = st.integers(0, 100_000).map(lambda thousandths: thousandths / 1000)


def recorded(values):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def inverted_cdf(values, q):
    """The definition, in exact arithmetic: the first value that q percent of all don't exceed."""
    rank = max(1, math.ceil(Fraction(str(q)) * len(values) / 100))
    return sorted(values)[rank - 1]


def off_by(allowed, expected):
    return abs(allowed - expected) <= max(expected / 100, 0.5e-9) * (1 + 1e-9)


def same(one, other):
    """Equal but for the total, which is a sum of floats."""
    one, other = one.to_dict(), other.to_dict()
    assert one.pop("total") == pytest.approx(other.pop("total"))
    assert one == other


# the histogram


@given(samples.filter(bool), percentages)
def test_a_percentile_is_within_one_percent_of_the_inverted_cdf(values, q):
    assert off_by(recorded(values).percentile(q), inverted_cdf(values, q))


@given(samples.filter(bool))
def test_extremes_and_count_are_exact_and_the_mean_is_the_sum_over_the_count(values):
    histogram = recorded(values)
    assert (histogram.count, histogram.min, histogram.max) == (len(values), min(values), max(values))
    assert (histogram.percentile(0), histogram.percentile(100)) == (min(values), max(values))
    assert histogram.total == pytest.approx(math.fsum(values))
    assert histogram.mean == pytest.approx(math.fsum(values) / len(values))
    assert min(values) <= histogram.mean <= max(values)


@given(samples, st.lists(percentages, min_size=2, max_size=5).map(sorted))
def test_percentiles_never_fall(values, qs):
    found = [recorded(values).percentile(q) for q in qs]
    assert found == sorted(found)


@given(st.integers(0, LAST - 1))
def test_buckets_are_narrow_and_follow_each_other(bucket):
    start, end = bounds(bucket)
    assert end == bounds(bucket + 1)[0]
    assert end - start == 1 or (end - start) * 64 <= start


def test_the_first_bucket_starts_at_nothing_and_the_last_never_ends():
    assert bounds(0)[0] == 0
    assert bounds(LAST) == (127 * 2**43, math.inf)


@pytest.mark.parametrize("edge", [1, 63, 64, 127, 128, 255, 256, 2**20, 2**49, 2**50 - 2**44 - 1])
def test_values_at_the_edges_of_buckets_are_found_in_them(edge):
    histogram = recorded([ns / 1e9 for ns in (edge, edge, edge + 1, edge + 1, 2**51, 2**51)])
    assert off_by(histogram.percentile(30), edge / 1e9)
    assert off_by(histogram.percentile(60), (edge + 1) / 1e9)


@pytest.mark.parametrize(
    ("q", "rank"),
    [
        (99.9, 999),
        (99.90001, 1000),
        (99.8, 998),
        (50, 500),
        (50.0001, 501),
        (55, 550),
        (16.1, 161),
        (0.1, 1),
        (1e-9, 1),
    ],
)
def test_a_percentage_that_floats_cannot_hold_means_what_is_written(q, rank):
    """Of 1000 durations it is the one of exactly that rank: long, but for those below it, or but for it too."""
    assert recorded([1.0] * (rank - 1) + [2.0] * (1001 - rank)).percentile(q) == pytest.approx(2.0, rel=0.01)
    assert recorded([1.0] * rank + [2.0] * (1000 - rank)).percentile(q) == pytest.approx(1.0, rel=0.01)


def test_durations_of_days_share_a_bucket_that_answers_with_the_longest():
    histogram = recorded([1.0, BEYOND, 3 * BEYOND, 1e30])
    assert (histogram.max, histogram.percentile(50), histogram.percentile(25)) == (1e30, 1e30, 1.0)
    assert histogram.count == 4


@given(st.floats(max_value=-1e-30, allow_infinity=False, min_value=-1e200), samples)
def test_a_negative_duration_counts_as_none(negative, values):
    same(recorded([*values, negative, negative]), recorded([*values, 0.0, 0.0]))


def test_minus_zero_is_zero():
    assert math.copysign(1, recorded([-0.0]).min) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_duration_is_refused_and_leaves_no_trace(value):
    histogram = recorded([0.5])
    before = histogram.to_dict()
    with pytest.raises(ValueError, match="finite number of seconds"):
        histogram.record(value)
    assert histogram.to_dict() == before


def test_an_empty_histogram_says_zero():
    empty = Histogram()
    assert (empty.count, empty.total, empty.min, empty.max, empty.mean) == (0, 0.0, 0.0, 0.0, 0.0)
    assert (empty.percentile(0), empty.percentile(50), empty.percentile(100)) == (0.0, 0.0, 0.0)
    assert empty.summary() == LatencySummary(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("q", [-0.001, 100.001, math.nan, math.inf])
def test_a_percentage_outside_of_0_to_100_is_refused(q):
    for histogram in (Histogram(), recorded([1.0])):
        with pytest.raises(ValueError, match=r"0\.\.100"):
            histogram.percentile(q)


@given(samples)
def test_a_summary_says_what_the_histogram_says(values):
    histogram = recorded(values)
    p50, p90, p95, p99, p999 = map(histogram.percentile, (50, 90, 95, 99, 99.9))
    assert histogram.summary() == LatencySummary(
        count=histogram.count,
        mean=histogram.mean,
        p50=p50,
        p90=p90,
        p95=p95,
        p99=p99,
        p999=p999,
        max=histogram.max,
        total=histogram.total,
    )


def test_a_summary_pickles_and_is_frozen():
    summary = recorded([1.0]).summary()
    assert pickle.loads(pickle.dumps(summary)) == summary
    with pytest.raises(AttributeError):
        summary.count = 2


# merging


@given(samples, samples, samples)
def test_merging_is_recording_into_one_in_whatever_order(a, b, c):
    left, right, both = recorded(a), recorded(c), recorded(b)
    left.merge(both)  # (a + b) + c
    left.merge(recorded(c))
    both.merge(right)  # a + (b + c), from the other end
    both.merge(recorded(a))
    same(left, recorded(a + b + c))
    same(both, left)


@given(samples, samples)
def test_merging_leaves_the_other_and_its_copy_apart(a, b):
    other = recorded(b)
    before = other.to_dict()
    mine = other.copy()
    mine.merge(recorded(a))
    mine.record(1.0)
    assert other.to_dict() == before


def test_what_is_recorded_while_it_is_read_lies_within_the_bounds_read():
    busy, merged = recorded([1.0]), Histogram()

    class Counts(list):
        """Counts of a thread that records a new extreme just before they are read."""

        def __iter__(self):
            busy.record(9.0)
            return super().__iter__()

        def __getitem__(self, key):
            if isinstance(key, slice):
                busy.record(9.0)
            return super().__getitem__(key)

    busy._counts = Counts(busy._counts)
    merged.merge(busy)
    assert Histogram.from_dict(merged.to_dict()).max == 9.0


@given(samples)
def test_a_histogram_can_be_merged_with_itself(values):
    doubled = recorded(values)
    doubled.merge(doubled)
    same(doubled, recorded(values * 2))


# the stored form


@given(samples, samples)
def test_the_stored_form_survives_json_and_can_be_recorded_on(values, more):
    again = Histogram.from_dict(json.loads(json.dumps(recorded(values).to_dict(), allow_nan=False)))
    assert again.to_dict() == recorded(values).to_dict()
    for value in more:
        again.record(value)
    assert again.to_dict() == recorded(values + more).to_dict()


def test_the_stored_form_has_documented_keys_and_no_empty_buckets():
    stored = recorded([5e-9, 2.0, 5e-9]).to_dict()
    assert list(stored) == ["scheme", "count", "total", "min", "max", "buckets"]
    assert [count for _, count in stored["buckets"]] == [2, 1]
    assert (stored["buckets"][0], stored["count"]) == ([5, 2], 3)


GOOD = recorded([5e-9, 1e-3, 1e-3]).to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheme": "log-linear/32/ns"}, "'scheme'"),
        ({"buckets": None}, "'buckets' must be a list"),
        ({"buckets": {"5": 1}}, "'buckets' must be a list"),
        ({"buckets": [[5, 1], [5, 2]]}, "ascending"),
        ({"buckets": [[LAST + 1, 3]]}, "pairs"),
        ({"buckets": [[-1, 3]]}, "pairs"),
        ({"buckets": [[5, 0]]}, "pairs"),
        ({"buckets": [[5, 1.0]]}, "pairs"),
        ({"buckets": [[True, 3]]}, "pairs"),
        ({"buckets": [[5, 1, 1]]}, "pairs"),
        ({"buckets": [5]}, "pairs"),
        ({"count": 4}, "'count' must be that of its buckets, 3"),
        ({"count": None}, "'count'"),
        ({"total": -1.0}, "'total' must be a finite number"),
        ({"total": math.nan}, "'total' must be a finite number"),
        ({"total": 10**400}, "'total' must be a finite number"),
        ({"total": "1"}, "'total' must be a finite number"),
        ({"total": 1.0}, "'total' must be what"),
        ({"total": 0.0}, "'total' must be what"),
        ({"min": None}, "'min' must be a finite number"),
        ({"min": 6e-9}, "'min' must lie in bucket 5"),
        ({"max": math.inf}, "'max' must be a finite number"),
        ({"max": 2e-3}, "'max' must lie in bucket"),
        ({"buckets": [], "count": 0}, "empty"),
    ],
)
def test_what_cannot_have_been_stored_is_refused_with_the_reason(changes, message):
    Histogram.from_dict(GOOD)
    with pytest.raises(ValueError, match=message):
        Histogram.from_dict(GOOD | changes)


@pytest.mark.parametrize("key", list(GOOD))
def test_a_missing_key_is_named(key):
    with pytest.raises(ValueError, match=f"'{key}'"):
        Histogram.from_dict({name: value for name, value in GOOD.items() if name != key})


def test_extremes_in_one_bucket_must_be_in_order():
    stored = recorded([1.0, 1.0000001]).to_dict()
    Histogram.from_dict(stored)
    with pytest.raises(ValueError, match="'min'"):
        Histogram.from_dict(stored | {"min": 1.0000001, "max": 1.0})


# the recorder


def run_threads(number, work):
    threads = [threading.Thread(target=work, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_eight_threads_lose_nothing():
    recorder = LatencyRecorder()
    together = threading.Barrier(8)

    def work(index):
        together.wait()
        for step in range(20_000):
            recorder.record((index * 20_000 + step) / 2**20)  # sums of these are exact

    run_threads(8, work)
    one = recorded(step / 2**20 for step in range(160_000))
    assert recorder.histogram().to_dict() == one.to_dict()
    assert recorder.summary() == one.summary()


def test_reading_while_others_record_sees_what_was_recorded_before_and_agrees_with_itself():
    recorder = LatencyRecorder()
    done = threading.Event()
    started = threading.Barrier(4)

    def work(index):
        recorder.record(0.25)
        started.wait()
        while not done.is_set():
            recorder.record(0.25)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    counts = []
    try:
        for _ in range(300):
            seen = recorder.histogram()
            counts.append(seen.count)
            assert (seen.min, seen.max, seen.percentile(50), seen.mean) == (0.25, 0.25, 0.25, 0.25)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert counts[0] >= 3
    assert counts == sorted(counts)


def test_threads_that_have_ended_leave_no_histogram_behind():
    recorder = LatencyRecorder()
    recorder.record(1.0)
    for _ in range(1250):
        run_threads(8, lambda index: recorder.record(1.0))
    _, entries = recorder._state
    assert len(entries) <= 2 * 8 + 1
    assert (recorder.histogram().count, recorder.histogram().total) == (10_001, 10_001.0)


def test_threads_not_started_by_threading_are_folded_too():
    import _thread

    recorder = LatencyRecorder()
    ended = []

    def work(lock):
        recorder.record(1.0)
        ended.append(threading.get_ident())
        lock.release()

    for _ in range(200):
        lock = _thread.allocate_lock()
        lock.acquire()
        _thread.start_new_thread(work, (lock,))
        lock.acquire()
    recorder_of_this_thread = threading.Thread(target=recorder.record, args=(1.0,))
    recorder_of_this_thread.start()
    recorder_of_this_thread.join()
    assert len(recorder._state[1]) < 100  # each has let its lock go just before its end, so the last ones may be alive
    assert recorder.histogram().count == 201


def test_the_merged_histogram_is_a_copy():
    recorder = LatencyRecorder()
    recorder.record(1.0)
    recorder.histogram().record(2.0)
    assert recorder.histogram().count == 1


def test_recorders_are_independent_and_let_go():
    import weakref

    one, other = LatencyRecorder(), LatencyRecorder()
    one.record(1.0)
    other.record(2.0)
    assert (one.histogram().max, other.histogram().max) == (1.0, 2.0)
    watch = weakref.ref(one)
    del one
    assert watch() is None


def test_recording_in_a_finaliser_that_runs_while_a_thread_joins_is_not_lost():
    recorder, durations = LatencyRecorder(), [2.0]

    class Lock:
        """The recorder's lock, with a finaliser that runs just after it was taken."""

        def __init__(self, lock):
            self.lock = lock

        def __enter__(self):
            self.lock.acquire()
            if durations:
                recorder.record(durations.pop())  # would wait for ever if the lock weren't re-entrant

        def __exit__(self, *_):
            self.lock.release()

    recorder._lock = Lock(recorder._lock)
    recorder.record(1.0)
    assert recorder.histogram().total == 3.0


FORK = """
import os, sys, threading, warnings
sys.path.insert(0, sys.argv[1])
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside other threads is what is shown here
from perfkit._base.histogram import LatencyRecorder

recorder = LatencyRecorder()
held, over = threading.Event(), threading.Event()

def hold():
    recorder.record(1.0)
    with recorder._lock:
        held.set()
        over.wait()

ended = threading.Thread(target=recorder.record, args=(1.0,))
ended.start()
ended.join()
recorder.record(1.0)
holder = threading.Thread(target=hold)
holder.start()
held.wait()
child = os.fork()
if child == 0:
    inherited = recorder.histogram().count
    recorder.record(1.0)
    another = threading.Thread(target=recorder.record, args=(1.0,))
    another.start()
    another.join()
    print("child", inherited, recorder.histogram().count, flush=True)
    os._exit(0)
status = os.waitpid(child, 0)[1]
over.set()
holder.join()
print("parent", status, recorder.histogram().count)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_starts_with_what_it_inherited_and_waits_for_no_lock_of_the_parent():
    done = subprocess.run([sys.executable, "-c", FORK, ROOT], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["child 3 5", "parent 0 3"], "")


# the module


def test_loading_it_loads_nothing_heavy():
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import perfkit._base.histogram as module;"
        "heavy = {'typing', 'inspect', 'asyncio', 'dataclasses', 'logging', 're'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "module.LatencySummary; assert 'dataclasses' in sys.modules"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program, ROOT], check=True)


def test_it_has_no_other_name_to_load():
    import perfkit._base.histogram as module

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = module.Nothing
