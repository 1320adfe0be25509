"""The figures of breakers, retries and heartbeats, and what hooks are told. Apart, for dataclasses take time."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from perfkit._base.latency_summary import LatencySummary
    from perfkit.resilience.breaker import CircuitBreaker
    from perfkit.resilience.circuit import Circuit, State

__all__ = [
    "BreakerStats",
    "BudgetStats",
    "HeartbeatStats",
    "KeyedBreakersStats",
    "RetryEvent",
    "RetryStats",
    "breaker_stats",
    "keyed_stats",
]


@dataclass(frozen=True, slots=True)
class BreakerStats:
    """The figures of a `perfkit.CircuitBreaker`.

    ``seconds_in_state`` tells how long it has been in its ``state``, ``retry_after`` how long it stays open (0.0 where
    a call may go through). ``calls``, ``failures`` and ``slow_calls`` are the window's, all 0 unless it is closed. The
    others count since it was made: calls that ``failed`` and counted, that were ``refused``, that ended ``neutral``,
    and how often it ``opened``.
    """

    name: str
    state: State
    seconds_in_state: float
    retry_after: float
    calls: int
    failures: int
    slow_calls: int
    failed: int
    refused: int
    neutral: int
    opened: int

    GAUGES = frozenset({"seconds_in_state", "retry_after", "calls", "failures", "slow_calls"})
    STATES = MappingProxyType({"state": ("closed", "open", "half-open")})
    COLUMNS = ("state", "seconds_in_state", "calls", "failures", "failed", "refused", "opened")

    @property
    def failure_rate(self) -> float:
        """The share of the window's calls that failed, from 0 to 1; 0 if there were none."""
        return self.failures / max(1, self.calls)

    @property
    def slow_rate(self) -> float:
        """The share of the window's calls that were slow, from 0 to 1; 0 if there were none."""
        return self.slow_calls / max(1, self.calls)


def breaker_stats(name: str, circuit: Circuit, now: float) -> BreakerStats:
    """Read the figures of a circuit."""
    calls, failures, slow_calls = circuit.tally(now)
    return BreakerStats(
        name=name,
        state=circuit.state,
        seconds_in_state=now - circuit.period.since,
        retry_after=circuit.retry_after(now),
        calls=calls,
        failures=failures,
        slow_calls=slow_calls,
        failed=circuit.failed,
        refused=circuit.refused,
        neutral=circuit.neutral,
        opened=circuit.opened,
    )


@dataclass(frozen=True, slots=True)
class KeyedBreakersStats:
    """The figures of the breakers that a `KeyedBreakers` has now.

    ``keys`` is their number; ``open`` and ``half_open`` are the keys of those that are. ``failed``, ``refused`` and
    ``opened`` are theirs together; they become less when a breaker is forgotten.
    """

    name: str
    keys: int
    open: tuple[Hashable, ...]
    half_open: tuple[Hashable, ...]
    failed: int
    refused: int
    opened: int

    GAUGES = frozenset({"keys"})


def keyed_stats(name: str, breakers: Mapping[Hashable, CircuitBreaker]) -> KeyedBreakersStats:
    """Read the figures of some breakers together."""
    each = {key: breaker.stats() for key, breaker in breakers.items()}
    return KeyedBreakersStats(
        name=name,
        keys=len(each),
        open=tuple(key for key, stats in each.items() if stats.state == "open"),
        half_open=tuple(key for key, stats in each.items() if stats.state == "half-open"),
        failed=sum(stats.failed for stats in each.values()),
        refused=sum(stats.refused for stats in each.values()),
        opened=sum(stats.opened for stats in each.values()),
    )


@dataclass(frozen=True, slots=True)
class RetryEvent:
    """What ``on_retry`` is told before a wait.

    ``name`` is the retry's. Attempt ``number`` (from 1) has raised ``error``; the next one begins in ``wait`` seconds;
    ``elapsed`` seconds have gone by since the first one began.
    """

    name: str
    number: int
    error: Exception
    wait: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class RetryStats:
    """The figures of a `perfkit.retry`.

    ``retries`` were begun; ``recovered`` calls succeeded by one. The others count the calls that were given up, by
    reason: no attempts left, no time left, the budget refused, or an error that is not retried.
    """

    name: str
    retries: int
    recovered: int
    out_of_attempts: int
    out_of_time: int
    out_of_budget: int
    not_retryable: int


@dataclass(frozen=True, slots=True)
class BudgetStats:
    """The figures of a `perfkit.RetryBudget`: the ``tokens`` it has, and the retries it ``allowed`` and ``refused``."""

    name: str
    tokens: float
    max_tokens: float
    allowed: int
    refused: int

    GAUGES = frozenset({"tokens", "max_tokens"})


@dataclass(frozen=True, slots=True)
class HeartbeatStats:
    """The figures of a `perfkit.Heartbeat`.

    ``beats`` were begun, ``misses`` of them or of their hanging were counted, ``misses_in_row`` since the last success.
    ``since_success`` is the seconds since then, None before the first. ``latency`` is how long the successful ones
    took. ``last_error`` says what the last miss was, ``last_hook_error`` what the last hook that failed has raised;
    None if there was none.
    """

    name: str
    is_running: bool
    is_lost: bool
    beats: int
    misses: int
    misses_in_row: int
    times_lost: int
    since_success: float | None
    latency: LatencySummary
    last_error: str | None
    last_hook_error: str | None

    GAUGES = frozenset({"misses_in_row", "since_success"})
    COLUMNS = ("is_lost", "beats", "misses", "times_lost", "since_success", "latency")
