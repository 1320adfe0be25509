"""Circuit breakers and retries.

What they cost while nothing fails, which is nearly always: a function that returns its argument, called through each.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import aiobreaker
import backoff
import circuitbreaker
import hyx.circuitbreaker
import purgatory
import pybreaker
import pytest
import stamina
import tenacity

import perfkit
from measure import Claim, Contender
from wrapped import AWAITED, BARE, awaited, bound, contender, coroutine, plain

IN_A_ROW = "counts failures in a row only"


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def ahead_of_all(ours: str, contenders: list[Contender]) -> list[Claim]:
    """Claim that the first of ours is ahead of the line to hold, and of every peer."""
    return [Claim(ours, peer.name, 1) for peer in contenders[1:] if not peer.ours]


def test_closed_breaker_around_a_function(compare: Any) -> None:
    """A call through a closed circuit breaker.

    The same call again and again, none of which fails; ratios are to the call without a breaker.
    """
    bare = contender(BARE, plain)
    contenders = [
        bare,
        bound(bare, 170),
        contender("perfkit.CircuitBreaker", perfkit.CircuitBreaker()(plain), ours=True),
        contender("… with slow_call", perfkit.CircuitBreaker(slow_call=5.0)(plain), ours=True),
        contender("… with window_seconds", perfkit.CircuitBreaker(window_seconds=60.0)(plain), ours=True),
        contender("circuitbreaker", circuitbreaker.circuit(plain), note=IN_A_ROW),
        contender("purgatory", purgatory.SyncCircuitBreakerFactory()("plain")(plain), note=IN_A_ROW),
        contender("aiobreaker", aiobreaker.CircuitBreaker()(plain), note=IN_A_ROW),
        contender("pybreaker", pybreaker.CircuitBreaker()(plain), note="lets one call in at a time"),
    ]
    compare(contenders, size="f(k)", claims=ahead_of_all("perfkit.CircuitBreaker", contenders))


def test_closed_breaker_around_a_coroutine_function(compare: Any, runner: asyncio.Runner) -> None:
    """An await through a closed circuit breaker.

    The same coroutine function awaited again and again in one task; ratios are to the await without a breaker.
    """
    bare = awaited(runner, AWAITED, coroutine)
    contenders = [
        bare,
        bound(bare, 250),
        awaited(runner, "perfkit.CircuitBreaker", perfkit.CircuitBreaker()(coroutine), ours=True),
        awaited(runner, "circuitbreaker", circuitbreaker.circuit(coroutine)),
        awaited(runner, "purgatory", purgatory.AsyncCircuitBreakerFactory()("coroutine")(coroutine)),
        awaited(runner, "aiobreaker", aiobreaker.CircuitBreaker()(coroutine)),
        awaited(runner, "hyx", hyx.circuitbreaker.consecutive_breaker()(coroutine)),
    ]
    compare(contenders, size="await f(k)", claims=ahead_of_all("perfkit.CircuitBreaker", contenders))


def test_closed_breaker_around_a_block(compare: Any) -> None:
    """A block in a closed circuit breaker.

    A ``with`` block around the same call; ratios are to the call without a breaker.
    """
    ours, theirs = perfkit.CircuitBreaker(), circuitbreaker.CircuitBreaker()
    python, factory = pybreaker.CircuitBreaker(), purgatory.SyncCircuitBreakerFactory()
    breaker = factory.get_breaker("block")

    def in_ours(k: Any) -> Any:
        with ours:
            return plain(k)

    def in_circuitbreaker(k: Any) -> Any:
        with theirs:
            return plain(k)

    def in_purgatory(k: Any) -> Any:
        with breaker:
            return plain(k)

    def in_pybreaker(k: Any) -> Any:
        with python.calling():
            return plain(k)

    contenders = [
        contender(BARE, plain),
        contender("with perfkit.CircuitBreaker", in_ours, ours=True),
        contender("circuitbreaker", in_circuitbreaker),
        contender("purgatory", in_purgatory, note="one block at a time: its state is the breaker's"),
        contender("pybreaker", in_pybreaker),
    ]
    compare(contenders, size="f(k)", claims=[Claim("with perfkit.CircuitBreaker", "pybreaker", 1)])


def test_retry_of_what_succeeds(compare: Any) -> None:
    """A call that is tried again if it fails, and doesn't.

    The same call again and again; ratios are to the call by itself.
    """
    bare, budget = contender(BARE, plain), perfkit.RetryBudget()
    again = tenacity.retry(retry=tenacity.retry_if_exception_type(OSError), stop=tenacity.stop_after_attempt(5))
    contenders = [
        bare,
        bound(bare, 250),
        contender("perfkit.retry", perfkit.retry(on=OSError)(plain), ours=True),
        contender("… with a budget", perfkit.retry(on=OSError, budget=budget)(plain), ours=True),
        contender("backoff", backoff.on_exception(backoff.expo, OSError, max_tries=5)(plain)),
        contender("stamina", stamina.retry(on=OSError, attempts=5)(plain)),
        contender("tenacity", again(plain)),
    ]
    compare(contenders, size="f(k)", claims=ahead_of_all("perfkit.retry", contenders))


def test_retry_of_a_coroutine_function_that_succeeds(compare: Any, runner: asyncio.Runner) -> None:
    """An await that is tried again if it fails, and doesn't.

    The same coroutine function awaited again and again in one task; ratios are to the await by itself.
    """
    bare = awaited(runner, AWAITED, coroutine)
    again = tenacity.retry(retry=tenacity.retry_if_exception_type(OSError), stop=tenacity.stop_after_attempt(5))
    contenders = [
        bare,
        bound(bare, 250),
        awaited(runner, "perfkit.retry", perfkit.retry(on=OSError)(coroutine), ours=True),
        awaited(runner, "backoff", backoff.on_exception(backoff.expo, OSError, max_tries=5)(coroutine)),
        awaited(runner, "stamina", stamina.retry(on=OSError, attempts=5)(coroutine)),
        awaited(runner, "tenacity", again(coroutine)),
    ]
    compare(contenders, size="await f(k)", claims=ahead_of_all("perfkit.retry", contenders))
