"""`AsyncDatabase`: asyncio's way of driving an `Engine`."""

from __future__ import annotations

import asyncio
import weakref
from contextlib import asynccontextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

from perfkit._base.offload import Offloader
from perfkit.sqlite.aio_stream import AsyncStream
from perfkit.sqlite.aio_transaction import AsyncTransaction
from perfkit.sqlite.backing_up import Backup
from perfkit.sqlite.base import CLOSED, NEW, DatabaseBase, backed_up, constructor, many, nothing
from perfkit.sqlite.delivery import ToLoop
from perfkit.sqlite.errors import DatabaseLoopError
from perfkit.sqlite.options import checked_seconds
from perfkit.sqlite.reading import ALL, ONE, VALUE

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    import aiosqlite

    from perfkit.sqlite.lending import AsyncLending
    from perfkit.sqlite.scan import Scan
    from perfkit.sqlite.sink import Query, Result

    T = TypeVar("T")

__all__ = ["AsyncDatabase"]

_workers = Offloader(max_workers=8, name="perfkit-sqlite")


class AsyncDatabase(DatabaseBase):
    """`Database` for asyncio: the same methods, arguments, guarantees and errors, awaited.

    No method blocks the event loop. What many tasks write at the same time is committed together, and answered by one
    wake-up of the loop; so are reads.

    Cancellation: an operation that has not begun never happens; one that has begun may be committed, whole. A cancelled
    query is interrupted. A cancelled `transaction` block is rolled back.

    Used by one event loop at a time: it binds to the running loop at its first use, and to another once that loop is
    closed; DatabaseLoopError else. A loop that is closed without `aclose` loses nothing that was acknowledged, and
    keeps no interpreter from ending.
    """

    _in_a_transaction = "`async with db.transaction() as tx` gave, such as `await tx.execute()`"

    if not TYPE_CHECKING:
        __init__ = constructor("AsyncDatabase")

    def _begin(self) -> None:
        self._deliver = ToLoop(self._options.max_pending)
        self._line = self._deliver.line
        self._max_pending = self._options.max_pending
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = -1  # that it runs in
        self._opening: asyncio.Task[None] | None = None
        self._lending: AsyncLending | None = None

    # -- opening and closing

    async def open(self) -> None:
        """Open the file, unless it is open; see `Database.open`."""
        self._refuse_writer()
        self._bind()
        self._check()
        while self._state == NEW:
            if self._opening is None:
                self._opening = asyncio.ensure_future(self._open())
                self._opening.add_done_callback(self._was_opened)
            await asyncio.shield(self._opening)
        self._check()

    async def aclose(self) -> None:
        """Carry out what was accepted, and close the file; see `Database.close`.

        Cancelled, it is closed all the same, in the background.
        """
        self._refuse_writer()
        self._bind()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._has_closed():
            self._deliver.turn_away(self._closed_error())
            lending, self._lending = self._lending, None
            if lending is not None:
                await lending.aclose()
        if self._engine is not None and self._state == CLOSED:
            closed = self._create_future()
            self._engine.close((closed, None, None, False))
            await closed

    async def __aenter__(self) -> AsyncDatabase:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    if not TYPE_CHECKING:  # whose users are told without it

        def __enter__(self):
            raise TypeError("an AsyncDatabase is entered by `async with`; `with` is for perfkit.Database")

        def __exit__(self, *_): ...

    # -- writing

    async def execute(self, sql: str, parameters: Any = ()) -> Result:
        """Execute one statement, and return its result once it is committed; see `Database.execute`."""
        # asyncio.get_running_loop() asks the system for the process each time (3.11), at a twentieth of the whole cost.
        # A thread runs one loop at a time: if this is the thread, and the loop runs, that is the one it runs.
        if (
            self._is_watched
            or get_ident() != self._thread
            or not self._loop.is_running()  # type: ignore[union-attr]  # bound, or it is watched
            or len(self._queue) >= self._max_pending
            or self._line
        ):
            await self._admitted()
        future = self._create_future()
        self._queue.append((future, sql, parameters, self._kinds[sql]))
        if self._writer.is_idle:
            self._writer.wake()
        result: Result = await future
        return result

    async def executemany(self, sql: str, rows: Iterable[Any]) -> Result:
        """Execute one statement for many rows: all of them, or none; see `Database.executemany`."""
        result: Result = await self._write(*many(sql, rows))
        return result

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``fn(connection)`` on the writer, as one atomic unit, and return what it returns; see `Database.run`.

        ``fn`` is an ordinary function and runs in the writer's thread.
        """
        result: T = await self._write(self._unit(fn), None)
        return result

    def transaction(self, timeout: float | None = 10.0) -> AsyncTransaction:
        """Make several statements one transaction: ``async with db.transaction() as tx:``; see `Database.transaction`.

        The block may await what it likes, while all other writes wait.
        """
        return AsyncTransaction(self, timeout)

    async def flush(self) -> None:
        """Wait until everything that was accepted before is committed; see `Database.flush`."""
        await self._write(nothing, None)

    # -- reading

    async def fetch_all(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> list[Any]:
        """Return all rows of a query; see `Database.fetch_all`."""
        rows: list[Any] = await self._read(ALL, sql, parameters, unpack)
        return rows

    async def fetch_one(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first row of a query, or None; see `Database.fetch_one`."""
        return await self._read(ONE, sql, parameters, unpack)

    async def fetch_value(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first column of the first row of a query, or None; see `Database.fetch_value`."""
        return await self._read(VALUE, sql, parameters, unpack)

    def stream(
        self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = (), max_age: float = 60.0
    ) -> AsyncStream:
        """Read a big result bit by bit: ``async for row in db.stream(sql): ...``; see `Database.stream`.

        Nothing happens before the first row is asked for; all errors but that of ``max_age`` come up there. While rows
        are used the next ones are read, so there are two megabytes or so in memory.
        """
        checked_seconds("max_age", max_age, above_zero=True)

        async def start() -> Scan:
            await self._readable()
            self._refuse_memory("stream()")
            return self._scan(sql, parameters, unpack, max_age)

        return AsyncStream(start, _workers.run)

    @asynccontextmanager
    async def connection(
        self,
        timeout: float | None = None,
    ) -> AsyncIterator[aiosqlite.Connection]:
        """Lend a connection that can't write: ``async with db.connection() as conn: ...``.

        ``conn`` is an ``aiosqlite.Connection``, for code that speaks to one already. At most ``readers`` of them are
        lent at a time, and at least one. What is left open on it is ended at the end of the block, after what may still
        be under way in its thread. See `Database.connection`.
        """
        await self._readable()
        self._refuse_memory("connection()")
        from perfkit.sqlite.lending import AsyncLending

        if self._lending is None:
            self._lending = AsyncLending(self._options, self.name)
            weakref.finalize(self, self._lending.leave).atexit = False
        is_lent = False
        try:
            async with self._lending.connection(timeout) as connection:
                is_lent = True
                yield connection
        except TimeoutError as error:
            if not is_lent:
                self._note_readers(error)
            raise

    # -- upkeep

    async def maintain(self) -> None:
        """Look after the file now; see `Database.maintain`."""
        await self._ready()
        await self._write(self._writer.upkeep.everything, None, alone=True)

    async def backup(self, path: str | os.PathLike[str], *, replace: bool = False) -> str:
        """Copy the database to another file, at one moment's state; see `Database.backup`."""
        backup = Backup(self._options, path, replace=replace)
        await self._ready()
        if self._options.is_memory:
            made: str = await self._write(backed_up(backup), None, alone=True)
            return made
        return await _workers.run(backup.from_file)

    # -- how calls get there

    async def _write(self, work: Any, argument: Any, *, alone: bool = False) -> Any:
        await self._admitted()
        future = self._create_future()
        self._submit(future, work, argument, alone)
        return await future

    async def _read(self, how: Query, sql: str, parameters: Any, unpack: Sequence[str]) -> Any:
        if (
            self._is_watched or get_ident() != self._thread or not self._loop.is_running()  # type: ignore[union-attr]  # as in execute()
        ):
            await self._readable()
        future = self._create_future()
        self._ask(future, how, sql, parameters, unpack)
        return await future

    async def _ready(self) -> None:
        """Make sure that the file is open, and that this call may use it."""
        self._refuse_writer()
        self._bind()
        if self._state == NEW:
            await self.open()
        self._check()
        self._refuse_nesting()

    async def _readable(self) -> None:
        """As `_ready`; but readers don't wait for a transaction."""
        self._bind()
        if self._state == NEW:
            await self.open()
        self._check()
        if not self._options.readers:
            self._refuse_nesting()

    async def _admitted(self) -> None:
        """Wait until there is room in the queue."""
        await self._ready()
        if len(self._queue) < self._max_pending and not self._line:
            return
        self._opened_engine().waits += 1
        room: asyncio.Future[None] = self._create_future()
        self._line.append(room)
        try:
            await room
        except asyncio.CancelledError:
            self._deliver.coming.discard(room)
            self._deliver.admit()  # if it was let in, somebody else may have the room
            raise
        self._deliver.coming.discard(room)

    def _bind(self) -> None:
        """Belong to the running loop."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            self._thread = get_ident()
            return
        if self._loop is not None and not self._loop.is_closed():
            raise DatabaseLoopError(
                f"{self!r} is in use by another event loop: make an AsyncDatabase in each loop. They share the file",
                path=self.path,
            )
        self._loop, self._thread = loop, get_ident()
        self._create_future = loop.create_future
        lending, self._opening, self._lending = self._lending, None, None
        if lending is not None:
            lending.leave()
        self._deliver.serve(loop)

    def _after_fork_in_child(self) -> None:
        super()._after_fork_in_child()
        self._loop = None  # it may be called in a loop of the child's, to be told that it was forked

    async def _open(self) -> None:
        opened = self._create_future()
        engine = self._start(self._deliver, opened)
        try:
            await opened
        except BaseException:
            engine.close()  # cancelled with its loop: the thread may be about to open the file all the same
            raise
        self._writer, self._queue = engine.writer, engine.writer.queue.waiting
        self._deliver.waiting = self._queue
        self._has_opened(engine)

    def _was_opened(self, opening: asyncio.Task[None]) -> None:
        """Let the next caller try again, if it failed; who awaits it has the error."""
        if self._opening is opening:
            self._opening = None
        if not opening.cancelled():
            opening.exception()
