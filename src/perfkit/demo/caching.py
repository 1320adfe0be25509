"""The caching demo: a search front, nine of ten of whose queries have been asked before, and a crawler that comes by.

First in one thread, the same pages of queries with a dict that nobody bounds, with ``functools.lru_cache`` and with
``@perfkit.cached``, in turns; then many threads that all want the same new thing at the same moment.
"""

from __future__ import annotations

import functools
import random
import threading
from collections import Counter
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import perfkit
from perfkit.demo.results import Check, Comparison, Count, Latency, Options, PartResult, Progress, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Search = Callable[[str], tuple[str, ...]]

__all__ = ["run"]

LIMIT = 500  # entries
FAVOURITES = 400
PER_PAGE = 20
THREADS = 16

_WORDS = (
    *("orbit", "relay", "survey", "archive", "watch", "telemetry", "thermal", "battery"),
    *("antenna", "ground", "pass", "uplink", "crew", "dust", "solar"),
)


class Index:
    """What is slow: a thousand notes, each looked at for each query. It counts what it is asked."""

    def __init__(self) -> None:
        dice = random.Random(7)
        self.notes = [" ".join(dice.choices(_WORDS, k=12)) + f" {number}" for number in range(1000)]
        self.asked: Counter[str] = Counter()
        self._slots = threading.Semaphore(4)

    def search(self, query: str) -> tuple[str, ...]:
        """Return the first five notes that have every word of the query."""
        self.asked[query] += 1
        words = query.split()
        return tuple([note for note in self.notes if all(word in note for word in words)][:5])

    def search_remotely(self, query: str) -> tuple[str, ...]:
        """Search as a service would: an answer takes 5 ms on its way, and four can be under way."""
        with self._slots:
            sleep(0.005)
            return self.search(query)

    def size(self) -> int:
        """Return the bytes of the notes."""
        return sum(map(len, self.notes))


def run(options: Options, progress: Progress) -> PartResult:
    """Run both halves. ``options.input`` is for other parts."""
    pages, crowds = (120, 30) if options.quick else (200, 50)
    alone = one_thread(pages, progress)
    together = many_threads(crowds, progress)
    return PartResult("caching", "Caching: a search front", Index().size(), (alone, together))


def one_thread(pages: int, progress: Progress) -> Section:
    """Answer the same pages in three ways, in turns; the answers and what is held are compared."""
    unbounded: dict[str, tuple[str, ...]] = {}
    by_dict, by_lru, by_perfkit = Index(), Index(), Index()

    def from_dict(query: str) -> tuple[str, ...]:
        if query not in unbounded:
            unbounded[query] = by_dict.search(query)
        return unbounded[query]

    lru = functools.lru_cache(LIMIT)(by_lru.search)
    cached = perfkit.cached(maxsize=LIMIT)(by_perfkit.search)
    ways: dict[str, Search] = {
        "a dict without bounds": from_dict,
        f"functools.lru_cache({LIMIT})": lru,
        f"@perfkit.cached(maxsize={LIMIT})": cached,
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    wrong = dict.fromkeys(ways, 0)
    truth = Index()
    for number, page in enumerate(_pages(pages)):
        progress(f"caching: page {number + 1} of {pages}")
        expected = [truth.search(query) for query in page]
        for way, search in ways.items():
            started = perf_counter()
            answers = [search(query) for query in page]
            took[way].append(perf_counter() - started)
            wrong[way] += sum(answer != right for answer, right in zip(answers, expected, strict=True))
    first, second, ours = (Latency.of(way, seconds) for way, seconds in took.items())
    count, (no, lru_wrong, our_wrong) = pages * PER_PAGE, wrong.values()
    held = cached.cache_info().currsize
    checks = (
        Check("Wrong answers", Count(no + lru_wrong, 2 * count), Count(our_wrong, count), True),
        Check(f"Entries held beyond {LIMIT}", _beyond(len(unbounded)), _beyond(held)),
    )
    comparisons = (
        Comparison(f"A page of {PER_PAGE} queries, beside a dict", first, (ours,)),
        Comparison(f"A page of {PER_PAGE} queries, beside lru_cache", second, (ours,)),
    )
    computed = ", ".join(
        f"{name} {sum(index.asked.values()):,}"
        for name, index in [("the dict", by_dict), ("lru_cache", by_lru), ("perfkit", by_perfkit)]
    )
    note = (
        f"Nine of ten queries have been asked before; a crawler comes by. Of {count:,} queries computed: {computed}. "
        "A dict that lets go of nothing computes least; beside it, perfkit pays for its limit."
    )
    return Section("One thread", comparisons, checks, note)


def _beyond(entries: int) -> Count:
    return Count(max(0, entries - LIMIT), entries)


def _pages(pages: int) -> Iterator[list[str]]:
    """Yield pages of queries: favourites nine times of ten, and now and then a crawler that asks for all there is."""
    dice = random.Random(11)
    favourites = [f"{dice.choice(_WORDS)} {number}" for number in range(FAVOURITES)]
    new = crawled = FAVOURITES
    for number in range(pages):
        if number % 40 >= 30:
            yield [f"{_WORDS[crawled % len(_WORDS)]} {crawled + step}" for step in range(PER_PAGE)]
            crawled += PER_PAGE
            continue
        page = []
        for _ in range(PER_PAGE):
            if dice.random() < 0.9:
                page.append(favourites[int(FAVOURITES * dice.random() ** 2)])
            else:
                new += 1
                page.append(f"{dice.choice(_WORDS)} {dice.choice(_WORDS)} {new}")
        yield page


def many_threads(crowds: int, progress: Progress) -> Section:
    """Have all threads ask for the same new thing at the same moment, each way in turns."""
    indexes = Index(), Index()
    ways: dict[str, Search] = {
        "functools.lru_cache": functools.lru_cache(LIMIT)(indexes[0].search_remotely),
        "@perfkit.cached": perfkit.cached(maxsize=LIMIT)(indexes[1].search_remotely),
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(crowds):
        progress(f"caching: crowd {number + 1} of {crowds}")
        for way, search in ways.items():
            took[way].append(_crowd(search, f"{_WORDS[number % len(_WORDS)]} {number}"))
    before, after = (Latency.of(way, seconds) for way, seconds in took.items())
    again, ours_again = (Count(sum(times > 1 for times in index.asked.values()), crowds) for index in indexes)
    return Section(
        f"{THREADS} threads that want the same thing at once",
        (Comparison("Until all have their answer", before, (after,)),),
        (Check("Answers computed more than once", again, ours_again),),
        "The index is a service now: an answer takes 5 ms, and four can be under way.",
    )


def _crowd(search: Search, query: str) -> float:
    """Return how long it takes until all threads have the answer."""
    together = threading.Barrier(THREADS + 1)

    def ask() -> None:
        together.wait()
        search(query)

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    together.wait()
    started = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - started
