"""Staying below the memory there is: a watchdog, what it gives back, and guards before big work."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.memory.guard import amemory_guard as amemory_guard
    from perfkit.memory.guard import memory_guard as memory_guard
    from perfkit.memory.limits import memory_limit as memory_limit
    from perfkit.memory.reclaimer import Reclaimer as Reclaimer
    from perfkit.memory.stats import LevelChange as LevelChange
    from perfkit.memory.stats import MemoryStats as MemoryStats
    from perfkit.memory.stats import ReclaimerStats as ReclaimerStats
    from perfkit.memory.stats import TierStats as TierStats
    from perfkit.memory.trend import Forecast as Forecast
    from perfkit.memory.usage import MemoryLimit as MemoryLimit
    from perfkit.memory.usage import MemoryUsage as MemoryUsage
    from perfkit.memory.watchdog import MemoryWatchdog as MemoryWatchdog

# Each on first use: dataclasses alone would cost a millisecond.
_HOMES = {
    "Forecast": ".trend",
    "LevelChange": ".stats",
    "MemoryLimit": ".usage",
    "MemoryStats": ".stats",
    "MemoryUsage": ".usage",
    "MemoryWatchdog": ".watchdog",
    "Reclaimer": ".reclaimer",
    "ReclaimerStats": ".stats",
    "TierStats": ".stats",
    "amemory_guard": ".guard",
    "memory_guard": ".guard",
    "memory_limit": ".limits",
}

__all__ = [
    "Forecast",
    "LevelChange",
    "MemoryLimit",
    "MemoryStats",
    "MemoryUsage",
    "MemoryWatchdog",
    "Reclaimer",
    "ReclaimerStats",
    "TierStats",
    "amemory_guard",
    "memory_guard",
    "memory_limit",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
