"""Pools: connections that are kept and shared."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.pooling.aio import AsyncPool as AsyncPool
    from perfkit.pooling.stats import PoolStats as PoolStats
    from perfkit.pooling.threads import Pool as Pool

# Each on first use: threads need no asyncio.
_HOMES = {"AsyncPool": "aio", "Pool": "threads", "PoolStats": "stats"}

__all__ = ["AsyncPool", "Pool", "PoolStats"]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours

    def __getattr__(name: str) -> object:
        try:
            home = _HOMES[name]
        except KeyError:
            raise AttributeError(f"module 'perfkit.pooling' has no attribute {name!r}") from None
        from importlib import import_module

        value = getattr(import_module(f"perfkit.pooling.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
