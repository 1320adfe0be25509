"""The registry: weak, safe to read while it grows, and no object hides another."""

import gc
import logging
import threading
import weakref
from dataclasses import dataclass

import pytest

import perfkit
from perfkit import registry


@dataclass(frozen=True, slots=True)
class Figures:
    calls: int


class Thing:
    def __init__(self, name, calls=0):
        self.name = name
        self.calls = calls
        registry.register(self, part="test")

    def stats(self):
        return Figures(self.calls)


class Cache(Thing):
    def reclaim(self, need_bytes):
        return min(need_bytes, 10)


class Broken(Thing):
    def stats(self):
        raise RuntimeError("no figures today")


@pytest.fixture(autouse=True)
def _only_what_the_test_makes(monkeypatch):
    monkeypatch.setattr(registry, "_live", {})


def test_stats_lists_live_objects_oldest_first():
    first, second = Thing("first", 1), Thing("second", 2)
    assert perfkit.stats() == (("test", first.name, Figures(1)), ("test", second.name, Figures(2)))
    assert perfkit.stats()[1].name == "second"
    assert perfkit.stats()[1].stats.calls == 2


def test_each_call_reads_the_figures_anew():
    thing = Thing("thing")
    before = perfkit.stats()
    thing.calls = 5
    assert (before[0].stats.calls, perfkit.stats()[0].stats.calls) == (0, 5)


def test_nothing_is_kept_alive():
    thing = Thing("thing")
    gone = weakref.ref(thing)
    assert len(perfkit.stats()) == 1
    del thing
    gc.collect()
    assert gone() is None
    assert perfkit.stats() == ()
    assert registry._live == {}, "the entry goes with its object"


def test_an_object_in_a_cycle_disappears_too():
    thing = Thing("thing")
    thing.itself = thing
    del thing
    gc.collect()
    assert perfkit.stats() == ()


def test_two_objects_of_one_name_are_both_listed():
    both = [Thing("same", 1), Thing("same", 2)]
    assert [snapshot.stats.calls for snapshot in perfkit.stats()] == [thing.calls for thing in both]


def test_one_whose_stats_raise_is_logged_and_left_out(caplog):
    things = [Thing("before"), Broken("broken"), Thing("after")]
    with caplog.at_level(logging.ERROR, logger="perfkit.registry"):
        names = [snapshot.name for snapshot in perfkit.stats()]
    assert names == ["before", "after"]
    [record] = caplog.records
    assert "'broken'" in record.getMessage()
    assert "no figures today" in str(record.exc_info[1])
    assert len(things) == 3


def test_reclaimables_are_found_by_the_protocol_alone():
    plain, cache = Thing("plain"), Cache("cache")
    assert list(registry.reclaimables()) == [("test", cache)]
    assert [thing for _, thing in registry.live()] == [plain, cache]
    assert cache.reclaim(25) == 10


def test_threads_register_while_others_read():
    kept: list[list[Thing]] = [[] for _ in range(8)]
    seen: list[int] = []
    failed: list[BaseException] = []
    start, written = threading.Barrier(10), threading.Event()

    def write(mine):
        start.wait()
        for number in range(200):
            mine.append(Thing(f"thing-{number}"))
            Thing("gone at once")

    def read():
        start.wait()
        while not written.is_set():
            seen.append(len(perfkit.stats()))
            list(registry.reclaimables())

    def guarded(run, *arguments):
        try:
            run(*arguments)
        except BaseException as error:
            failed.append(error)

    writers = [threading.Thread(target=guarded, args=(write, mine)) for mine in kept]
    readers = [threading.Thread(target=guarded, args=(read,)) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    written.set()
    for thread in readers:
        thread.join()
    assert failed == []
    assert len(perfkit.stats()) == sum(map(len, kept)) == 1600
    assert max(seen, default=0) <= 1600 + len(writers), "more was listed than was alive"
