"""Pools: connections that are kept and shared."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.pooling.aio import AsyncPool as AsyncPool
    from perfkit.pooling.threads import Pool as Pool

__all__ = ["AsyncPool", "Pool"]

_HOMES = {"AsyncPool": "perfkit.pooling.aio", "Pool": "perfkit.pooling.threads"}

if not TYPE_CHECKING:  # or they would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Load a name on first use: threads need no asyncio."""
        from importlib import import_module

        try:
            home = _HOMES[name]
        except KeyError:
            raise AttributeError(f"module 'perfkit.pooling' has no attribute {name!r}") from None
        return getattr(import_module(home), name)
