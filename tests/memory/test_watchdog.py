"""The watchdog as its users meet it: what it is told, what it calls, and what it says."""

import asyncio
import gc
import itertools
import mmap
import subprocess
import sys
import threading
import warnings

import pytest

import perfkit
from perfkit.memory import LevelChange
from perfkit.memory.levels import Escalation
from perfkit.testing import FakeClock

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
        ({"on_level": 5}, r"on_level must be a function, called as on_level\(change\)"),
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


def test_one_that_nobody_refers_to_stops(eventually, caplog):
    def threads():
        return {thread for thread in threading.enumerate() if thread.name.startswith("perfkit-memory")}

    before = threads()
    dog = perfkit.MemoryWatchdog(name="lost")
    dog.start()
    assert len(threads() - before) == 4
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del dog
        eventually(lambda: not threads() - before)
    assert [str(each.message).partition(":")[0] for each in told if each.category is ResourceWarning] == [
        "the watchdog 'lost' is stopped, for nobody refers to it"
    ]
    assert "'lost' is stopped" in caplog.text


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


def test_a_small_cache_is_not_emptied_before_a_large_one():
    small, large = perfkit.FrequencyBoostLRU(1000), perfkit.FrequencyBoostLRU(10**6)

    @perfkit.cached(maxsize=100)
    def other(number):
        return number

    for key in range(25):
        small[key] = other(key)
    for key in range(400):
        large[key] = bytes(bytearray(100_000))
    perfkit.MemoryWatchdog("100GB").relieve("10MB")
    assert (len(small), other.cache_info().currsize) == (25, 25)
    assert len(large) < 400


def test_what_can_not_say_how_much_it_holds_is_asked_all_the_same():
    class Odd:
        name, asked = "odd", 0

        def stats(self):
            return None

        def held_bytes(self):
            raise RuntimeError("not today")

        def reclaim(self, need_bytes):
            self.asked += 1
            return 0

    odd = Odd()
    perfkit.registry.register(odd, part="odd")
    perfkit.MemoryWatchdog("100GB").relieve("1GB")
    assert odd.asked > 0


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
    clock, calls = FakeClock(), []
    dog = perfkit.MemoryWatchdog("100GB", timer=clock)
    dog.add(perfkit.Reclaimer(lambda need: calls.append(clock()), cooldown=10.0))
    for _ in range(100):
        dog.relieve("1GB")
        clock.advance(1.0)
    pauses = [after - before for before, after in itertools.pairwise(calls)]
    assert pauses == [20.0, 40.0]


def test_one_that_raises_is_counted_and_the_next_is_called(caplog):
    dog, called = perfkit.MemoryWatchdog("100GB", name="mine"), []
    dog.add(perfkit.Reclaimer(lambda need: 1 / 0, name="bad"))
    dog.add(perfkit.Reclaimer(called.append, name="good"))
    dog.relieve("1GB")
    assert len(called) == 1
    assert [(each.name, each.errors) for each in dog.stats().reclaimers] == [("bad", 1), ("good", 0)]
    assert "mine: bad failed" in caplog.text


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

    for _ in range(20):
        asyncio.run(main())
    dog.relieve("1GB")
    assert dog.stats().reclaimers == ()


def test_a_reclaimer_that_cannot_be_called_says_so_once(caplog):
    loop = asyncio.new_event_loop()

    async def main(dog):
        @dog.reclaimer(name="on the loop")
        async def drop(need):
            pytest.fail("it would have waited for itself")

        dog.relieve("1GB")
        dog.relieve("1GB")

    async def within(dog):
        dog.relieve("1GB")

    dog = perfkit.MemoryWatchdog("100GB", name="mine")
    loop.run_until_complete(main(dog))
    dog.relieve("1GB")  # the loop stands still
    assert [(each.runs, each.hung, each.skipped) for each in dog.stats().reclaimers] == [(0, 0, 3)]
    assert caplog.text.count("mine: on the loop can't be called: its event loop runs in the thread that makes") == 1
    loop.close()
    caplog.clear()
    anywhere = perfkit.Reclaimer(asyncio.sleep, name="anywhere")
    dog.add(anywhere)
    asyncio.run(within(dog))  # it isn't started: there is no thread to make a loop in
    assert anywhere.skipped == 1
    assert "anywhere can't be called: an event loop runs" in caplog.text


def test_a_loop_that_is_stopped_while_it_is_waited_for(caplog, eventually):
    begun, loop = threading.Event(), asyncio.new_event_loop()

    async def drop(need):
        begun.set()
        await asyncio.sleep(60)

    async def made():
        return perfkit.Reclaimer(drop, name="drop")

    reclaimer = loop.run_until_complete(made())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with perfkit.MemoryWatchdog("100GB") as dog:
        dog.add(reclaimer)
        dog.relieve("1GB")
        assert begun.is_set()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        eventually(lambda: not dog.stats().reclaimers[0].is_busy)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


@pytest.mark.parametrize("arguments", [{"tier": 4}, {"tier": 0}, {"tier": True}, {"cooldown": -1}])
def test_reclaimers_that_are_wrong(arguments):
    with pytest.raises((TypeError, ValueError), match=r"tier|cooldown"):
        perfkit.Reclaimer(lambda need: None, **arguments)


def test_a_forecast_needs_some_time():
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


def test_the_level_is_right_at_once(tight):
    with perfkit.MemoryWatchdog(tight(-30), high=0.71, critical=0.72, timer=FakeClock()) as dog:
        assert dog.level == "critical"


def test_a_hook_that_hangs_keeps_no_restart_waiting_and_is_told_the_last_changes(tight, eventually):
    gate, entered, told = threading.Event(), threading.Event(), []

    def hang(change):
        entered.set()
        gate.wait(60)
        told.append(change)

    restarts = []
    dog = perfkit.MemoryWatchdog(tight(-40), high=0.6, low=0.5, critical=0.65, on_level=hang, restart=restarts.append)
    dog._escalation = Escalation(["restart"], 5.0)  # no SIGTERM
    dog.start()
    try:
        assert entered.wait(20)
        eventually(lambda: restarts == [dog])
        usage = dog.usage()
        for number in range(1000):
            dog._tell("ok", usage._replace(used=number))
        assert len(dog._changes) == 100
        gate.set()
        eventually(lambda: len(told) == 101)
        assert [change.usage.used for change in told[1:]] == list(range(900, 1000))
    finally:
        gate.set()
        dog.stop()


def test_stopped_it_tells_no_change_that_was_waiting(tight, eventually):
    gate, entered, told = threading.Event(), threading.Event(), []

    def slow(change):
        entered.set()
        gate.wait(60)
        told.append(change)

    with perfkit.MemoryWatchdog("100GB", on_level=slow) as dog:
        for _ in range(3):
            dog._tell("high", dog.usage())
        assert entered.wait(20)
        hooks = dog._hooks
    gate.set()
    eventually(lambda: len(told) == 1 and not hooks.is_behind)
    assert len(told) == 1


def test_several_that_hang_hold_up_a_pass_for_two_seconds_at_most():
    gate = threading.Event()
    with perfkit.MemoryWatchdog("100GB") as dog:
        for number in range(5):
            dog.add(perfkit.Reclaimer(lambda need: gate.wait(60), name=f"hanging {number}"))
        dog.relieve("1GB")
        waited = [each.seconds for each in dog.stats().reclaimers]
        gate.set()
    assert [each.hung for each in dog.stats().reclaimers] == [1] * 5
    assert dog._relief._patience == 1 / 2**5
    assert len(waited) == 5


def test_one_in_its_cooldown_is_called_before_a_last_resort(tight, eventually):
    """A reclaimer that was of use a moment ago gives back all there is, if it is only asked."""
    held, restarts, limit = [], [], tight(60)
    dog = perfkit.MemoryWatchdog(limit, critical=0.81, restart=restarts.append)
    dog._escalation = Escalation(["restart"], 0.0)

    @dog.reclaimer(cooldown=1000)
    def drop(need):
        held.clear()

    with dog:
        for _ in range(2):
            size = int(0.9 * limit) - dog.usage().used
            held.append(mmap.mmap(-1, size))  # not in memory before it is written to
            held[0][::4096] = b"x" * -(-size // 4096)
            eventually(lambda: held == [])
            eventually(lambda: dog.level == "ok")
        assert dog.stats().reclaimers[0].runs == 2
    assert restarts == []


def test_who_has_it_back_is_not_stuck(tight):
    """What is held by no object of Python's grows, after small ones went, and their memory with them."""
    limit = tight(200)
    dog = perfkit.MemoryWatchdog(limit)
    small, big = [str(number) + "x" * 20 for number in range(1_000_000)], []
    while dog.usage().fraction < 0.85:
        big.append(bytearray(b"x") * MB)
    dog.relieve()
    del small
    gc.collect()
    dog._note_usage()
    while dog.usage().fraction < 0.98:
        big.append(bytearray(b"x") * MB)
    dog.relieve()
    assert (dog._relief.was_vain, dog.stats().is_stuck) == (True, False)
    assert big


def test_a_leak_that_nothing_helps_against_is_foretold(tight):
    clock, held = FakeClock(), []
    dog = perfkit.MemoryWatchdog(tight(20), timer=clock)
    while dog.usage().fraction < 0.82:
        held.append(bytearray(b"x") * MB)
    for _ in range(8):
        held.append(bytearray(b"x") * MB)
        clock.advance(2.0)
        dog._look()
    assert dog.stats().passes > 1
    assert dog.forecast().rate > 0


def test_reclaimers_that_come_while_others_go(tight):
    """A pass sweeps those that are gone, and loses none that is added meanwhile."""

    class Store:
        def drop(self, need):
            pass

    dog, is_over, lost = perfkit.MemoryWatchdog("100GB"), threading.Event(), []

    def sweep():
        while not is_over.is_set():
            dog._relief._in_tier(3)

    thread, before = threading.Thread(target=sweep), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(2000):
            dog.add(perfkit.Reclaimer(Store().drop))
            kept = perfkit.Reclaimer(print)
            dog.add(kept)
            if kept not in dog._relief.reclaimers:
                lost.append(kept)
            dog.remove(kept)
    finally:
        is_over.set()
        thread.join(20)
        sys.setswitchinterval(before)
    assert lost == []


def test_its_name_is_in_what_it_logs(caplog):
    perfkit.MemoryWatchdog("100GB", name="api").relieve("1GB")
    assert "api: " in caplog.text


class Tracked:
    def release_memory(self, need):
        """With an argument that nobody gives it."""


class TrackedAsync:
    async def release_memory(self):
        """Nobody awaits it."""


class Trackable:
    def release_memory(self):
        """As it has to be."""


@pytest.mark.parametrize(
    ("use", "says"),
    [
        (lambda dog: dog.reclaimer()(lambda: None), r"called as fn\(need_bytes\), which .* doesn.t take: too many"),
        (lambda dog: dog.reclaimer()(lambda a, b: None), r"doesn.t take: missing a required argument: 'b'"),
        (lambda dog: dog.reclaimer()(lambda *, need_bytes: None), "need_bytes"),
        (lambda dog: dog.reclaimer(lambda need: None), r"write @dog.reclaimer\(\) above"),
        (
            lambda dog: perfkit.MemoryWatchdog(on_level=lambda: None),
            r"called as on_level\(change\), which .* doesn.t take: too many",
        ),
        (lambda dog: perfkit.MemoryWatchdog(restart=lambda a, b: None), r"called as restart\(watchdog\)"),
        (lambda dog: perfkit.MemoryWatchdog(name=b"api"), "name must be a str"),
        (lambda dog: perfkit.MemoryWatchdog(sidecar="yes"), "sidecar must be True or False"),
        (lambda dog: perfkit.MemoryWatchdog(expose=1), "expose must be True or False"),
        (lambda dog: perfkit.Reclaimer(print, name=5), "name must be a str"),
        (
            lambda dog: dog.track(Tracked()),
            r"called as release_memory\(\), which .* doesn.t take: missing a required argument: 'need'",
        ),
        (lambda dog: dog.track(TrackedAsync()), "plain method"),
        (lambda dog: dog.track(Trackable), "an object with a method"),
    ],
)
def test_what_could_not_be_called_is_refused_when_it_is_registered(use, says):
    with pytest.raises(TypeError, match=says):
        use(perfkit.MemoryWatchdog("100GB"))


def test_what_does_not_say_how_it_is_called_is_believed():
    changes = []
    perfkit.MemoryWatchdog("100GB", on_level=changes.append, restart=print)
    perfkit.MemoryWatchdog("100GB").add(perfkit.Reclaimer({"a": 1}.pop))
    assert changes == []
