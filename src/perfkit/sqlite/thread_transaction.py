"""What `Database.transaction` returns: a thread's way of driving a `Session`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from perfkit.sqlite.base import inside, many
from perfkit.sqlite.delivery import Gate
from perfkit.sqlite.reading import ALL, ONE, VALUE, columns_of
from perfkit.sqlite.session import COMMIT, ROLLBACK, Session

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from perfkit.sqlite.database import Database
    from perfkit.sqlite.sink import Result

    T = TypeVar("T")

__all__ = ["Transaction"]


class Transaction:
    """A transaction of one's own, for ``with``. Its methods are those of the database.

    What they read includes what the transaction has written so far.
    """

    __slots__ = ("_before", "_db", "_session", "_timeout")

    def __init__(self, db: Database, timeout: float | None) -> None:
        self._db = db
        self._timeout = timeout
        self._session: Session | None = None
        self._before: tuple[Session, ...] = ()

    def execute(self, sql: str, parameters: Any = ()) -> Result:
        """Execute one statement; see `Database.execute`. If it fails, the transaction goes on without it."""
        result: Result = self._do(sql, parameters)
        return result

    def executemany(self, sql: str, rows: Iterable[Any]) -> Result:
        """Execute one statement for many rows, all or none of them; see `Database.executemany`."""
        result: Result = self._do(*many(sql, rows))
        return result

    def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``fn`` with the connection, and undo what it did if it raises; see `Database.run`."""
        result: T = self._do(self._db._unit(fn), None)
        return result

    def fetch_all(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> list[Any]:
        """Return all rows of a query; see `Database.fetch_all`."""
        rows: list[Any] = self._do(ALL, (sql, parameters, columns_of(unpack)))
        return rows

    def fetch_one(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first row of a query, or None; see `Database.fetch_one`."""
        return self._do(ONE, (sql, parameters, columns_of(unpack)))

    def fetch_value(self, sql: str, parameters: Any = (), *, unpack: Sequence[str] = ()) -> Any:
        """Return the first column of the first row, or None; see `Database.fetch_value`."""
        return self._do(VALUE, (sql, parameters, columns_of(unpack)))

    def __enter__(self) -> Transaction:
        if self._session is not None:
            raise RuntimeError("a transaction is entered once: call transaction() again")
        self._db._ready()
        session, deadline = self._db._session(self._timeout)
        self._session = session
        begun = Gate()
        try:
            self._db._submit(begun, session, (begun, None, None, False), alone=True)
            if not begun.wait(deadline.remaining()):
                raise session.never_begun()  # noqa: TRY301 (it is to be left like any other that fails here)
            begun.outcome()
        except BaseException:
            session.abandon()
            self._db._has_ended(session)
            raise
        self._before = tuple(other for other in inside.get() if not other.is_over)  # an interrupt may have left some
        inside.set((*self._before, session))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None  # noqa: S101 (it was entered)
        inside.set(self._before)
        try:
            if kind is None:
                self._do(COMMIT, None)
            elif not self._session.is_over:
                self._do(ROLLBACK, None)
        finally:
            self._session.abandon()
            self._db._has_ended(self._session)

    def __del__(self) -> None:
        session = getattr(self, "_session", None)  # an interrupt may have left even `__init__` undone
        if session is not None:  # a generator in whose middle it is, and which was never finished
            session.abandon()
            self._db._has_ended(session)

    if not TYPE_CHECKING:  # whose users are told without it

        async def __aenter__(self):
            raise TypeError(
                "a Database's transaction() is entered by `with`; `async with` is for perfkit.AsyncDatabase"
            )

        async def __aexit__(self, *_): ...

    def _do(self, work: Any, argument: Any) -> Any:
        if self._session is None:
            raise RuntimeError("a transaction is used in `with db.transaction() as tx:`")
        gate = Gate()
        self._session.post((gate, work, argument, False))
        return gate.result()
