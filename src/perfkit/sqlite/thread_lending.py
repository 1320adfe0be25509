"""Connections that `Database` lends to code which speaks to one already; none of them can write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfkit.pooling import Pool
from perfkit.sqlite.connecting import open_lent
from perfkit.sqlite.lent import LentReader

if TYPE_CHECKING:
    import sqlite3
    from contextlib import AbstractContextManager

    from perfkit.sqlite.options import Options

__all__ = ["Lending"]


class Lending:
    """A pool of ``sqlite3`` connections."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._pool: Pool[LentReader] = Pool(
            self._connect,
            max_size=max(1, options.readers),
            close=LentReader.close,
            reset=LentReader.renew,
            name=f"{name} (lent)",
        )

    def connection(self, timeout: float | None) -> AbstractContextManager[sqlite3.Connection]:
        """Lend one."""
        return self._pool.connection(timeout)

    def close(self) -> None:
        """Close those that are idle now, and the others when they come back."""
        self._pool.close()

    def _connect(self) -> LentReader:
        return open_lent(self._options)
