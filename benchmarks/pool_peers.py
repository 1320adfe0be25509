"""The pools that `bench_pooling` measures beside perfkit's, each over connections that do nothing.

What a library asks of its own kind of connection is answered in the cheapest way, so what is measured is its pool.
"""

import os
from typing import Any

import aiosqlitepool
import generic_connection_pool.asyncio
import generic_connection_pool.threading
import psycopg_pool as psycopg
import redis
import redis.asyncio
import sqlalchemy.pool
from sqlalchemy.util import greenlet_spawn

__all__ = [
    "Conn",
    "aiosqlite_pool",
    "generic_apool",
    "generic_pool",
    "greenlet_spawn",
    "psycopg_apool",
    "psycopg_pool",
    "redis_apool",
    "redis_pool",
    "sqlalchemy_apool",
    "sqlalchemy_pool",
]

_PATIENCE = 60.0  # seconds; nobody waits so long


class Conn:
    """A connection to nothing."""

    def rollback(self) -> None: ...

    def close(self) -> None: ...


def sqlalchemy_pool(size: int) -> Any:
    return sqlalchemy.pool.QueuePool(Conn, pool_size=size, max_overflow=0, timeout=_PATIENCE)  # type: ignore[arg-type]


def sqlalchemy_apool(size: int) -> Any:
    made: Any = sqlalchemy.pool.AsyncAdaptedQueuePool
    return made(Conn, pool_size=size, max_overflow=0, timeout=_PATIENCE)


class _Protocol:
    transaction_status = 0  # none is open


class _Psycopg:
    """What psycopg_pool looks at in a psycopg.Connection."""

    closed = False
    pgconn = _Protocol()
    _pool: Any = None

    @classmethod
    def connect(cls, *_: Any, **__: Any) -> "_Psycopg":
        return cls()

    def close(self) -> None: ...

    def __enter__(self) -> "_Psycopg":
        return self

    def __exit__(self, *_: object) -> None: ...


class _AsyncPsycopg(_Psycopg):
    @classmethod
    async def connect(cls, *_: Any, **__: Any) -> "_AsyncPsycopg":  # type: ignore[override]
        return cls()

    async def close(self) -> None:  # type: ignore[override]
        ...

    async def __aenter__(self) -> "_AsyncPsycopg":
        return self

    async def __aexit__(self, *_: object) -> None: ...


def psycopg_pool(size: int) -> Any:
    kind: Any = _Psycopg
    pool: Any = psycopg.ConnectionPool(
        "", connection_class=kind, min_size=size, max_size=size, timeout=_PATIENCE, open=True
    )
    pool.wait()
    return pool


async def psycopg_apool(size: int) -> Any:
    kind: Any = _AsyncPsycopg
    pool: Any = psycopg.AsyncConnectionPool(
        "", connection_class=kind, min_size=size, max_size=size, timeout=_PATIENCE, open=False
    )
    await pool.open(wait=True)
    return pool


class _Redis:
    """What redis-py's pools call of a connection."""

    def __init__(self, **_: Any) -> None:
        self.pid = os.getpid()

    def connect(self) -> None: ...

    def can_read(self, *_: Any) -> bool:
        return False

    def disconnect(self, *_: Any) -> None: ...

    def should_reconnect(self) -> bool:
        return False

    def set_re_auth_token(self, *_: Any) -> None: ...

    def re_auth(self) -> None: ...


class _AsyncRedis(_Redis):
    is_connected = True

    async def connect(self) -> None:  # type: ignore[override]
        ...

    async def can_read(self, *_: Any) -> bool:  # type: ignore[override]
        return False

    async def can_read_destructive(self) -> bool:
        return False

    async def disconnect(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
        ...

    async def re_auth(self) -> None:  # type: ignore[override]
        ...

    def reset_should_reconnect(self) -> None: ...


def redis_pool(size: int) -> Any:
    kind: Any = _Redis
    return redis.BlockingConnectionPool(max_connections=size, timeout=int(_PATIENCE), connection_class=kind)


def redis_apool(size: int) -> Any:
    kind: Any = _AsyncRedis
    return redis.asyncio.BlockingConnectionPool(max_connections=size, timeout=int(_PATIENCE), connection_class=kind)


class _Manager(generic_connection_pool.threading.BaseConnectionManager[str, Conn]):
    def create(self, *_: Any, **__: Any) -> Conn:
        return Conn()

    def dispose(self, *_: Any, **__: Any) -> None: ...


class _AsyncManager(generic_connection_pool.asyncio.BaseConnectionManager[str, Conn]):
    async def create(self, *_: Any, **__: Any) -> Conn:
        return Conn()

    async def dispose(self, *_: Any, **__: Any) -> None: ...


def generic_pool(size: int) -> Any:
    kind: Any = generic_connection_pool.threading.ConnectionPool
    return kind(_Manager(), acquire_timeout=_PATIENCE, max_size=size, total_max_size=size)


def generic_apool(size: int) -> Any:
    kind: Any = generic_connection_pool.asyncio.ConnectionPool
    return kind(_AsyncManager(), acquire_timeout=_PATIENCE, max_size=size, total_max_size=size)


class _Cursor:
    async def fetchone(self) -> tuple[int]:
        return (1,)

    async def close(self) -> None: ...


class _Sqlite:
    """What aiosqlitepool calls of an aiosqlite.Connection."""

    async def execute(self, *_: Any) -> _Cursor:
        return _Cursor()

    async def rollback(self) -> None: ...

    async def commit(self) -> None: ...

    async def close(self) -> None: ...


def aiosqlite_pool(size: int) -> Any:
    async def connect() -> Any:
        return _Sqlite()

    return aiosqlitepool.SQLiteConnectionPool(connect, pool_size=size, acquisition_timeout=int(_PATIENCE))
