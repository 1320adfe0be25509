"""Caches: what is evicted is decided by LIFT; `cached` for functions and methods."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.caching.cache import FrequencyBoostLRU as FrequencyBoostLRU
    from perfkit.caching.cache import TTLCache as TTLCache
    from perfkit.caching.decorator import cached as cached
    from perfkit.caching.stats import CacheStats as CacheStats

# Each on first use: dataclasses alone would cost a millisecond.
_HOMES = {"CacheStats": ".stats", "FrequencyBoostLRU": ".cache", "TTLCache": ".cache", "cached": ".decorator"}

__all__ = ["CacheStats", "FrequencyBoostLRU", "TTLCache", "cached"]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
