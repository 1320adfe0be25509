"""Pools of connections, for threads and for asyncio, and mail over them."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.pooling.aio import AsyncPool as AsyncPool
    from perfkit.pooling.delivery import Delivery as Delivery
    from perfkit.pooling.smtp import SMTPPool as SMTPPool
    from perfkit.pooling.smtp_aio import AsyncSMTPPool as AsyncSMTPPool
    from perfkit.pooling.smtp_stats import SMTPStats as SMTPStats
    from perfkit.pooling.stats import PoolStats as PoolStats
    from perfkit.pooling.threads import Pool as Pool

# Each on first use: asyncio alone would cost threaded programs 20 ms.
_HOMES = {
    "AsyncPool": ".aio",
    "AsyncSMTPPool": ".smtp_aio",
    "Delivery": ".delivery",
    "Pool": ".threads",
    "PoolStats": ".stats",
    "SMTPPool": ".smtp",
    "SMTPStats": ".smtp_stats",
}

__all__ = ["AsyncPool", "AsyncSMTPPool", "Delivery", "Pool", "PoolStats", "SMTPPool", "SMTPStats"]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
