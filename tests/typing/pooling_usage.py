"""Pools as a typed program uses them. mypy checks this; nothing runs it."""

import sqlite3
from typing import assert_type

import perfkit
from perfkit.pooling import PoolStats


class Client:
    @classmethod
    async def connect(cls) -> "Client":
        return cls()

    async def ask(self, question: str) -> str:
        return question


async def is_alive(client: Client) -> bool:
    return await client.ask("ping") == "ping"


def threads() -> None:
    with perfkit.Pool(lambda: sqlite3.connect("notes.db"), validate=lambda db: db.execute("SELECT 1")) as pool:
        with pool.connection(timeout=5) as db:
            assert_type(db, sqlite3.Connection)
        assert_type(pool.acquire(), sqlite3.Connection)
        assert_type(pool.stats(), PoolStats)
        pool.connection().execute("SELECT 1")  # type: ignore[attr-defined]  # that is the lease
    perfkit.Pool(Client, maxsize=3)  # type: ignore[call-arg]  # it is max_size


async def tasks() -> None:
    breakers = [perfkit.CircuitBreaker(name=name) for name in ("first", "second")]
    async with perfkit.AsyncPool([Client.connect, Client.connect], validate=is_alive, breaker=breakers) as pool:
        async with pool.connection() as client:
            assert_type(client, Client)
        assert_type(await pool.acquire(), Client)
        pool.connection().ask("ping")  # type: ignore[attr-defined]  # that is the lease
    perfkit.AsyncPool(Client)  # type: ignore[arg-type]  # connect is to be awaited
