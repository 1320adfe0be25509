"""Breakers, retries and heartbeats as a typed program uses them. mypy checks this; nothing runs it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Literal, assert_type

import perfkit
from perfkit.resilience import BreakerStats, HeartbeatStats, KeyedBreakersStats, RetryEvent, RetryStats

breaker = perfkit.CircuitBreaker(
    failure_rate=0.3, window=50, slow_call=2.0, on=(OSError, TimeoutError), ignore=KeyError
)
by_host = perfkit.CircuitBreaker.per_key(max_keys=500, consecutive=5)
budget = perfkit.RetryBudget(0.1, min_per_second=2, max_tokens=50)


def retry_after(error: Exception) -> bool | float | None:
    return 5.0 if isinstance(error, TimeoutError) else None


@perfkit.retry(on=(ConnectionError, TimeoutError), attempts=3, budget=budget)
@breaker
def fetch(url: str, *, timeout: float = 5.0) -> bytes:
    return url.encode()


@breaker
@perfkit.retry(on=retry_after, attempts=None, timeout=10.0, on_retry=lambda event: print(event.number, event.wait))
async def afetch(url: str) -> bytes:
    return url.encode()


class Client:
    @breaker
    def get(self, number: int) -> list[int]:
        return [number]

    @classmethod
    @perfkit.retry(on=OSError)
    def make(cls) -> "Client":
        return cls()


def functions(client: Client) -> None:
    assert_type(fetch("x"), bytes)
    assert_type(fetch("x", timeout=1), bytes)
    fetch(3)  # type: ignore[arg-type]  # the parameters keep their types
    fetch("x", patience=3)  # type: ignore[call-arg]  # and their names
    assert_type(client.get(3), list[int])
    client.get("3")  # type: ignore[arg-type]
    assert_type(Client.make(), Client)


async def tasks() -> None:
    pending: Coroutine[Any, Any, bytes] = afetch("x")
    assert_type(await pending, bytes)
    assert_type(await breaker.call(afetch, "x"), bytes)
    assert_type(await perfkit.retry(on=OSError).call(afetch, "x"), bytes)
    async with breaker as entered:
        assert_type(entered, perfkit.CircuitBreaker)
    async for attempt in perfkit.retry(on=OSError):
        with attempt:
            assert_type(attempt.number, int)


def blocks() -> None:
    with breaker, by_host("example.org"):
        fetch("x")
    for attempt in perfkit.retry(on=OSError):
        with attempt:
            fetch("x")


def calls_and_figures() -> None:
    assert_type(breaker.call(fetch, "x", timeout=3), bytes)
    breaker.call(fetch, 3)  # type: ignore[arg-type]
    assert_type(breaker.state, Literal["closed", "open", "half-open"])
    assert_type(breaker.stats(), BreakerStats)
    assert_type(by_host.stats(), KeyedBreakersStats)
    assert_type(perfkit.retry(on=OSError).stats(), RetryStats)
    assert_type(budget.stats().tokens, float)
    try:
        fetch("x")
    except perfkit.errors.BreakerOpen as refused:
        assert_type(refused.retry_after, float)


def hooks(event: RetryEvent) -> None:
    def changed(breaker: perfkit.CircuitBreaker, old: str, new: str) -> None:
        print(breaker.name, old, new)

    perfkit.CircuitBreaker(on_change=changed)
    assert_type(event.error, Exception)
    perfkit.retry(on=KeyboardInterrupt)  # type: ignore[arg-type]  # no Exception
    perfkit.retry()  # type: ignore[call-arg]  # on is mandatory


def heartbeats() -> None:
    async def ping() -> bool:
        await asyncio.sleep(0)
        return True

    def lost(heartbeat: perfkit.Heartbeat) -> None:
        print(heartbeat.name)

    with perfkit.Heartbeat(lambda: True, every=5, on_lost=lost) as heartbeat:
        assert_type(heartbeat.is_lost, bool)
        assert_type(heartbeat.stats(), HeartbeatStats)
        assert_type(heartbeat.last_error, str | None)
    perfkit.Heartbeat(ping, on_lost=lost).stop()
