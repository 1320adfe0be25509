"""What `AsyncDatabase.transaction` returns: a task's way of driving a `Session`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from perfkit.sqlite.base import inside, many
from perfkit.sqlite.reading import ALL, ONE, VALUE, columns_of
from perfkit.sqlite.session import COMMIT, ROLLBACK, Session

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from perfkit.sqlite.aio import AsyncDatabase
    from perfkit.sqlite.sink import Query, Result

    T = TypeVar("T")

__all__ = ["AsyncTransaction"]


class AsyncTransaction:
    """A transaction of one's own, for ``async with``. Its methods are those of the database, awaited one by one.

    What they read includes what the transaction has written so far.
    """

    __slots__ = ("_before", "_db", "_session", "_timeout")

    def __init__(self, db: AsyncDatabase, timeout: float | None) -> None:
        self._db = db
        self._timeout = timeout
        self._session: Session | None = None
        self._before: tuple[Session, ...] = ()

    async def execute(self, sql: str, parameters: Any = ()) -> Result:
        """Execute one statement; see `AsyncDatabase.execute`. If it fails, the transaction goes on without it."""
        result: Result = await self._post(sql, parameters)
        return result

    async def executemany(self, sql: str, rows: Iterable[Any]) -> Result:
        """Execute one statement for many rows, all or none of them; see `AsyncDatabase.executemany`."""
        result: Result = await self._post(*many(sql, rows))
        return result

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``fn`` with the connection, and undo what it did if it raises; see `AsyncDatabase.run`."""
        result: T = await self._post(self._db._unit(fn), None)
        return result

    async def fetch_all(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> list[Any]:
        """Return all rows of a query; see `AsyncDatabase.fetch_all`."""
        rows: list[Any] = await self._ask(ALL, sql, parameters, unpack)
        return rows

    async def fetch_one(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first row of a query, or None; see `AsyncDatabase.fetch_one`."""
        return await self._ask(ONE, sql, parameters, unpack)

    async def fetch_value(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first column of the first row, or None; see `AsyncDatabase.fetch_value`."""
        return await self._ask(VALUE, sql, parameters, unpack)

    async def __aenter__(self) -> AsyncTransaction:
        if self._session is not None:
            raise RuntimeError("a transaction is entered once: call transaction() again")
        await self._db._ready()
        session, deadline = self._db._session(self._timeout)
        self._session = session
        begun = asyncio.get_running_loop().create_future()
        try:
            self._db._submit(begun, session, (begun, None, None, False), alone=True)
            done, _ = await asyncio.wait([begun], timeout=deadline.remaining())
            if not done:
                raise session.never_begun()  # noqa: TRY301 (it is to be left like any other that fails here)
            begun.result()
        except BaseException:
            begun.cancel()
            session.abandon()
            self._db._has_ended(session)
            raise
        self._before = tuple(other for other in inside.get() if not other.is_over)  # an interrupt may have left some
        inside.set((*self._before, session))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None  # noqa: S101 (it was entered)
        inside.set(self._before)
        try:
            if kind is None:
                await self._post(COMMIT, None)
            elif not self._session.is_over:
                await self._post(ROLLBACK, None)
        finally:
            self._session.abandon()
            self._db._has_ended(self._session)

    def __del__(self) -> None:
        session = getattr(self, "_session", None)  # an interrupt may have left even `__init__` undone
        if session is not None:  # a block that was never left, because its loop was closed
            session.abandon()
            self._db._has_ended(session)

    if not TYPE_CHECKING:  # whose users are told without it

        def __enter__(self):
            raise TypeError("an AsyncDatabase's transaction() is entered by `async with`")

        def __exit__(self, *_): ...

    def _ask(self, how: Query, sql: str, parameters: Any, unpack: Sequence[str]) -> asyncio.Future[Any]:
        return self._post(how, (sql, parameters, columns_of(unpack)))

    def _post(self, work: Any, argument: Any) -> asyncio.Future[Any]:
        if self._session is None:
            raise RuntimeError("a transaction is used in `async with db.transaction() as tx:`")
        future = asyncio.get_running_loop().create_future()
        self._session.post((future, work, argument, False))
        return future
