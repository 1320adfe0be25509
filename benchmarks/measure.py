"""Measuring contenders interleaved in one run, and what their times say about each other.

A time is only comparable with another that was taken in the same run, turn by turn: whatever else the machine does then
strikes all of them. The interval of a ratio is a paired bootstrap over the rounds (B. Efron and R. Tibshirani, "An
Introduction to the Bootstrap", 1993): rounds are drawn again, each with the times that all contenders had in it.
"""

import asyncio
import gc
import math
import multiprocessing
import random
import threading
import traceback
import warnings
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from statistics import median, quantiles
from time import perf_counter
from typing import Any

Timed = Callable[[int], float]
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way of doing the work: ``timed(n)`` does it n times and returns the seconds that took.

    ``check(n)`` raises unless the results are right after n operations in all. ``at_once`` operations belong together
    (one for each thread or task), so n is a multiple of it. ``note`` says what a reader should know about a peer.
    """

    name: str
    timed: Timed
    check: Callable[[int], object]
    ours: bool = False
    note: str = ""
    at_once: int = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """``contender`` is at least ``at_least`` times as fast as ``peer``."""

    contender: str
    peer: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure: seconds a turn, seconds in all, and between how many rounds."""

    turn: float = 0.015
    budget: float = 6.0
    rounds: tuple[int, int] = (7, 25)
    smoke: bool = False


def calls(operation: Callable[[], object], before: Callable[[], object] | None = None) -> Timed:
    """Time calls one after another; ``before``, untimed, goes before each of them."""

    def timed(n: int) -> float:
        turns = range(n)
        started = perf_counter()
        for _ in turns:
            operation()
        return perf_counter() - started

    def timed_apart(n: int) -> float:
        seconds = 0.0
        for _ in range(n):
            before()  # type: ignore[misc]  # this one is returned only with a before
            started = perf_counter()
            operation()
            seconds += perf_counter() - started
        return seconds

    return timed if before is None else timed_apart


def in_threads(count: int, operation: Callable[[], object]) -> Timed:
    """Time n calls shared evenly by ``count`` threads, from the moment all are ready to the moment the last is done."""

    def timed(n: int) -> float:
        started: list[float] = []
        ready = threading.Barrier(count, action=lambda: started.append(perf_counter()))

        def share() -> float:
            ready.wait()
            for _ in range(n // count):
                operation()
            return perf_counter()

        with ThreadPoolExecutor(count) as pool:
            ended = [share.result() for share in [pool.submit(share) for _ in range(count)]]
        return max(ended) - started[0]

    return timed


def in_tasks(runner: asyncio.Runner, count: int, operation: Callable[[], Awaitable[object]]) -> Timed:
    """Time n awaits shared evenly by ``count`` tasks of the runner's loop."""

    async def share(each: int) -> None:
        for _ in range(each):
            await operation()

    async def turn(n: int) -> float:
        started = perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(share(n // count))
        return perf_counter() - started

    return lambda n: runner.run(turn(n))


def interleaved(
    contenders: Sequence[Contender], plan: Plan, between: Callable[[], object] = lambda: None
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Measure in rounds, in each of which every contender has one turn, in an order shuffled anew.

    Returns the seconds an operation took, a value for each round, and how many operations a turn had, both by name.
    Before a turn comes ``between``, a garbage collection (during it the collector is off), and one operation that isn't
    counted, or one of each thread or task. Raises AssertionError with what went wrong in a contender or its ``check``.
    """
    rng = random.Random(0)
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    with ExitStack() as seats:
        run: list[_Seat] = []
        for contender in contenders:
            run.append(seats.enter_context(_Seat(contender, between, run)))
        amounts = {seat.name: seat.at_once if plan.smoke else seat.filling(plan.turn) for seat in run}
        a_round = sum(seat.turn(amounts[seat.name])[1] for seat in run)
        for _ in range(_rounds(plan, a_round)):
            for seat in rng.sample(run, len(run)):
                times[seat.name].append(seat.turn(amounts[seat.name])[0])
        for seat in run:
            seat.check()
    return times, amounts


class _Seat:
    """A contender in a process of its own, so that it has its memory and its collector for itself, as in a program."""

    def __init__(self, contender: Contender, between: Callable[[], object], before: Sequence["_Seat"]) -> None:
        self.name, self.at_once = contender.name, contender.at_once
        self._between = between
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        inherited = [self._pipe, *(seat._pipe for seat in before)]
        self._process = context.Process(target=_serve, args=(contender, theirs, inherited), daemon=True)
        with warnings.catch_warnings():  # of threads, which a fork leaves behind: pytest's watchdog may be one
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()

    def __enter__(self) -> "_Seat":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join()

    def turn(self, n: int) -> tuple[float, float]:
        """Return the seconds an operation took, and all n with what goes untimed before each."""
        self._between()
        took: tuple[float, float] = self._answer(n)
        return took

    def check(self) -> None:
        """Check what all turns have done."""
        self._answer(0)

    def filling(self, seconds: float) -> int:
        """Return how many operations fill a turn, with what goes untimed before each; never fewer than three."""
        n = self.at_once
        while (took := self.turn(n)[1]) < seconds / 4:
            n *= 4
        return self.at_once * max(math.ceil(seconds / took * n / self.at_once), 3 if self.at_once == 1 else 1)

    def _answer(self, n: int) -> Any:
        self._pipe.send(n)
        try:
            answer = self._pipe.recv()
        except EOFError:
            answer = "its process ended"
        if isinstance(answer, str):
            raise AssertionError(f"{self.name}: {answer}")
        return answer


def _serve(contender: Contender, pipe: Connection, inherited: Sequence[Connection]) -> None:
    """Take turns as they are asked for, until the pipe is closed; failures are answered as text."""
    for other in inherited:  # or their other ends would never see the end
        other.close()
    gc.collect()
    gc.freeze()
    gc.disable()
    done = 0
    with suppress(EOFError):
        while True:
            n = pipe.recv()
            try:
                answer = _turn(contender, n) if n else contender.check(done)
            except BaseException:  # noqa: BLE001 (it is raised again where the turn was asked for)
                answer = traceback.format_exc()
            done += n + contender.at_once
            pipe.send(answer)


def _turn(contender: Contender, n: int) -> tuple[float, float]:
    gc.collect()
    contender.timed(contender.at_once)  # caches and memory are another's by now
    began = perf_counter()
    seconds = contender.timed(n)
    return seconds / n, perf_counter() - began


def ratio(slower: Sequence[float], faster: Sequence[float]) -> dict[str, float]:
    """Return how many times as fast ``faster`` is, by medians, and the ends of the 95 % interval of that."""
    rng = random.Random(0)
    rounds = range(len(slower))

    def resampled() -> float:
        drawn = rng.choices(rounds, k=len(rounds))
        return median([slower[i] for i in drawn]) / median([faster[i] for i in drawn])

    again = sorted(resampled() for _ in range(_RESAMPLES))
    low, high = again[int(0.025 * _RESAMPLES)], again[int(0.975 * _RESAMPLES)]
    return {"ratio": median(slower) / median(faster), "low": low, "high": high}


def spread(times: Sequence[float]) -> dict[str, float]:
    """Return the median, and between which times eight of ten rounds were."""
    if len(times) == 1:
        return {"median": times[0], "p10": times[0], "p90": times[0]}
    deciles = quantiles(times, n=10, method="inclusive")
    return {"median": median(times), "p10": deciles[0], "p90": deciles[-1]}


def _rounds(plan: Plan, seconds_a_round: float) -> int:
    low, high = plan.rounds
    return 1 if plan.smoke else max(low, min(high, int(plan.budget / seconds_a_round)))
