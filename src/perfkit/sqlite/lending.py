"""Connections that are lent to code which speaks to one already; none of them can write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiosqlite

from perfkit.pooling import AsyncPool
from perfkit.sqlite.connecting import reader_uri, set_up_reader

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from perfkit.sqlite.options import Options

__all__ = ["AsyncLending"]


class AsyncLending:
    """A pool of ``aiosqlite`` connections."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._pool: AsyncPool[aiosqlite.Connection] = AsyncPool(
            self._connect, max_size=max(1, options.readers), close=_close, reset=_reset, name=f"{name} (lent)"
        )

    def connection(self, timeout: float | None) -> AbstractAsyncContextManager[aiosqlite.Connection]:
        """Lend one."""
        return self._pool.connection(timeout)

    async def aclose(self) -> None:
        """Close those that are idle now, and the others when they come back."""
        await self._pool.aclose()

    async def _connect(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(
            reader_uri(self._options.path),
            uri=True,
            isolation_level=None,
            timeout=self._options.busy_timeout,
            cached_statements=256,
        )
        thread: Any = getattr(connection, "_thread", connection)
        thread.daemon = True  # aiosqlite's threads keep the interpreter from ending while a connection is open
        await connection
        await connection._execute(set_up_reader, connection._conn, self._options)  # type: ignore[no-untyped-call]
        return connection


async def _reset(connection: aiosqlite.Connection) -> None:
    """End what the borrower may have left open."""
    if connection.in_transaction:
        await connection.rollback()


async def _close(connection: aiosqlite.Connection) -> None:
    await connection.close()
