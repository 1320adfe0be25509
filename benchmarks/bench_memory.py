"""The memory watchdog.

What it costs to look at memory, and to be let in by a guard while there is enough of it.
"""

import time
from time import perf_counter
from typing import Any

import psutil
import pytest

import perfkit
from measure import Claim, Contender, Timed, calls
from perfkit.memory import sampling
from perfkit.memory.gauge import Gauge

LINE = "no library: the line that perfkit has to stay under"
HELD = 200_000_000  # bytes in memory, for how much there is decides what some ways cost


@pytest.fixture
def held() -> bytearray:
    return bytearray(b"x") * HELD


def contender(name: str, operation: Any, **about: Any) -> Contender:
    def check(_: int) -> None:
        assert operation() is not False, name

    return Contender(name=name, timed=calls(operation), check=check, **about)


def line(name: str, seconds: float) -> Contender:
    """Return what would take so long: the most that ours may cost."""
    idle = calls(lambda: None)

    def timed(n: int) -> float:
        idle(n)  # a turn is to take some time
        return n * seconds

    return Contender(name=name, timed=timed, check=lambda _: None, note=LINE)


def test_sample_of_this_process(compare: Any, held: bytearray) -> None:  # noqa: ARG001 (it is in memory)
    """How much memory this process has.

    Read again and again, with 200 MB in memory.
    """
    process = psutil.Process()
    contenders = [
        contender("psutil memory_info().rss", lambda: process.memory_info().rss),
        contender("perfkit, own memory", sampling.rss, ours=True),
        contender("perfkit, as the watchdog reads it", Gauge(None).read, ours=True, note="groups each 50 ms at most"),
        contender("psutil memory_full_info().uss", lambda: process.memory_full_info().uss, note="counts every page"),
    ]
    claims = [Claim("perfkit, own memory", "psutil memory_info().rss", 1 / 0.6)]
    compare(contenders, size="200 MB", claims=claims)


def test_guard_that_lets_in(compare: Any) -> None:
    """A block that is let in by a guard.

    An empty block, where there is memory enough; the second line is what it may cost.
    """
    dog = perfkit.MemoryWatchdog()

    def guarded() -> None:
        with perfkit.memory_guard("64MB", timeout=5):
            pass

    def looked() -> None:
        if psutil.virtual_memory().available < 64_000_000:
            raise MemoryError

    def watched() -> Timed:
        timed = calls(guarded)

        def run(n: int) -> float:
            with dog:
                return timed(n)

        return run

    contenders = [
        contender("psutil virtual_memory().available", looked, note="reserves nothing, and knows of no container"),
        line("6 µs", 6e-6),
        contender("with perfkit.memory_guard", guarded, ours=True),
        Contender(name="… under a watchdog", timed=watched(), check=lambda _: None, ours=True),
    ]
    claims = [Claim("with perfkit.memory_guard", "6 µs", 1), Claim("… under a watchdog", "6 µs", 1)]
    compare(contenders, size="64 MB", claims=claims)


def test_watchdog_with_nothing_to_do(compare: Any) -> None:
    """The processor time that a watchdog takes.

    At half of a limit of 1 GB, a second of waiting; the first line is what it may take: 0.2 % of one processor.
    """
    limit = 1_000_000_000
    ballast: list[bytearray] = []

    def share(make: Any) -> Timed:
        def timed(n: int) -> float:
            missing = limit // 2 - sampling.rss()
            if not ballast and missing > 0:
                ballast.append(bytearray(b"x") * missing)
            with make():
                began, spent = perf_counter(), time.process_time()
                while perf_counter() - began < n:
                    time.sleep(0.5)
                return (time.process_time() - spent) / (perf_counter() - began) * n

        return timed

    contenders = [
        line("0.2 % of the time", 0.002),
        Contender(
            name="perfkit.MemoryWatchdog",
            timed=share(lambda: perfkit.MemoryWatchdog(limit)),
            check=lambda _: None,
            ours=True,
        ),
    ]
    claims = [Claim("perfkit.MemoryWatchdog", "0.2 % of the time", 1)]
    compare(contenders, size="a second", claims=claims)
