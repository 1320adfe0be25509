# ruff: noqa: D102,ARG002
"""A stand-in for `Pool`, with what the mail pools use of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Pool"]


class Pool:
    """Connections in a list under a lock."""

    def __init__(
        self,
        connect: Callable[[], Any],
        *,
        max_size: int = 10,
        min_size: int = 0,
        max_waiting: int | None = None,
        timeout: float = 30.0,
        max_lifetime: float = 3600.0,
        max_idle: float = 600.0,
        validate: Callable[[Any], object] | None = None,
        validate_after: float = 0.5,
        close: Callable[[Any], object] | None = None,
        breaker: Any = None,
        backoff: tuple[float, float] = (0.1, 30.0),
        leak_after: float | None = None,
        name: str | None = None,
    ) -> None:
        self._connect, self._validate, self._close = connect, validate, close
        self._timeout, self._max_size, self._max_idle = timeout, max_size, max_idle
        self._idle: list[tuple[Any, float, int]] = []
        self._lent: dict[int, int] = {}
        self._size = self._generation = 0
        self._changed = threading.Condition()
        self.name = name

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Any]:
        conn = self.acquire(timeout)
        try:
            yield conn
        except Exception:
            self.release(conn)
            raise
        except BaseException:
            self.discard(conn)
            raise
        self.release(conn)

    def acquire(self, timeout: float | None = None) -> Any:
        until = time.monotonic() + (self._timeout if timeout is None else timeout)
        while (conn := self._try(until)) is None:
            pass
        return conn

    def _try(self, until: float) -> Any:
        with self._changed:
            while not self._idle and self._size >= self._max_size:
                if not self._changed.wait(until - time.monotonic()):
                    raise TimeoutError("no connection came free")
            if self._idle:
                conn, since, generation = self._idle.pop()
                self._lent[id(conn)] = generation
            else:
                conn, since, generation = None, time.monotonic(), self._generation
                self._size += 1
        if conn is None:
            try:
                conn = self._connect()
            except BaseException:
                self._gone()
                raise
            self._lent[id(conn)] = generation
            return conn
        old = time.monotonic() - since > self._max_idle or generation != self._generation
        if old or (self._validate is not None and not self._validate(conn)):
            self.discard(conn)
            return None
        return conn

    def release(self, conn: Any) -> None:
        generation = self._lent.pop(id(conn))
        if generation != self._generation:
            self._lent[id(conn)] = generation
            self.discard(conn)
            return
        with self._changed:
            self._idle.append((conn, time.monotonic(), generation))
            self._changed.notify()

    def discard(self, conn: Any) -> None:
        del self._lent[id(conn)]
        self._gone()
        if self._close is not None:
            self._close(conn)

    def _gone(self) -> None:
        with self._changed:
            self._size -= 1
            self._changed.notify()

    def warm(self) -> None:
        pass

    def drain(self) -> None:
        with self._changed:
            self._generation += 1

    def stats(self) -> Any:
        return None

    def close(self, timeout: float = 5.0) -> None:
        while self._idle:
            conn, _, generation = self._idle.pop()
            self._lent[id(conn)] = generation
            self.discard(conn)
