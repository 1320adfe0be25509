"""SQLite: what many tasks or threads write at the same time is committed together; readers never block writers."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.sqlite.aio import AsyncDatabase as AsyncDatabase
    from perfkit.sqlite.database import Database as Database
    from perfkit.sqlite.sink import Result as Result
    from perfkit.sqlite.stats import DatabaseStats as DatabaseStats
    from perfkit.sqlite.values import packable as packable
    from perfkit.sqlite.values import packed as packed
    from perfkit.sqlite.values import unpacked as unpacked

# Each on first use: asyncio alone would cost threaded programs 20 ms.
_HOMES = {
    "AsyncDatabase": ".aio",
    "Database": ".database",
    "DatabaseStats": ".stats",
    "Result": ".sink",
    "packable": ".values",
    "packed": ".values",
    "unpacked": ".values",
}

__all__ = ["AsyncDatabase", "Database", "DatabaseStats", "Result", "packable", "packed", "unpacked"]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
