"""The watchdog as its users meet it: what it is told, what it calls, and what it says."""

import asyncio
import gc
import itertools
import subprocess
import sys
import threading
import weakref

import pytest

import perfkit
from perfkit.memory import LevelChange

MB = 1_000_000


@pytest.fixture
def tight():
    """``tight(megabytes)`` returns a limit of which all but so many MB up to the low mark are in use."""

    def limit(megabytes):
        gc.collect()
        used = perfkit.MemoryWatchdog("100GB").usage().used
        return int((used + megabytes * MB) / 0.70)

    return limit


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": "much"}, "limit"),
        ({"high": 0.5, "low": 0.6}, "0 < low < high < critical <= 1"),
        ({"critical": 1.2}, "critical"),
        ({"low": "70%"}, "low must be a fraction"),
        ({"on_level": 5}, "on_level must be a plain function"),
        ({"restart": asyncio.sleep}, "restart must be a plain function"),
    ],
)
def test_arguments_that_are_wrong(arguments, says):
    with pytest.raises((TypeError, ValueError), match=says):
        perfkit.MemoryWatchdog(**arguments)


@pytest.mark.parametrize("limit", ["100GB", None])
def test_the_limit_of_the_machine_counts_in_any_case(limit):
    usage = perfkit.MemoryWatchdog(limit).usage()
    assert usage.limit <= perfkit.memory_limit().bytes
    assert 0 < usage.rss <= usage.used < usage.limit
    assert 0 < usage.fraction < 1


def test_it_starts_stops_and_starts_again():
    dog = perfkit.MemoryWatchdog(name="again")
    assert not dog.is_running
    with dog:
        dog.start()
        assert dog.is_running
    assert not dog.is_running
    with dog:
        assert "'again': ok" in repr(dog)
    dog.stop()
    assert "stopped" in repr(dog)


def test_it_looks_by_itself(eventually):
    with perfkit.MemoryWatchdog() as dog:
        eventually(lambda: dog.stats().polls > 2)
        assert dog.stats().peak_bytes > MB
        assert dog.level == "ok"


def test_async_with():
    async def main():
        async with perfkit.MemoryWatchdog() as dog:
            return dog.is_running

    assert asyncio.run(main())


def test_one_that_nobody_refers_to_stops(eventually):
    def threads():
        return {thread for thread in threading.enumerate() if thread.name.startswith("perfkit-memory")}

    before = threads()
    dog = perfkit.MemoryWatchdog()
    dog.start()
    assert len(threads() - before) == 4
    reference = weakref.ref(dog)
    del dog
    eventually(lambda: gc.collect() is not None and reference() is None)
    eventually(lambda: not threads() - before)


def test_levels_are_told_in_order(tight, eventually):
    changes, limit = [], tight(200)
    with perfkit.MemoryWatchdog(limit, on_level=changes.append) as dog:
        held = bytearray(b"x") * (int(0.85 * limit) - dog.usage().used)
        eventually(lambda: len(changes) == 1)
        del held
        eventually(lambda: len(changes) == 2)
    assert [(change.before, change.level) for change in changes] == [("ok", "high"), ("high", "ok")]
    assert all(isinstance(change, LevelChange) for change in changes)
    assert changes[0].usage.fraction > 0.5
    assert dog.level == "ok"


def test_a_hook_that_raises_is_logged_and_stops_nothing(tight, eventually, caplog):
    def hook(change):
        raise SystemExit("no")

    with perfkit.MemoryWatchdog(tight(20), on_level=hook) as dog:
        held = bytearray(b"x") * (120 * MB)
        eventually(lambda: "on_level failed" in caplog.text)
        polls = dog.stats().polls
        eventually(lambda: dog.stats().polls > polls)
        assert held


def test_every_cache_shrinks_by_what_is_needed_without_being_registered(tight):
    cache = perfkit.FrequencyBoostLRU(10**6)
    dog = perfkit.MemoryWatchdog(tight(30))
    for key in range(800):
        cache[key] = bytes(bytearray(100_000))
    freed = dog.relieve()
    assert 40 * MB < freed < 60 * MB
    assert 200 < len(cache) < 400
    caches = dog.stats().tiers[1]
    assert caches.runs == 1
    assert caches.freed_bytes > 40 * MB
    assert dog.relieve() == 0  # it is low enough


def test_as_much_as_is_asked_for():
    cache = perfkit.FrequencyBoostLRU(10**6)
    for key in range(800):
        cache[key] = bytes(bytearray(100_000))
    dog = perfkit.MemoryWatchdog("100GB")
    assert dog.relieve("30MB") >= 30 * MB
    assert len(cache) < 500


def test_pools_close_idle_connections():
    with perfkit.Pool(lambda: bytearray(MB), max_size=8) as pool:
        conns = [pool.acquire() for _ in range(8)]
        for conn in conns:
            pool.release(conn)
        assert pool.stats().idle == 8
        perfkit.MemoryWatchdog("100GB").relieve("1GB")
        assert pool.stats().idle == 0


def test_pools_of_tasks_close_them_on_their_loop():
    async def connect():
        return bytearray(MB)

    async def main():
        async with perfkit.AsyncPool(connect, max_size=4, min_size=1) as pool:
            for conn in [await pool.acquire() for _ in range(4)]:
                pool.release(conn)
            await asyncio.to_thread(perfkit.MemoryWatchdog("100GB").relieve, "1GB")
            await asyncio.sleep(0)
            return pool.stats().idle

    assert asyncio.run(main()) == 1


def test_garbage_is_collected(tight):
    dog = perfkit.MemoryWatchdog(tight(20))
    gc.disable()
    try:
        for _ in range(60):
            cycle = [bytearray(b"x") * MB]
            cycle.append(cycle)
        del cycle
        dog.relieve()
        assert dog.stats().tiers[2].freed_bytes > 30 * MB
    finally:
        gc.enable()


def test_tracked_objects_release_and_are_held_weakly(tight):
    class Widget:
        def __init__(self):
            self.data = bytearray(b"x") * (40 * MB)

        def release_memory(self):
            self.data = None

    dog = perfkit.MemoryWatchdog(tight(60))
    widgets = [dog.track(Widget()) for _ in range(3)]
    assert dog.stats().tracked == 3
    dog.relieve()
    released = [widget for widget in widgets if widget.data is None]
    assert 1 <= len(released) < 3  # no more than is needed
    del widgets, released
    gc.collect()
    assert dog.stats().tracked == 0
    with pytest.raises(TypeError, match="release_memory"):
        dog.track(object())


def test_reclaimers_go_by_tier_and_stop_when_there_is_enough(tight):
    called = []
    held = {name: bytearray(b"x") * (60 * MB) for name in "ab"}
    dog = perfkit.MemoryWatchdog(tight(-40))

    @dog.reclaimer(tier=3)
    def last(need):
        called.append("last")

    @dog.reclaimer(tier=1)
    def first(need):
        called.append("first")
        assert need > 30 * MB
        held.clear()

    assert last.__name__ == "last"  # the function itself
    dog.relieve()
    assert called == ["first"]


def test_a_bound_method_is_held_weakly(tight):
    class Store:
        def drop(self, need):
            pytest.fail("it is gone")

    store, dog = Store(), perfkit.MemoryWatchdog("100GB")
    dog.add(perfkit.Reclaimer(store.drop, name="drop"))
    assert [each.name for each in dog.stats().reclaimers] == ["drop"]
    del store
    gc.collect()
    dog.relieve("1GB")
    assert dog.stats().reclaimers == ()


def test_a_reclaimer_can_be_taken_back():
    dog = perfkit.MemoryWatchdog("100GB")
    reclaimer = perfkit.Reclaimer(lambda need: pytest.fail("it was removed"))
    dog.add(reclaimer)
    dog.add(reclaimer)
    assert len(dog.stats().reclaimers) == 1
    dog.remove(reclaimer)
    dog.remove(reclaimer)
    assert dog.relieve("1GB") >= 0
    with pytest.raises(TypeError, match=r"add\(perfkit\.Reclaimer\(fn\)\)"):
        dog.add(lambda need: None)


def test_a_cooldown_doubles_in_vain(tight):
    from perfkit.testing import FakeClock

    clock, calls = FakeClock(), []
    dog = perfkit.MemoryWatchdog("100GB", timer=clock)
    dog.add(perfkit.Reclaimer(lambda need: calls.append(clock()), cooldown=10.0))
    for _ in range(100):
        dog.relieve("1GB")
        clock.advance(1.0)
    pauses = [after - before for before, after in itertools.pairwise(calls)]
    assert pauses == [20.0, 40.0]


def test_one_that_raises_is_counted_and_the_next_is_called(caplog):
    dog, called = perfkit.MemoryWatchdog("100GB"), []
    dog.add(perfkit.Reclaimer(lambda need: 1 / 0, name="bad"))
    dog.add(perfkit.Reclaimer(called.append, name="good"))
    dog.relieve("1GB")
    assert len(called) == 1
    assert [(each.name, each.errors) for each in dog.stats().reclaimers] == [("bad", 1), ("good", 0)]
    assert "memory: bad failed" in caplog.text


@pytest.mark.parametrize("has_loop", [True, False])
def test_a_coroutine_function_runs_in_its_own_loop(has_loop):
    loops = []

    async def drop(need):
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    async def main():
        with perfkit.MemoryWatchdog("100GB") as dog:
            dog.reclaimer()(drop)
            await asyncio.to_thread(dog.relieve, "1GB")
            dog.relieve("1GB")  # on the loop it would wait for itself: it is left out
        return asyncio.get_running_loop()

    if has_loop:
        assert loops == [asyncio.run(main())] or len(loops) == 1
        return
    dog = perfkit.MemoryWatchdog("100GB")
    dog.reclaimer()(drop)
    dog.relieve("1GB")
    assert len(loops) == 1


def test_a_reclaimer_of_a_loop_that_has_ended_is_left_out():
    dog = perfkit.MemoryWatchdog("100GB")

    async def main():
        @dog.reclaimer()
        async def drop(need):
            pytest.fail("its loop has ended")

    asyncio.run(main())
    dog.relieve("1GB")
    assert dog.stats().reclaimers[0].runs == 0


@pytest.mark.parametrize("arguments", [{"tier": 4}, {"tier": 0}, {"tier": True}, {"cooldown": -1}])
def test_reclaimers_that_are_wrong(arguments):
    with pytest.raises((TypeError, ValueError), match=r"tier|cooldown"):
        perfkit.Reclaimer(lambda need: None, **arguments)


def test_a_forecast_needs_some_time():
    from perfkit.testing import FakeClock

    clock = FakeClock()
    dog = perfkit.MemoryWatchdog("100GB", timer=clock)
    assert dog.forecast() is None
    for _ in range(10):
        dog._note_usage()
        clock.advance(1.0)
    forecast = dog.forecast()
    assert forecast.soonest <= forecast.seconds <= forecast.latest


def test_it_is_among_all_figures():
    dog = perfkit.MemoryWatchdog("100GB", name="mine")
    (found,) = [stats for part, name, stats in perfkit.stats() if (part, name) == ("memory", "mine")]
    assert found.name == dog.stats().name == "mine"
    assert [tier.tier for tier in found.tiers] == [0, 1, 2, 3]


def test_psutil_says_the_same():
    """What other systems are measured with, measured here beside it."""
    pytest.importorskip("psutil", reason="install psutil")
    from perfkit.memory import sampling

    assert abs(sampling._psutil_rss() - sampling.rss()) < 20 * MB


def test_a_guard_loads_no_asyncio_and_no_psutil():
    program = (
        "import sys, perfkit\n"
        "with perfkit.memory_guard('1MB'): pass\n"
        "with perfkit.MemoryWatchdog(): pass\n"
        "print(sorted({'asyncio', 'psutil'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
