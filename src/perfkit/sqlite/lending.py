"""Connections that are lent to code which speaks to one already; none of them can write."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite

from perfkit._base import fork
from perfkit._base.workers import Workers
from perfkit.pooling import AsyncPool
from perfkit.sqlite.connecting import reader_uri, set_up_lent
from perfkit.sqlite.lent import LentReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from perfkit.sqlite.options import Options

__all__ = ["AsyncLending"]

_workers = Workers(1, "perfkit-sqlite-leaving")
_parked: list[set[aiosqlite.Connection]] = []  # a parent's, which its forked child must not close


class AsyncLending:
    """A pool of ``aiosqlite`` connections."""

    def __init__(self, options: Options, name: str) -> None:
        self._options = options
        self._pool: AsyncPool[aiosqlite.Connection] = AsyncPool(
            self._connect, max_size=max(1, options.readers), close=self._close, name=f"{name} (lent)"
        )
        self._made: set[aiosqlite.Connection] = set()  # and not closed yet
        fork.after_in_child(self)

    @asynccontextmanager
    async def connection(self, timeout: float | None) -> AsyncIterator[aiosqlite.Connection]:
        """Lend one. After an exception the pool closes it.

        It is renewed here and not by the pool, which would do so later: aiosqlite's thread ends with a traceback if the
        loop is closed meanwhile.
        """
        async with self._pool.connection(timeout) as connection:
            yield connection
            await _in_its_thread(connection, LentReader.renew, connection._conn)

    async def aclose(self) -> None:
        """Close those that are idle now, and the others when they come back."""
        await self._pool.aclose()

    def leave(self) -> None:
        """Close them all, when there is no loop any more that they could be used in.

        A connection of ``aiosqlite`` can be closed in any loop, so it is done in a thread that has one.
        """
        self._pool._disown()
        left = list(self._made)
        if left:
            _workers.submit(lambda: asyncio.run(_close_all(left)))

    def _after_fork_in_child(self) -> None:
        _parked.append(self._made)
        self._made = set()

    async def _connect(self) -> aiosqlite.Connection:
        connection = aiosqlite.connect(
            reader_uri(self._options.path),
            uri=True,
            isolation_level=None,
            timeout=self._options.busy_timeout,
            cached_statements=256,
            factory=LentReader,
        )
        thread: Any = getattr(connection, "_thread", connection)
        thread.daemon = True  # aiosqlite's threads keep the interpreter from ending while a connection is open
        await connection
        self._made.add(connection)
        try:
            await _in_its_thread(connection, set_up_lent, connection._conn, self._options)
        except BaseException:
            await self._close(connection)
            raise
        return connection

    async def _close(self, connection: aiosqlite.Connection) -> None:
        self._made.discard(connection)
        await connection.close()


async def _in_its_thread(connection: Any, function: Callable[..., object], *args: Any) -> None:
    """Call a function where the connection may be used; ``aiosqlite`` has no public way to do that."""
    await connection._execute(function, *args)


async def _close_all(connections: list[aiosqlite.Connection]) -> None:
    for connection in connections:
        await connection.close()
