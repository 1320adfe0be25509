"""`perfkit.Heartbeat`, in threads and in tasks: real ones, with short times, and events instead of guesses."""

import asyncio
import contextvars
import gc
import logging
import multiprocessing
import subprocess
import sys
import threading
import time
import weakref

import pytest

import perfkit
from perfkit.resilience import pulse

PATIENCE = 20
SOON = {"every": 0.01, "timeout": 5.0, "misses": 3}
who = contextvars.ContextVar("who", default="nobody")


class Peer:
    """Somebody to ask: there, gone, or not answering; and what its hooks were told."""

    def __init__(self):
        self.is_there = True
        self.hangs = False
        self.go_on = threading.Event()
        self.asked = threading.Semaphore(0)
        self.told = []
        self.changed = threading.Semaphore(0)
        self.threads = set()

    def beat(self):
        self.threads.add(threading.current_thread().name)
        self.asked.release()
        if self.hangs:
            assert self.go_on.wait(PATIENCE)
        return self.is_there

    def on_lost(self, heartbeat):
        self.told.append(("lost", heartbeat.name))
        self.changed.release()

    def on_back(self, heartbeat):
        self.told.append(("back", heartbeat.name))
        self.changed.release()

    def heartbeat(self, beat=None, **options):
        hooks = {"on_lost": self.on_lost, "on_back": self.on_back, "name": "peer"}
        return perfkit.Heartbeat(beat or self.beat, **(SOON | hooks | options))

    def wait_asked(self, times=1):
        for _ in range(times):
            assert self.asked.acquire(timeout=PATIENCE)

    def wait_changed(self):
        assert self.changed.acquire(timeout=PATIENCE)


@pytest.fixture
def peer():
    peer = Peer()
    yield peer
    peer.go_on.set()


# -- in threads


def test_it_beats_in_a_worker_until_it_is_stopped(peer):
    with peer.heartbeat() as heartbeat:
        peer.wait_asked(3)
        assert heartbeat.is_running
        assert not heartbeat.is_lost
    assert not heartbeat.is_running
    assert all(name.startswith("perfkit-heartbeat") for name in peer.threads)
    while peer.asked.acquire(timeout=0.1):  # one may have been under way
        pass
    assert not peer.asked.acquire(timeout=0.1)
    assert peer.told == []


@pytest.mark.parametrize("how", ["False", "an error", "an exit", "a coroutine"])
def test_lost_after_so_many_misses_and_back_with_the_first_good_beat(peer, how, caplog):
    async def never():
        raise AssertionError("nobody awaits it")

    def beat():
        peer.asked.release()
        if peer.is_there:
            return None
        if how == "an error":
            raise ConnectionError("refused")
        if how == "an exit":
            raise SystemExit
        return never() if how == "a coroutine" else False

    with caplog.at_level(logging.DEBUG, "perfkit.resilience"), peer.heartbeat(beat) as heartbeat:
        peer.wait_asked()
        peer.is_there = False
        peer.wait_changed()
        assert heartbeat.is_lost
        assert heartbeat.stats().misses_in_row >= 3
        peer.is_there = True
        peer.wait_changed()
        assert not heartbeat.is_lost
    assert peer.told == [("lost", "peer"), ("back", "peer")]
    assert "heartbeat 'peer': lost, after 3 misses in a row" in caplog.text
    assert "heartbeat 'peer': back" in caplog.text


def test_a_beat_that_hangs_is_lost_and_holds_up_no_other(peer):
    others = [Peer() for _ in range(10)]
    peer.hangs = True
    heartbeats = [other.heartbeat() for other in others]
    with peer.heartbeat(timeout=0.01):
        peer.wait_changed()  # it is lost by now
        for heartbeat, other in zip(heartbeats, others, strict=True):
            with heartbeat:
                other.wait_asked(3)
        assert peer.told == [("lost", "peer")]
        peer.wait_asked()
        assert not peer.asked.acquire(blocking=False)  # once, however long it hangs
        peer.hangs = False
        peer.go_on.set()
        peer.wait_changed()
    assert peer.told == [("lost", "peer"), ("back", "peer")]


def test_many_that_hang_hold_up_nobody():
    hanging = [Peer() for _ in range(12)]
    for each in hanging:
        each.hangs = True
    heartbeats = [each.heartbeat() for each in hanging]
    for heartbeat in heartbeats:
        heartbeat.start()
    for each in hanging:
        each.wait_asked()
    healthy = Peer()
    with healthy.heartbeat():
        healthy.wait_asked(3)
    for each, heartbeat in zip(hanging, heartbeats, strict=True):
        heartbeat.stop()
        each.go_on.set()


def test_hooks_that_fail_or_hang_stop_nothing(peer, caplog):
    inside, go_on = threading.Event(), threading.Event()

    def on_lost(heartbeat):
        inside.set()
        assert go_on.wait(PATIENCE)
        raise ValueError("in the hook")

    with peer.heartbeat(on_lost=on_lost):
        peer.is_there = False
        assert inside.wait(PATIENCE)
        peer.wait_asked(5)
        peer.is_there = True
        peer.wait_asked(5)
        assert peer.told == []
        go_on.set()
        peer.wait_changed()
    assert peer.told == [("back", "peer")]
    assert "a hook of heartbeat 'peer' failed" in caplog.text


def test_what_is_undone_while_a_hook_runs_is_not_told(peer, eventually):
    inside, go_on = threading.Event(), threading.Event()

    def on_lost(heartbeat):
        peer.on_lost(heartbeat)
        inside.set()
        assert go_on.wait(PATIENCE)

    with peer.heartbeat(on_lost=on_lost) as heartbeat:
        peer.is_there = False
        assert inside.wait(PATIENCE)
        for there in (True, False):
            peer.is_there = there
            eventually(lambda there=there: heartbeat.is_lost is not there)
        go_on.set()
        peer.is_there = True
        eventually(lambda: len(peer.told) == 2)
    assert [event for event, _ in peer.told] == ["lost", "back"]
    assert heartbeat.stats().times_lost >= 2


def test_a_hook_may_stop_it(peer, eventually):
    peer.is_there = False
    heartbeat = peer.heartbeat(on_lost=lambda heartbeat: heartbeat.stop())
    heartbeat.start()
    eventually(lambda: not heartbeat.is_running)
    assert heartbeat.is_lost


def test_start_and_stop_may_come_twice_and_again(peer):
    heartbeat = peer.heartbeat()
    heartbeat.stop()
    for _ in range(3):
        heartbeat.start()
        heartbeat.start()
        peer.wait_asked(2)
        heartbeat.stop()
        heartbeat.stop()


def is_told(kept, told):
    """Let go of what is kept, and tell whether it was warned of; the maintenance thread may have it just now."""
    kept.clear()
    gc.collect()
    return len(told) > 0


def is_gone(told, watch):
    """Let go of the warnings, which refer to what they are of, and tell whether that is gone."""
    told.clear()
    gc.collect()
    return watch() is None


def test_a_heartbeat_that_nobody_has_stops(peer, eventually):
    peer.hangs = True
    kept = [peer.heartbeat()]
    kept[0].start()
    peer.wait_asked()
    watch = weakref.ref(kept[0])
    said = r"'peer': running> beats no more, for nobody refers to it: .* stop\(\) it"
    with pytest.warns(ResourceWarning, match=said) as told:
        eventually(lambda: is_told(kept, told))
    eventually(lambda: is_gone(told, watch))  # though its beat still hangs
    peer.go_on.set()
    assert not peer.asked.acquire(timeout=0.1)


def test_beats_and_hooks_have_the_context_of_whoever_started_it(peer):
    seen = []

    def beat():
        seen.append(who.get())
        return False

    heartbeat = peer.heartbeat(beat, on_lost=lambda heartbeat: peer.changed.release() or seen.append(who.get()))
    token = who.set("me")
    heartbeat.start()
    who.reset(token)
    peer.wait_changed()
    heartbeat.stop()
    assert set(seen) == {"me"}


def test_without_a_thread_to_be_had_it_is_a_miss_and_the_hooks_are_told_later(peer, monkeypatch):
    def no_thread(job):
        if has_threads.is_set():
            return submit(job)
        peer.asked.release()
        raise RuntimeError("can't start new thread")

    has_threads = threading.Event()
    has_threads.set()

    submit = pulse._workers.submit
    monkeypatch.setattr(pulse._workers, "submit", no_thread)
    with peer.heartbeat() as heartbeat:
        peer.wait_asked()
        has_threads.clear()
        peer.is_there = False
        peer.wait_asked(12)
        assert heartbeat.is_lost
        assert peer.told == []
        has_threads.set()
        peer.wait_changed()
        assert peer.told == [("lost", "peer")]


SHORT_OF_THREADS = """
import threading
import perfkit
beaten = threading.Event()
heartbeat = perfkit.Heartbeat(beaten.set, every=0.01, name="peer")
threading.stack_size(1 << 47)  # more than there is room for: no thread can be started
try:
    heartbeat.start()
except RuntimeError as error:
    assert str(error).startswith("heartbeat 'peer' can't beat: no thread is to be had for it"), error
else:
    raise AssertionError("it says that it beats")
assert not heartbeat.is_running
threading.stack_size(0)
with heartbeat:
    assert beaten.wait(20)
"""


def test_one_that_no_thread_is_to_be_had_for_says_so_and_may_be_started_later():
    subprocess.run([sys.executable, "-W", "error", "-c", SHORT_OF_THREADS], check=True, timeout=60)


def test_stats(peer):
    heartbeat = peer.heartbeat()
    before = heartbeat.stats()
    assert (before.beats, before.since_success, before.latency.count, before.is_running) == (0, None, 0, False)
    with heartbeat:
        peer.wait_asked(3)
        after = heartbeat.stats()
        assert after.is_running
        assert after.beats >= 3
        assert 0 <= after.since_success < PATIENCE
        assert 2 <= after.latency.count <= after.beats
        assert (after.misses, after.times_lost, after.is_lost) == (0, 0, False)
        assert repr(heartbeat) == "<Heartbeat 'peer': running>"
        assert "peer" in [snapshot.name for snapshot in perfkit.stats() if snapshot.part == "resilience"]
    assert repr(heartbeat) == "<Heartbeat 'peer': stopped>"


def test_the_last_error_tells_what_the_last_miss_was(peer, caplog):
    def beat():
        peer.beat()
        raise ConnectionRefusedError("nobody there")

    with peer.heartbeat(beat) as heartbeat:
        peer.wait_changed()
    assert heartbeat.last_error == heartbeat.stats().last_error == "beat() raised ConnectionRefusedError: nobody there"
    assert f"lost, after 3 misses in a row; the last one: {heartbeat.last_error}" in caplog.text

    assert peer.heartbeat().last_error is None
    peer.is_there = False
    with peer.heartbeat() as heartbeat:
        peer.wait_changed()
    assert heartbeat.last_error == "beat() returned False"

    peer.hangs = True
    with peer.heartbeat(timeout=0.02) as heartbeat:
        peer.wait_changed()
    assert heartbeat.last_error == "beat() was not back within 0.02 s"


def test_a_beat_that_returns_a_coroutine_is_said(peer):
    async def ask():
        raise AssertionError("it never runs")

    with peer.heartbeat(lambda: ask()) as heartbeat:  # noqa: PLW0108 (that is what people write)
        peer.wait_changed()
    assert "returns a coroutine, such as a lambda: pass the coroutine function itself" in heartbeat.last_error


def test_what_a_hook_raised_is_said(peer, eventually):
    async def tell():
        raise AssertionError("it never runs")

    peer.is_there = False
    for hook, says in [
        (lambda heartbeat: 1 / 0, "ZeroDivisionError"),
        (lambda heartbeat: tell(), "nobody would await"),
    ]:
        with peer.heartbeat(on_lost=hook, every=30, misses=1) as heartbeat:
            eventually(lambda heartbeat=heartbeat: heartbeat.last_hook_error is not None)
        assert heartbeat.last_hook_error == heartbeat.stats().last_hook_error
        assert heartbeat.last_hook_error.startswith("on_lost() raised ")
        assert says in heartbeat.last_hook_error
        assert heartbeat.last_error == "beat() returned False"


def test_a_coroutine_is_no_function(peer):
    async def ask():
        raise AssertionError("it never runs")

    with pytest.raises(TypeError, match=r"not <coroutine .*>: pass the function itself, without calling it"):
        perfkit.Heartbeat(ask())


def test_at_the_end_of_the_interpreter_nothing_is_said():
    program = (
        "import perfkit, perfkit.registry as kept;"
        "beat = perfkit.Heartbeat(lambda: True); beat.start(); kept.beat = [beat]; kept.beat.append(kept.beat)"
    )
    command = [sys.executable, "-W", "always", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_its_name(peer):
    assert perfkit.Heartbeat(peer.beat).name == "Peer.beat"
    assert perfkit.Heartbeat(peer.beat, name="mine").name == "mine"


def test_a_forked_child_has_it_stopped_and_can_start_it(peer):
    context = multiprocessing.get_context("fork")
    answers = context.Queue()

    def child():
        was_running = heartbeat.is_running
        peer.asked = threading.Semaphore(0)
        with heartbeat:
            peer.wait_asked(3)
        answers.put(was_running)

    with peer.heartbeat() as heartbeat:
        peer.wait_asked(2)
        process = context.Process(target=child)
        process.start()
        assert answers.get(timeout=PATIENCE) is False
        process.join(PATIENCE)
        assert heartbeat.is_running
        peer.wait_asked(2)


# -- in tasks


class AsyncPeer(Peer):
    """The same in tasks; its semaphores are polled."""

    cancelled = 0

    async def abeat(self):
        self.asked.release()
        self.told_in.append(asyncio.current_task().get_name())
        if self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        await asyncio.sleep(0)
        return self.is_there

    async def until(self, semaphore, times=1):
        for _ in range(times):
            while not semaphore.acquire(blocking=False):
                await asyncio.sleep(0.001)

    told_in: list = []  # noqa: RUF012 (each test makes its own below)


@pytest.fixture
def apeer():
    peer = AsyncPeer()
    peer.told_in = []
    return peer


def run(main):
    async def bounded():
        async with asyncio.timeout(PATIENCE):
            await main

    asyncio.run(bounded())


@pytest.mark.parametrize("hooks", ["plain", "async"])
def test_a_coroutine_function_is_awaited_on_the_loop(apeer, hooks):
    async def alost(heartbeat):
        await asyncio.sleep(0)
        apeer.on_lost(heartbeat)

    async def main():
        heartbeat = apeer.heartbeat(apeer.abeat, **({"on_lost": alost} if hooks == "async" else {}))
        async with heartbeat:
            await apeer.until(apeer.asked, 3)
            apeer.is_there = False
            await apeer.until(apeer.changed)
            assert heartbeat.is_lost
            apeer.is_there = True
            await apeer.until(apeer.changed)
        assert not heartbeat.is_running
        assert apeer.told == [("lost", "peer"), ("back", "peer")]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


def test_a_beat_in_a_task_is_cancelled_at_its_timeout(apeer):
    async def main():
        apeer.hangs = True
        async with apeer.heartbeat(apeer.abeat, timeout=0.01) as heartbeat:
            await apeer.until(apeer.changed)
            assert heartbeat.is_lost
            assert apeer.cancelled >= 2  # the third is on its way
            apeer.hangs = False
            await apeer.until(apeer.changed)

    run(main())


def test_a_beat_that_resists_is_missed_again_and_again(apeer):
    async def stubborn():
        apeer.asked.release()
        while apeer.hangs:
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                apeer.cancelled += 1

    async def main():
        apeer.hangs = True
        async with apeer.heartbeat(stubborn, timeout=0.01) as heartbeat:
            await apeer.until(apeer.changed)
            assert (heartbeat.stats().beats, heartbeat.is_lost) == (1, True)
            apeer.hangs = False
            await apeer.until(apeer.changed)

    run(main())


def test_leaving_cancels_the_beat_under_way_and_waits_for_it(apeer):
    async def main():
        apeer.hangs = True
        async with apeer.heartbeat(apeer.abeat) as heartbeat:
            await apeer.until(apeer.asked)
        assert apeer.cancelled == 1
        assert heartbeat.stats().misses == 0
        apeer.hangs = False
        heartbeat.start()  # again, at once
        await apeer.until(apeer.asked, 2)
        heartbeat.stop()

    run(main())


def test_one_that_is_started_again_waits_for_no_beat_that_was_cancelled(apeer):
    async def main():
        apeer.hangs = True
        heartbeat = apeer.heartbeat(apeer.abeat, every=3600.0)
        for _ in range(3):
            heartbeat.start()
            await apeer.until(apeer.asked)
            heartbeat.stop()
        assert heartbeat.stats().misses == 0

    run(main())


def test_hooks_that_fail_on_the_loop_stop_nothing(apeer, caplog):
    async def broken(heartbeat):
        raise ValueError("in the hook")

    async def main():
        async with apeer.heartbeat(apeer.abeat, on_lost=broken):
            apeer.is_there = False
            await apeer.until(apeer.asked, 6)
            apeer.is_there = True
            await apeer.until(apeer.changed)

    run(main())
    assert "a hook of heartbeat 'peer' failed" in caplog.text


def test_beats_or_hooks_may_stop_it_on_the_loop(apeer):
    ended = []

    async def on_lost(heartbeat):
        heartbeat.stop()
        await asyncio.sleep(0)
        ended.append("hook")

    async def beat():
        apeer.asked.release()
        other.stop()
        await asyncio.sleep(0)
        ended.append("beat")

    async def main():
        nonlocal other
        apeer.is_there = False
        first, other = apeer.heartbeat(apeer.abeat, on_lost=on_lost), apeer.heartbeat(beat)
        first.start()
        other.start()
        while len(ended) < 2:
            await asyncio.sleep(0.001)
        assert not first.is_running
        assert not other.is_running

    other = None
    run(main())
    assert sorted(ended) == ["beat", "hook"]


def test_it_can_be_stopped_from_another_thread(apeer):
    async def main():
        heartbeat = apeer.heartbeat(apeer.abeat)
        heartbeat.start()
        await apeer.until(apeer.asked, 2)
        await asyncio.to_thread(heartbeat.stop)
        await asyncio.sleep(0.05)
        while apeer.asked.acquire(blocking=False):
            pass
        await asyncio.sleep(0.05)
        assert not apeer.asked.acquire(blocking=False)

    run(main())


def test_the_last_error_on_the_loop(apeer):
    async def hangs():
        await asyncio.sleep(PATIENCE)

    async def fails():
        raise ConnectionRefusedError("nobody there")

    async def says_no():
        return False

    said = []

    async def main():
        for beat in (hangs, fails, says_no):
            async with apeer.heartbeat(beat, timeout=0.02) as heartbeat:
                await apeer.until(apeer.changed)
            said.append(heartbeat.last_error)

    run(main())
    assert said == [
        "beat() was not back within 0.02 s",
        "beat() raised ConnectionRefusedError: nobody there",
        "beat() returned False",
    ]


def test_it_is_started_where_a_loop_runs(apeer):
    heartbeat = apeer.heartbeat(apeer.abeat)
    with pytest.raises(RuntimeError, match=r"call start\(\) in a coroutine, or use `async with`"):
        heartbeat.start()
    assert not heartbeat.is_running


def test_it_stops_with_its_loop_and_starts_in_another(apeer):
    heartbeat = apeer.heartbeat(apeer.abeat)

    async def main():
        heartbeat.start()
        await apeer.until(apeer.asked, 2)

    apeer.hangs = True
    for _ in range(2):
        apeer.hangs = False
        run(main())
        assert not heartbeat.is_running


def test_it_beats_in_one_loop_at_a_time(apeer):
    heartbeat = apeer.heartbeat(apeer.abeat)
    refused = []

    def elsewhere():
        async def start():
            with pytest.raises(RuntimeError, match="beats in another event loop"):
                heartbeat.start()
            refused.append(True)

        asyncio.run(start())

    async def main():
        async with heartbeat:
            await asyncio.to_thread(elsewhere)

    run(main())
    assert refused == [True]


def test_one_that_nobody_has_stops_on_the_loop_too(apeer):
    async def main():
        kept = [apeer.heartbeat(apeer.abeat)]
        kept[0].start()
        await apeer.until(apeer.asked, 2)
        watch = weakref.ref(kept[0])
        with pytest.warns(ResourceWarning, match="beats no more") as told:
            assert is_told(kept, told)
        assert is_gone(told, watch)
        await asyncio.sleep(0.05)
        while apeer.asked.acquire(blocking=False):
            pass
        await asyncio.sleep(0.05)
        assert not apeer.asked.acquire(blocking=False)

    run(main())


def test_a_plain_beat_goes_with_async_with_too(peer):
    async def main():
        async with peer.heartbeat():
            await asyncio.to_thread(peer.wait_asked, 2)

    run(main())


async def coroutine_function(heartbeat):
    return None


def generator():
    yield


WRONG = [
    ({"beat": 3}, TypeError, r"beat must be a function, called as beat\(\), not 3: pass the function itself"),
    ({"beat": lambda peer: True}, TypeError, r"beat is called as beat\(\), which .* doesn't take: missing .* 'peer'"),
    ({"on_lost": lambda: None}, TypeError, r"on_lost is called as on_lost\(heartbeat\), .* too many positional"),
    ({"beat": generator}, TypeError, "generator function"),
    ({"every": 0}, ValueError, "every must be more than 0 seconds, and finite, not 0"),
    ({"timeout": -1}, ValueError, "timeout must be more than 0 seconds"),
    ({"misses": 0}, ValueError, "misses must be a whole number from 1"),
    ({"on_lost": 3}, TypeError, r"on_lost must be a function, called as on_lost\(heartbeat\), not 3"),
    (
        {"on_back": coroutine_function},
        TypeError,
        "on_back must be a plain function where beat is one, .*: make beat a coroutine",
    ),
    ({"timer": 3}, TypeError, "timer must be a function that returns seconds"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_what_is_not_allowed_is_said_at_once(options, error, message):
    with pytest.raises(error, match=message):
        perfkit.Heartbeat(**({"beat": time.time} | options))
