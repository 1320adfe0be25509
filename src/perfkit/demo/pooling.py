"""The pooling demo: callers of a ledger behind a login, and the ledger restarts under them.

First pages of queries, with a connection for each query and with `perfkit.Pool`, in turns. Then both a shelf of
connections as people write one, with care, and the pool, while the server goes down and comes back.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Protocol, TypeVar

import perfkit
from perfkit.demo.pooling_server import Ledger, Session, balance
from perfkit.demo.results import Check, Comparison, Count, Latency, Options, PartResult, Progress, Section

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

__all__ = ["run"]

THREADS = 8
SIZE = 4  # connections
PER_PAGE = 20
DOWN = 0.3  # seconds
PAUSE = 0.002  # seconds between two queries of a caller
FIRST_PAUSE = 0.1  # the pool's, after a failure to connect; at least half of it is kept, and it doubles
PATIENCE = 20.0  # seconds until the demo is given up


class Lender(Protocol):
    """Something that lends sessions."""

    def borrowed(self) -> AbstractContextManager[Session]:
        """Lend one for a ``with``."""


class Anew:
    """A connection for each query."""

    name = "connecting"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def borrowed(self) -> AbstractContextManager[Session]:
        """Connect."""
        return closing(Session(self._ledger.address))


class Door:
    """Connects, and counts the attempts that fail."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.in_vain = 0

    def connect(self) -> Session:
        """Return a new session; ConnectionError if the server is down."""
        try:
            return Session(self._ledger.address)
        except ConnectionError:
            self.in_vain += 1
            raise


class Shelf:
    """Connections in a queue; one that failed is closed, and another made when its place is next taken."""

    name = "queue.LifoQueue"

    def __init__(self, ledger: Ledger) -> None:
        self.door = Door(ledger)
        self._places: queue.LifoQueue[Session | None] = queue.LifoQueue()
        for _ in range(SIZE):
            self._places.put(None)

    @contextmanager
    def borrowed(self) -> Iterator[Session]:
        """Lend one."""
        session = self._places.get(timeout=PATIENCE)
        try:
            session = session or self.door.connect()
            yield session
        except BaseException:
            if session is not None:
                session.close()
            session = None
            raise
        finally:
            self._places.put(session)

    def close(self) -> None:
        """Close all."""
        while not self._places.empty():
            session = self._places.get()
            if session is not None:
                session.close()


class Pooled:
    """The same by perfkit."""

    name = "perfkit.Pool"

    def __init__(self, ledger: Ledger) -> None:
        self.door = Door(ledger)
        self._pool = perfkit.Pool(
            self.door.connect,
            max_size=SIZE,
            validate=lambda session: session.ask(0) == 0,
            validate_after=0.1,
            backoff=(FIRST_PAUSE, 5.0),
            timeout=PATIENCE,
            name="ledger",
        )

    def borrowed(self) -> AbstractContextManager[Session]:
        """Lend one."""
        return self._pool.connection()

    def close(self) -> None:
        """Close all."""
        self._pool.close()


def run(options: Options, progress: Progress) -> PartResult:
    """Run both halves. ``options.input`` is for other parts."""
    rounds, answers = (2, 200) if options.quick else (12, 1500)
    healthy = while_it_is_up(rounds, progress)
    restarted = while_it_restarts(answers, progress)
    queries = 2 * rounds * THREADS * PER_PAGE
    return PartResult("pooling", "Pools: a ledger behind a login", queries * len("balance 100\n"), (healthy, restarted))


def while_it_is_up(rounds: int, progress: Progress) -> Section:
    """Have all threads ask a page of queries each, both ways in turns."""
    with Ledger() as theirs, Ledger() as ours, closing(Pooled(ours)) as pooled:
        ways: list[tuple[str, Ledger, Lender]] = [(Anew.name, theirs, Anew(theirs)), (pooled.name, ours, pooled)]
        took: dict[str, list[float]] = {name: [] for name, *_ in ways}
        wrong = dict.fromkeys(took, 0)
        for number in range(rounds):
            for name, _, lender in ways:
                progress(f"pooling: round {number + 1} of {rounds}, {name}")
                pages = together(lambda first, lender=lender: page(lender, first))  # type: ignore[misc]  # bound here
                took[name] += [seconds for seconds, _ in pages]
                wrong[name] += sum(bad for _, bad in pages)
    before, after = (Latency.of(name, seconds) for name, seconds in took.items())
    asked = rounds * THREADS * PER_PAGE
    checks = (
        _check("Wrong balances", list(wrong.values()), asked, both=True),
        _check(
            f"Sessions at once beyond {SIZE}",
            [max(0, ledger.most_at_once - SIZE) for _, ledger, _ in ways],
            [ledger.most_at_once for _, ledger, _ in ways],  # by the server's count, which knows of an end later
        ),
    )
    note = f"{THREADS} threads; a login is three round trips and a hash that is slow on purpose, a query is one."
    return Section("The server is up", (Comparison(f"A page of {PER_PAGE} queries", before, (after,)),), checks, note)


def page(lender: Lender, first: int) -> tuple[float, int]:
    """Ask for some accounts; return how long it took, and how many balances were wrong."""
    started, wrong = perf_counter(), 0
    for account in range(first, first + PER_PAGE):
        with lender.borrowed() as session:
            wrong += session.ask(account) != balance(account)
    return perf_counter() - started, wrong


class Outage:
    """Callers of one way while its server restarts: what they were told, and how long that took."""

    def __init__(self, ledger: Ledger, lender: Lender, answers: int) -> None:
        self._ledger, self._lender, self._answers = ledger, lender, answers
        self._over = threading.Event()
        self.took: list[float] = []
        self.wrong: list[int] = []
        self.failed: list[ConnectionError] = []
        self.seconds = 0.0  # that the server was down

    def play(self) -> None:
        """Restart the server when a third has been answered, and go on until the rest is."""
        conductor = threading.Thread(target=self._conduct)
        conductor.start()
        together(self._call)
        conductor.join()

    def _conduct(self) -> None:
        try:
            self._until(self._answers // 3)
            self._ledger.stop()
            stopped = perf_counter()
            sleep(DOWN)
            self._ledger.start()
            self.seconds = perf_counter() - stopped
            self._until(len(self.took) + self._answers)
        finally:
            self._over.set()

    def _until(self, answers: int) -> None:
        until = perf_counter() + PATIENCE
        while len(self.took) < answers and perf_counter() < until:
            sleep(0.001)

    def _call(self, account: int) -> None:
        while not self._over.is_set():
            account += 1
            started = perf_counter()
            try:
                with self._lender.borrowed() as session:
                    answer = session.ask(account)
            except ConnectionError as error:
                self.failed.append(error)
            else:
                self.took.append(perf_counter() - started)
                if answer != balance(account):
                    self.wrong.append(account)
            sleep(PAUSE)


def while_it_restarts(answers: int, progress: Progress) -> Section:
    """Have threads ask on while the server goes down and comes back; the two ways one after the other."""
    outages, in_vain, lost = [], [], []
    ways: tuple[type[Shelf | Pooled], ...] = (Shelf, Pooled)
    for way in ways:
        progress(f"pooling: the server restarts, {way.name}")
        with Ledger() as ledger, closing(way(ledger)) as lender:
            outage = Outage(ledger, lender, answers)
            outage.play()
            outages.append(outage)
            in_vain.append(lender.door.in_vain)
            lost.append(SIZE - at_once(lender))
    before, after = (Latency.of(way.name, outage.took) for way, outage in zip(ways, outages, strict=True))
    failed = [max(0, len(outage.failed) - SIZE) for outage in outages]
    asked = [len(outage.took) + len(outage.failed) for outage in outages]
    most = SIZE + attempts_within(outages[1].seconds)
    checks = (
        _check("Wrong balances", [len(outage.wrong) for outage in outages], asked, both=True),
        _check(f"Failed queries beyond the {SIZE} under way", failed, asked),
        _check("Attempts to connect without a pause", [max(0, n - most) for n in in_vain], asked),
        _check("Connections lost in the end", lost, SIZE),
    )
    note = (
        f"It is down for {DOWN} s. Failed queries: {Shelf.name} {len(outages[0].failed):,}, {Pooled.name}"
        f" {len(outages[1].failed)}; attempts to connect in vain: {in_vain[0]:,} and {in_vain[1]}. The pool's callers"
        " wait instead."
    )
    return Section("The server restarts", (Comparison("A query that was answered", before, (after,)),), checks, note)


def attempts_within(seconds: float) -> int:
    """Return how many attempts to connect a pool may make one after the other, its pauses all as short as may be."""
    return 2 + int(math.log2(seconds / (FIRST_PAUSE / 2) + 1))


def at_once(lender: Lender) -> int:
    """Return how many sessions can be had at once, each of which answers."""
    had: list[int] = []
    ready = threading.Barrier(SIZE)

    def hold(account: int) -> None:
        try:
            with lender.borrowed() as session:
                if session.ask(account) == balance(account):
                    had.append(id(session))
                ready.wait()
        except (queue.Empty, TimeoutError, ConnectionError):
            ready.abort()  # the others needn't wait for this one
        except threading.BrokenBarrierError:
            pass

    together(hold, SIZE)
    return len(set(had))


def together(work: Callable[[int], R], count: int = THREADS) -> list[R]:
    """Call something in so many threads, each with a number of its own; return what they returned."""
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(work, range(0, 1000 * count, 1000)))


def _check(what: str, bad: list[int], of: int | list[int], *, both: bool = False) -> Check:
    """Return a check of both ways."""
    before, after = bad
    all_before, all_after = (of, of) if isinstance(of, int) else of
    return Check(what, Count(before, all_before), Count(after, all_after), both)
