"""The resilience demo: pages that ask a service for their prices, while it goes down and comes back; and a crowd.

First threads, each the ordinary way (three attempts, waits that double) and with ``perfkit.retry`` and
``perfkit.CircuitBreaker``; then tasks that a busy service turns away all at once.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import perfkit
from perfkit.demo.results import Check, Comparison, Count, DemoError, Latency, Options, PartResult, Progress, Section
from perfkit.errors import BreakerOpen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Fetch = Callable[[int], int]

__all__ = ["run"]

THREADS = 8
TRIP_AFTER = 10  # calls
RESET = 0.2  # seconds that the breaker stays open
TIMEOUT = 0.01  # seconds after which a caller gives a service up that is down
CLIENTS = 200
NO_PRICE = -1  # what a page shows instead


class Prices:
    """A service that answers in a millisecond, or not at all. It counts who asks it in vain, and how many at once."""

    def __init__(self) -> None:
        self.is_up = True
        self.in_vain = 0
        self.most_at_once = 0
        self._inside = 0
        self._lock = threading.Lock()

    def price(self, number: int) -> int:
        """Return a price, or raise TimeoutError as a call to a service that is down does."""
        with self._lock:
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
        try:
            return self._answer(number)
        finally:
            with self._lock:
                self._inside -= 1

    def _answer(self, number: int) -> int:
        if self.is_up:
            sleep(0.001)
            return 3 * number
        sleep(TIMEOUT)
        with self._lock:
            self.in_vain += 1
        raise TimeoutError("the price service does not answer")


@dataclass(frozen=True, slots=True)
class Way:
    """One way of asking, and what it asks."""

    name: str
    prices: Prices
    fetch: Fetch


def run(options: Options, progress: Progress) -> PartResult:
    """Run both halves. ``options.input`` is for other parts."""
    pages, crowds = (10, 1) if options.quick else (50, 2)
    outage = down_and_back(pages, progress)
    crowd = turned_away(crowds, CLIENTS // (2 if options.quick else 1), progress)
    title = "Resilience: a shop whose price service fails"
    return PartResult("resilience", title, THREADS * pages * 8, (outage, crowd))


def ways() -> tuple[Way, Way]:
    """Return the ordinary way of asking, and perfkit's."""
    theirs, ours = Prices(), Prices()

    def patiently(number: int) -> int:
        for attempt in itertools.count():
            try:
                return theirs.price(number)
            except TimeoutError:
                if attempt == 2:
                    raise
                sleep(0.005 * 2**attempt)
        raise AssertionError

    breaker = perfkit.CircuitBreaker(min_calls=TRIP_AFTER, window=20, reset_timeout=RESET, name="prices")
    guarded = perfkit.retry(on=TimeoutError, attempts=3, wait=0.005, name="prices")(breaker(ours.price))
    return Way("three attempts", theirs, patiently), Way("retry and CircuitBreaker", ours, guarded)


def down_and_back(pages: int, progress: Progress) -> Section:
    """Show pages while the service is up, down, and up again; each way in turns."""
    both = ways()
    up, down, wrong = {}, {}, {}
    for way in both:
        progress(f"resilience: the service is up, {way.name}")
        up[way.name], bad = shown(way, pages, is_up=True)
        progress(f"resilience: the service is down, {way.name}")
        down[way.name], worse = shown(way, pages, is_up=False)
        progress(f"resilience: the service is back, {way.name}")
        wrong[way.name] = bad + worse + comes_back(way, pages)
    before, after = both
    asked = THREADS * pages
    in_vain = [way.prices.in_vain for way in both]
    # It opens with the tenth call, when each thread may be in another; and then there is a probe now and then.
    most = TRIP_AFTER + THREADS + int(sum(down[after.name]) / THREADS / RESET) + 1
    comparisons = tuple(
        Comparison(what, Latency.of(before.name, took[before.name]), (Latency.of(after.name, took[after.name]),))
        for what, took in {"A page while the service is up": up, "A page while it is down": down}.items()
    )
    checks = (
        _check("Pages with a wrong price", [wrong[way.name] for way in both], 3 * asked, both=True),
        _check("Calls to a service known to be down", [max(0, vain - most) for vain in in_vain], 3 * asked),
        _check("Callers beyond one when it is probed", [at_once(way) - 1 for way in both], THREADS),
    )
    note = f"Calls in vain: {before.name} {in_vain[0]:,}, {after.name} {in_vain[1]:,}."
    return Section(f"{THREADS} threads; the service goes down and comes back", comparisons, checks, note)


def _check(what: str, bad: list[int], of: int, *, both: bool = False) -> Check:
    """Return a check of both ways, which had as many cases each."""
    before, after = bad
    return Check(what, Count(before, of), Count(after, of), both)


def shown(way: Way, pages: int, *, is_up: bool) -> tuple[list[float], int]:
    """Have all threads show pages; return how long each took, and how many were wrong."""
    way.prices.is_up = is_up
    took: list[float] = []
    wrong: list[int] = []

    def show(first: int) -> None:
        for number in range(first, first + pages):
            started = perf_counter()
            try:
                price = way.fetch(number)
            except (TimeoutError, BreakerOpen):
                price = NO_PRICE
            took.append(perf_counter() - started)
            if price != (3 * number if is_up else NO_PRICE):
                wrong.append(number)

    in_threads(show, pages)
    return took, len(wrong)


def in_threads(work: Callable[[int], None], pages: int) -> None:
    """Call ``work(first)`` in all threads."""
    threads = [threading.Thread(target=work, args=[number * pages]) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def comes_back(way: Way, pages: int) -> int:
    """Wait until the service is asked again, as callers do; then show pages, and return how many were wrong."""
    way.prices.is_up = True
    for _ in range(100):
        try:
            way.fetch(1)
        except BreakerOpen as refused:
            sleep(min(refused.retry_after, RESET))
        else:
            return shown(way, pages, is_up=True)[1]
    raise DemoError(f"{way.name}: the service was not asked again after it had come back")


def at_once(way: Way) -> int:
    """Return how many of a crowd get through to a service that has been down and is asked again for the first time."""
    way.prices.is_up = False
    for _ in range(2 * TRIP_AFTER):
        try:
            way.fetch(1)
        except BreakerOpen as refused:
            sleep(refused.retry_after)
            break
        except TimeoutError:
            continue
    way.prices.most_at_once = 0
    together = threading.Barrier(THREADS)

    def ask(number: int) -> None:
        together.wait()
        try:
            way.fetch(number)
        except (TimeoutError, BreakerOpen):
            return

    in_threads(ask, 1)
    return way.prices.most_at_once


class Busy:
    """A service that serves so many clients each slot of time, and turns all others away."""

    def __init__(self, each: int = 10, slot: float = 0.005) -> None:
        self._each = each
        self._slot = slot
        self._served: dict[int, int] = {}
        self.turned_away = 0

    async def serve(self, number: int) -> int:
        """Return an answer, or raise ConnectionError."""
        slot = int(perf_counter() / self._slot)
        served = self._served.get(slot, 0)
        if served >= self._each:
            self.turned_away += 1
            raise ConnectionError("busy")
        self._served[slot] = served + 1
        return 3 * number


def turned_away(crowds: int, clients: int, progress: Progress) -> Section:
    """Have a crowd of clients come at once, to a service that can serve few of them; each way in turns."""
    theirs, ours = Busy(), Busy()

    async def doubling(number: int) -> int:
        for attempt in itertools.count():
            try:
                return await theirs.serve(number)
            except ConnectionError:
                await asyncio.sleep(min(0.16, 0.01 * 2**attempt))
        raise AssertionError

    jittered = perfkit.retry(on=ConnectionError, attempts=None, wait=0.01, max_wait=0.16, name="crowd")(ours.serve)
    each = {"waits that double": doubling, "perfkit.retry": jittered}
    took: dict[str, list[float]] = {name: [] for name in each}
    wrong = dict.fromkeys(each, 0)
    for crowd in range(crowds):
        for name, serve in each.items():
            progress(f"resilience: crowd {crowd + 1} of {crowds}, {name}")
            seconds, bad = asyncio.run(_crowd(serve, clients))
            took[name] += seconds
            wrong[name] += bad
    before, after = (Latency.of(name, seconds) for name, seconds in took.items())
    return Section(
        f"{clients} clients at once, of whom a busy service takes ten each 5 ms",
        (Comparison("Until a client has its answer", before, (after,)),),
        (_check("Clients with a wrong answer", list(wrong.values()), crowds * clients, both=True),),
        f"Times a client was turned away: the ordinary way {theirs.turned_away:,}, perfkit {ours.turned_away:,}.",
    )


async def _crowd(serve: Callable[[int], Awaitable[int]], clients: int) -> tuple[list[float], int]:
    """Return how long each client took, and how many answers were wrong."""
    started = perf_counter()

    async def client(number: int) -> tuple[float, bool]:
        answer = await serve(number)
        return perf_counter() - started, answer != 3 * number

    answers = await asyncio.gather(*[client(number) for number in range(clients)])
    return [seconds for seconds, _ in answers], sum(is_wrong for _, is_wrong in answers)
