"""Standing the failures of others: circuit breakers, retries with a budget, heartbeats."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.resilience.breaker import CircuitBreaker as CircuitBreaker
    from perfkit.resilience.budget import RetryBudget as RetryBudget
    from perfkit.resilience.heartbeat import Heartbeat as Heartbeat
    from perfkit.resilience.keyed import KeyedBreakers as KeyedBreakers
    from perfkit.resilience.retrying import Attempt as Attempt
    from perfkit.resilience.retrying import Retry as Retry
    from perfkit.resilience.retrying import retry as retry
    from perfkit.resilience.stats import BreakerStats as BreakerStats
    from perfkit.resilience.stats import BudgetStats as BudgetStats
    from perfkit.resilience.stats import HeartbeatStats as HeartbeatStats
    from perfkit.resilience.stats import KeyedBreakersStats as KeyedBreakersStats
    from perfkit.resilience.stats import RetryEvent as RetryEvent
    from perfkit.resilience.stats import RetryStats as RetryStats

# Each on first use: dataclasses alone would cost a millisecond.
_HOMES = {
    "Attempt": ".retrying",
    "BreakerStats": ".stats",
    "BudgetStats": ".stats",
    "CircuitBreaker": ".breaker",
    "Heartbeat": ".heartbeat",
    "HeartbeatStats": ".stats",
    "KeyedBreakers": ".keyed",
    "KeyedBreakersStats": ".stats",
    "Retry": ".retrying",
    "RetryBudget": ".budget",
    "RetryEvent": ".stats",
    "RetryStats": ".stats",
    "retry": ".retrying",
}

__all__ = [
    "Attempt",
    "BreakerStats",
    "BudgetStats",
    "CircuitBreaker",
    "Heartbeat",
    "HeartbeatStats",
    "KeyedBreakers",
    "KeyedBreakersStats",
    "Retry",
    "RetryBudget",
    "RetryEvent",
    "RetryStats",
    "retry",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
