"""JSON state files: validated cache on the reading side; locked, atomic, durable writes on the other."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.statefile.aio import AsyncStateFile as AsyncStateFile
    from perfkit.statefile.cache import ReadCacheStats as ReadCacheStats
    from perfkit.statefile.cache import read_json as read_json
    from perfkit.statefile.file import StateFile as StateFile
    from perfkit.statefile.stats import LatencySummary as LatencySummary
    from perfkit.statefile.stats import StateFileStats as StateFileStats

# Each on first use: asyncio alone would cost threaded programs 20 ms.
_HOMES = {
    "AsyncStateFile": ".aio",
    "LatencySummary": ".stats",
    "ReadCacheStats": ".cache",
    "StateFile": ".file",
    "StateFileStats": ".stats",
    "read_json": ".cache",
}

__all__ = ["AsyncStateFile", "LatencySummary", "ReadCacheStats", "StateFile", "StateFileStats", "read_json"]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
