"""What `AsyncDatabase.stream` returns: a task's way of reading a `Scan`, one chunk ahead."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from perfkit.sqlite.scan import Scan

__all__ = ["AsyncStream"]


class AsyncStream:
    """The rows of a query, for ``async for``. Two chunks are in memory at most.

    It ends by itself with its last row. Left before, it ends when it is collected; to end it at once, use
    ``async with db.stream(...) as rows``, or ``contextlib.aclosing``.
    """

    def __init__(
        self, start: Callable[[], Coroutine[Any, Any, Scan]], run: Callable[..., Coroutine[Any, Any, Any]]
    ) -> None:
        self._start = start
        self._run = run
        self._scan: Scan | None = None
        self._rows: Iterator[Any] = iter(())
        self._ahead: asyncio.Task[list[Any]] | None = None
        self._is_over = False

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> Any:
        for row in self._rows:
            return row
        await self._turn_over()
        for row in self._rows:
            return row
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it now."""
        self._is_over = True
        self._rows = iter(())
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await asyncio.wait([ahead])
            ahead.cancelled() or ahead.exception()
        if self._scan is not None:
            await self._run(self._scan.close)

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        scan = getattr(self, "_scan", None)
        if scan is not None:
            scan.end(RuntimeError("the stream was left"))

    async def _turn_over(self) -> None:
        """Go to the next chunk, and have the one after it read."""
        if self._is_over:
            return
        if self._scan is None:
            self._scan = await self._start()
        if self._ahead is None:
            self._ahead = self._read(self._scan)
        rows = await asyncio.shield(self._ahead)
        self._ahead = self._read(self._scan) if rows else None
        self._is_over = not rows
        self._rows = iter(rows)

    def _read(self, scan: Scan) -> asyncio.Task[list[Any]]:
        task = asyncio.get_running_loop().create_task(self._run(scan.chunk))
        task.add_done_callback(_seen)
        return task


def _seen(task: asyncio.Task[Any]) -> None:
    """Look at an error: it comes up where the next row is asked for, if one is."""
    if not task.cancelled():
        task.exception()
