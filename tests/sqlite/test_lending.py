"""What `connection()` lends: connections that only read, few of them, and left as they were."""

import asyncio
import sqlite3

import aiosqlite
import pytest

import perfkit
from perfkit import errors


@pytest.fixture
def path(tmp_path):
    with perfkit.Database(tmp_path / "app.db") as db:
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [[1], [2]])
    return tmp_path / "app.db"


def test_a_lent_connection_only_reads(path):
    with perfkit.Database(path) as db:
        with db.connection() as conn:
            assert type(conn) is sqlite3.Connection
            assert [row["x"] for row in conn.execute("SELECT x FROM t")] == [1, 2]
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                conn.execute("DELETE FROM t")
        assert db.execute("DELETE FROM t").rowcount == 2


def test_a_lent_aiosqlite_connection_only_reads(path):
    async def main():
        async with perfkit.AsyncDatabase(path) as db:
            async with db.connection() as conn:
                assert type(conn) is aiosqlite.Connection
                assert [row["x"] for row in await conn.execute_fetchall("SELECT x FROM t")] == [1, 2]
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    await conn.execute("DELETE FROM t")
            assert (await db.execute("DELETE FROM t")).rowcount == 2

    asyncio.run(main())


def test_what_was_left_open_is_ended(path):
    with perfkit.Database(path, readers=1) as db:
        with db.connection() as conn:
            conn.execute("BEGIN")
            assert conn.execute("SELECT count(*) FROM t").fetchone()[0] == 2
        db.execute("INSERT INTO t VALUES (3)")
        with db.connection() as again:
            assert again is conn
            assert again.execute("SELECT count(*) FROM t").fetchone()[0] == 3


def test_what_was_left_open_is_ended_by_tasks_too(path):
    async def main():
        async with perfkit.AsyncDatabase(path, readers=1) as db:
            async with db.connection() as conn:
                await conn.execute("BEGIN")
                await conn.execute_fetchall("SELECT x FROM t")
            await db.execute("INSERT INTO t VALUES (3)")
            async with db.connection() as again:
                assert again is conn
                assert len(await again.execute_fetchall("SELECT x FROM t")) == 3

    asyncio.run(main())


@pytest.mark.parametrize(("readers", "lent"), [(0, 1), (1, 1), (2, 2)])
def test_as_many_are_lent_as_there_are_readers(path, readers, lent):
    with perfkit.Database(path, readers=readers, name=f"app {readers}") as db:
        blocks = [db.connection() for _ in range(lent)]
        for block in blocks:
            block.__enter__()
        with pytest.raises(errors.PoolTimeout), db.connection(timeout=0):
            raise AssertionError("one too many")
        [pool] = [each.stats for each in perfkit.stats() if each.name == f"app {readers} (lent)"]
        assert (pool.in_use, pool.max_size) == (lent, lent)
        for block in blocks:
            block.__exit__(None, None, None)


def test_they_end_with_the_database(path, tmp_path):
    async def main():
        async with perfkit.AsyncDatabase(path) as db, db.connection() as conn:
            await conn.execute_fetchall("SELECT x FROM t")
        with pytest.raises(errors.DatabaseClosed):
            async with db.connection():
                raise AssertionError("it is closed")
        with pytest.raises(ValueError, match="no active connection"):
            await conn.execute("SELECT 1")

    asyncio.run(main())
    assert [each.name for each in tmp_path.iterdir()] == ["app.db"]


def test_none_is_lent_from_memory():
    with (
        perfkit.Database(":memory:") as db,
        pytest.raises(errors.DatabaseError, match="needs a file"),
        db.connection(),
    ):
        raise AssertionError("nobody else sees what is in there")
