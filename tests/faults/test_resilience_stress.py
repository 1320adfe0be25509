"""Many threads and tasks, with errors, cancellation and changes by hand: no probe too many, and nobody shut out."""

import asyncio
import contextlib
import random
import sys
import threading
from collections import Counter

import pytest

import perfkit
from perfkit.resilience.circuit import Circuit, HalfOpen

PROBES = 3


@pytest.fixture(autouse=True)
def switching_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


class Watched(Circuit):
    """Counts the calls that are under way in each half-open period, by what its callers do and not by what it keeps."""

    def __init__(self, rules, now):
        super().__init__(rules, now)
        self.under_way, self.most = Counter(), Counter()

    def admit(self, now):
        answer = super().admit(now)
        if isinstance(answer, HalfOpen):
            self.under_way[answer] += 1
            self.most[answer] = max(self.most[answer], self.under_way[answer])
        return answer

    def settle(self, period, outcome, now):
        if isinstance(period, HalfOpen):
            self.under_way[period] -= 1
        super().settle(period, outcome, now)


class Service:
    """Fails now and then."""

    def __init__(self, **options):
        self.breaker = perfkit.CircuitBreaker(
            failure_rate=0.3, window=20, min_calls=5, probes=PROBES, reset_timeout=0.0005, ignore=LookupError, **options
        )
        self.circuit = self.breaker._circuit = Watched(self.breaker._circuit.rules, self.breaker._timer())
        self.breaker._follow()
        self.call = self.breaker(self.work)
        self.acall = self.breaker(self.awork)

    def work(self, dice):
        luck = dice.random()
        if luck < 0.25:
            raise OSError
        if luck < 0.35:
            raise LookupError

    async def awork(self, dice):
        for _ in range(dice.randrange(3)):
            await asyncio.sleep(0)
        self.work(dice)

    def by_hand(self, dice):
        luck = dice.random()
        if luck < 0.002:
            self.breaker.trip()
        elif luck < 0.004:
            self.breaker.reset()
        elif luck < 0.02:
            self.breaker.stats()

    def check(self):
        assert self.circuit.most, "it was never half-open"
        assert max(self.circuit.most.values()) <= PROBES
        assert set(self.circuit.under_way.values()) == {0}, "a call that began was never settled"
        assert self.breaker.stats().refused
        self.breaker.reset()
        self.breaker.call(len, "")
        assert self.breaker.stats().calls == 1


def drive(service, seed):
    dice = random.Random(seed)
    for _ in range(1500):
        service.by_hand(dice)
        with contextlib.suppress(OSError, LookupError):
            if dice.random() < 0.5:
                service.call(dice)
            else:
                with service.breaker:
                    service.work(dice)


async def adrive(service, seed):
    dice = random.Random(seed)

    async def one():
        if dice.random() < 0.5:
            await service.acall(dice)
        else:
            async with service.breaker:
                await service.awork(dice)

    for _ in range(300):
        service.by_hand(dice)
        tasks = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0)
        for task in tasks:
            if dice.random() < 0.2:
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, OSError | LookupError | asyncio.CancelledError)


def all_at_once(works):
    """Call ``work(seed)`` for each, each in a thread of its own; raise what they raise."""
    errors = []

    def run(work, seed):
        try:
            work(seed)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[work, seed]) for seed, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "it hangs"
    assert not errors, errors


@pytest.mark.parametrize("options", [{}, {"window_seconds": 1.0}, {"slow_call": 60.0}], ids=str)
def test_threads_and_loops_at_once(options):
    service = Service(**options)
    threads = [lambda seed: drive(service, seed)] * 6
    loops = [lambda seed: asyncio.run(adrive(service, seed))] * 2
    all_at_once(threads + loops)
    service.check()


@pytest.mark.filterwarnings("ignore:.* beats no more:ResourceWarning")  # which says so of those that are dropped
def test_heartbeats_that_come_and_go():
    """Started, stopped, dropped and forgotten from many threads at once, some of them hanging."""
    begun, pause = Counter(), threading.Event()

    def come_and_go(seed):
        dice = random.Random(seed)

        def beat():
            begun[seed] += 1
            pause.wait(dice.choice([0, 0, 0.002]))
            return dice.random() < 0.7

        for _ in range(60):
            heartbeat = perfkit.Heartbeat(beat, every=0.001, timeout=0.001, misses=1, on_lost=lambda _: None)
            for _ in range(dice.randrange(4)):
                heartbeat.start()
                pause.wait(dice.choice([0, 0.002]))
                if dice.random() < 0.7:
                    heartbeat.stop()
            heartbeat.stats()

    all_at_once([come_and_go] * 6)
    assert sum(begun.values()) > 100
    asked = threading.Semaphore(0)
    with perfkit.Heartbeat(asked.release, every=0.001):
        for _ in range(3):
            assert asked.acquire(timeout=20)
