"""What a decorator adds to a call: a function that returns its argument, called through each."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from measure import Contender

BARE = "a bare call"
AWAITED = "a bare await"

Timed = Callable[[int], float]


def plain(k: Any) -> Any:
    return k


async def coroutine(k: Any) -> Any:
    return k


def calls(function: Any) -> Timed:
    """Time one call again and again; nothing but the loop comes beside it."""

    def timed(n: int) -> float:
        turns = range(n)
        started = perf_counter()
        for _ in turns:
            function(1)
        return perf_counter() - started

    return timed


def awaits(runner: asyncio.Runner, function: Any) -> Timed:
    """Time one await again and again, in one task."""

    async def turn(n: int) -> float:
        turns = range(n)
        started = perf_counter()
        for _ in turns:
            await function(1)
        return perf_counter() - started

    return lambda n: runner.run(turn(n))


def contender(name: str, function: Any, **about: Any) -> Contender:
    def check(_: int) -> None:
        assert function(1) == 1, name

    return Contender(name=name, timed=calls(function), check=check, **about)


def awaited(runner: asyncio.Runner, name: str, function: Any, **about: Any) -> Contender:
    async def once() -> Any:
        return await function(1)

    def check(_: int) -> None:
        assert runner.run(once()) == 1, name

    return Contender(name=name, timed=awaits(runner, function), check=check, **about)


def bound(bare: Contender, nanoseconds: int) -> Contender:
    """Return what a bare call would take if it took so much longer: the most that ours may cost, as a line to hold."""

    def timed(n: int) -> float:
        return bare.timed(n) + n * nanoseconds * 1e-9

    return Contender(
        name=f"{bare.name} and {nanoseconds} ns",
        timed=timed,
        check=bare.check,
        note="no library: the line that perfkit has to stay under",
    )
