"""perfkit: drop-in runtime optimization for Python applications that run for days.

``import perfkit`` loads this file and next to nothing else: every public name and module is loaded by its first use
(PEP 562), from the table below. The imports beside the table say the same to type checkers; a test holds the two equal.
"""

from perfkit._base.first_use import on_first_use
from perfkit._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit import caching as caching
    from perfkit import errors as errors
    from perfkit import lazyload as lazyload
    from perfkit import memory as memory
    from perfkit import pooling as pooling
    from perfkit import registry as registry
    from perfkit import resilience as resilience
    from perfkit import sqlite as sqlite
    from perfkit import statefile as statefile
    from perfkit import testing as testing
    from perfkit import timing as timing
    from perfkit.caching import FrequencyBoostLRU as FrequencyBoostLRU
    from perfkit.caching import TTLCache as TTLCache
    from perfkit.caching import cached as cached
    from perfkit.lazyload import attach_stub as attach_stub
    from perfkit.lazyload import lazy as lazy
    from perfkit.lazyload import lazy_imports as lazy_imports
    from perfkit.lazyload import lazy_report as lazy_report
    from perfkit.memory import MemoryWatchdog as MemoryWatchdog
    from perfkit.memory import Reclaimer as Reclaimer
    from perfkit.memory import amemory_guard as amemory_guard
    from perfkit.memory import memory_guard as memory_guard
    from perfkit.memory import memory_limit as memory_limit
    from perfkit.pooling import AsyncPool as AsyncPool
    from perfkit.pooling import AsyncSMTPPool as AsyncSMTPPool
    from perfkit.pooling import Delivery as Delivery
    from perfkit.pooling import Pool as Pool
    from perfkit.pooling import SMTPPool as SMTPPool
    from perfkit.registry import stats as stats
    from perfkit.resilience import CircuitBreaker as CircuitBreaker
    from perfkit.resilience import Heartbeat as Heartbeat
    from perfkit.resilience import RetryBudget as RetryBudget
    from perfkit.resilience import retry as retry
    from perfkit.sqlite import AsyncDatabase as AsyncDatabase
    from perfkit.sqlite import Database as Database
    from perfkit.sqlite import packed as packed
    from perfkit.sqlite import unpacked as unpacked
    from perfkit.statefile import AsyncStateFile as AsyncStateFile
    from perfkit.statefile import StateFile as StateFile
    from perfkit.statefile import read_json as read_json
    from perfkit.timing import PerformanceTracker as PerformanceTracker
    from perfkit.timing import Timer as Timer
    from perfkit.timing import profiled as profiled
    from perfkit.timing import timed as timed

# name -> the module that has it; a name that is a module itself maps to None
_PUBLIC = {
    "AsyncDatabase": "perfkit.sqlite",
    "AsyncPool": "perfkit.pooling",
    "AsyncSMTPPool": "perfkit.pooling",
    "AsyncStateFile": "perfkit.statefile",
    "CircuitBreaker": "perfkit.resilience",
    "Database": "perfkit.sqlite",
    "Delivery": "perfkit.pooling",
    "FrequencyBoostLRU": "perfkit.caching",
    "Heartbeat": "perfkit.resilience",
    "MemoryWatchdog": "perfkit.memory",
    "PerformanceTracker": "perfkit.timing",
    "Pool": "perfkit.pooling",
    "Reclaimer": "perfkit.memory",
    "RetryBudget": "perfkit.resilience",
    "SMTPPool": "perfkit.pooling",
    "StateFile": "perfkit.statefile",
    "TTLCache": "perfkit.caching",
    "Timer": "perfkit.timing",
    "amemory_guard": "perfkit.memory",
    "attach_stub": "perfkit.lazyload",
    "cached": "perfkit.caching",
    "errors": None,
    "lazy": "perfkit.lazyload",
    "lazy_imports": "perfkit.lazyload",
    "lazy_report": "perfkit.lazyload",
    "memory_guard": "perfkit.memory",
    "memory_limit": "perfkit.memory",
    "packed": "perfkit.sqlite",
    "profiled": "perfkit.timing",
    "read_json": "perfkit.statefile",
    "retry": "perfkit.resilience",
    "stats": "perfkit.registry",
    "testing": None,
    "timed": "perfkit.timing",
    "unpacked": "perfkit.sqlite",
}

# What is public in a part beside these, such as ``perfkit.sqlite.packable``, is found there.
_PARTS = ("caching", "lazyload", "memory", "pooling", "registry", "resilience", "sqlite", "statefile", "timing")

__all__ = [
    "AsyncDatabase",
    "AsyncPool",
    "AsyncSMTPPool",
    "AsyncStateFile",
    "CircuitBreaker",
    "Database",
    "Delivery",
    "FrequencyBoostLRU",
    "Heartbeat",
    "MemoryWatchdog",
    "PerformanceTracker",
    "Pool",
    "Reclaimer",
    "RetryBudget",
    "SMTPPool",
    "StateFile",
    "TTLCache",
    "Timer",
    "__version__",
    "amemory_guard",
    "attach_stub",
    "cached",
    "errors",
    "lazy",
    "lazy_imports",
    "lazy_report",
    "memory_guard",
    "memory_limit",
    "packed",
    "profiled",
    "read_json",
    "retry",
    "stats",
    "testing",
    "timed",
    "unpacked",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _PUBLIC | dict.fromkeys(_PARTS))


def __dir__() -> list[str]:
    return sorted([*__all__, *_PARTS])
