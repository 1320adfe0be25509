"""Timers, trackers and profiles as a typed program uses them. mypy checks this; nothing runs it."""

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

import perfkit
from perfkit.timing import Lap, LatencySummary, ProfileReport, Spent, TrackerStats, tracker_of

requests = perfkit.PerformanceTracker("requests", window=300)


@perfkit.timed
def search(words: str, *, limit: int = 10) -> list[str]:
    return words.split()[:limit]


@perfkit.timed(name="ask", window=60.0)
async def ask(question: str) -> str:
    return question


@requests.time()
def handle(number: int) -> bytes:
    return bytes(number)


def keep(report: ProfileReport) -> None:
    report.stats.dump_stats(f"{report.name}.prof")


@perfkit.profiled(every=1000, report=keep, sort="tottime", top=30)
def nightly() -> None: ...


@perfkit.Timer("load", report=print)
async def load() -> int:
    return 1


assert_type(search("a b", limit=1), list[str])
assert_type(handle(3), bytes)
loading: Callable[[], Coroutine[Any, Any, int]] = load
asking: Callable[[str], Coroutine[Any, Any, str]] = ask
assert_type(nightly(), None)
found: Callable[..., list[str]] = search
assert_type(tracker_of(search).stats(), TrackerStats)
assert_type(requests.stats().latency, LatencySummary)
assert_type(requests.percentile(99.9), float)

with perfkit.Timer("import") as timer, requests.time():
    assert_type(timer.lap("read"), float)
assert_type(timer.laps, tuple[Lap, ...])
assert_type(timer.children, tuple[Spent, ...])
assert_type(perfkit.PerformanceTracker.from_dict(requests.to_dict()), perfkit.PerformanceTracker)

search(5)  # type: ignore[arg-type]  # its parameters are its own
perfkit.timed("search")  # type: ignore[call-overload]  # a name is given by keyword
perfkit.profiled(every="often")  # type: ignore[call-overload]  # a whole number
