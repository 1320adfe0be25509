# ruff: noqa: D102,ARG002,ASYNC109
"""A stand-in for `AsyncPool`, with what the mail pools use of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["AsyncPool"]


class AsyncPool:
    """Connections in a list behind a semaphore."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        *,
        max_size: int = 10,
        min_size: int = 0,
        max_waiting: int | None = None,
        timeout: float = 30.0,
        max_lifetime: float = 3600.0,
        max_idle: float = 600.0,
        validate: Callable[[Any], Awaitable[object]] | None = None,
        validate_after: float = 0.5,
        close: Callable[[Any], Awaitable[object]] | None = None,
        breaker: Any = None,
        backoff: tuple[float, float] = (0.1, 30.0),
        leak_after: float | None = None,
        name: str | None = None,
    ) -> None:
        self._connect, self._validate, self._close = connect, validate, close
        self._timeout, self._max_idle = timeout, max_idle
        self._idle: list[tuple[Any, float, int]] = []
        self._lent: dict[int, int] = {}
        self._generation = 0
        self._places = asyncio.Semaphore(max_size)
        self._closing: set[asyncio.Task[Any]] = set()
        self.name = name

    async def acquire(self, timeout: float | None = None) -> Any:
        async with asyncio.timeout(self._timeout if timeout is None else timeout):
            await self._places.acquire()
        try:
            return await self._usable()
        except BaseException:
            self._places.release()
            raise

    async def _usable(self) -> Any:
        while self._idle:
            conn, since, generation = self._idle.pop()
            old = time.monotonic() - since > self._max_idle or generation != self._generation
            if not old and (self._validate is None or await self._validate(conn)):
                self._lent[id(conn)] = generation
                return conn
            self._end(conn)
        conn = await self._connect()
        self._lent[id(conn)] = self._generation
        return conn

    def release(self, conn: Any) -> None:
        generation = self._lent.pop(id(conn))
        if generation != self._generation:
            self._end(conn)
        else:
            self._idle.append((conn, time.monotonic(), generation))
        self._places.release()

    def discard(self, conn: Any) -> None:
        del self._lent[id(conn)]
        self._places.release()
        self._end(conn)

    def _end(self, conn: Any) -> None:
        if self._close is not None:
            task: asyncio.Task[Any] = asyncio.ensure_future(self._close(conn))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def warm(self) -> None:
        pass

    def drain(self) -> None:
        self._generation += 1

    def stats(self) -> Any:
        return None

    async def aclose(self, timeout: float = 5.0) -> None:
        while self._idle:
            self._end(self._idle.pop()[0])
        await asyncio.gather(*self._closing)
