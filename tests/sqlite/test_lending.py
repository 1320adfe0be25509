"""What `connection()` lends: connections that only read, few of them, and left as they were."""

import asyncio
import sqlite3
import sys

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
            assert isinstance(conn, sqlite3.Connection)
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


def open_a_cursor(conn):
    kept = conn.execute("SELECT x FROM t")
    next(kept)
    return kept


def open_a_cursor_of_ones_own(conn):
    kept = conn.cursor(type("Cursor", (sqlite3.Cursor,), {}))
    kept.execute("SELECT x FROM t").fetchone()
    return kept


def read_in_a_transaction(conn):
    conn.execute("BEGIN")
    return open_a_cursor(conn)


def read_many_at_a_time(conn):
    return [open_a_cursor(conn) for _ in range(500)]


def set_its_rows(conn):
    conn.row_factory = lambda cursor, row: "changed"
    conn.text_factory = bytes


def have_it_begin(conn):
    conn.isolation_level = "EXCLUSIVE"
    if sys.version_info >= (3, 12):
        conn.autocommit = False
    return open_a_cursor(conn)


LEFT = [
    open_a_cursor,
    open_a_cursor_of_ones_own,
    read_in_a_transaction,
    read_many_at_a_time,
    set_its_rows,
    have_it_begin,
]


@pytest.mark.parametrize("leave", LEFT)
def test_nothing_of_a_borrower_is_left(path, leave):
    with perfkit.Database(path, readers=1) as db:
        with db.connection() as conn:
            kept = leave(conn)
        db.execute("INSERT INTO t VALUES ('ä')")
        db.maintain()
        assert db.stats().wal_bytes == 0, f"it is read from still: {kept}"
        with db.connection() as again:
            assert again is conn
            assert [row["x"] for row in again.execute("SELECT x FROM t")] == [1, 2, "ä"]
            assert again.isolation_level is None
            assert not again.in_transaction


@pytest.mark.parametrize("leave", LEFT)
def test_nothing_of_a_borrowing_task_is_left(path, leave):
    async def main():
        async with perfkit.AsyncDatabase(path, readers=1) as db:
            async with db.connection() as conn:
                kept = await conn._execute(leave, conn._conn)
            await db.execute("INSERT INTO t VALUES ('ä')")
            async with db.connection() as again:
                assert again is conn
                await db.maintain()
                assert db.stats().wal_bytes == 0, f"it is read from still: {kept}"
                assert [row["x"] for row in await again.execute_fetchall("SELECT x FROM t")] == [1, 2, "ä"]
                assert again.isolation_level is None
                assert not again.in_transaction

    asyncio.run(main())


def test_what_is_under_way_ends_before_the_next_one(path):
    """The borrower gave up waiting, and the statement goes on in the connection's thread."""
    numbers = "WITH RECURSIVE n(x) AS (VALUES(1) UNION ALL SELECT x + 1 FROM n LIMIT 300000)"

    async def main():
        async with perfkit.AsyncDatabase(path, readers=1) as db:
            async with db.connection() as conn:
                conn.row_factory = None
                given_up = asyncio.ensure_future(conn.execute(f"{numbers} SELECT max(n.x), t.x FROM n, t"))
                await asyncio.sleep(0)
                given_up.cancel()
            await db.execute("INSERT INTO t VALUES (3)")
            async with db.connection() as again:
                assert again is conn
                await db.maintain()
                assert db.stats().wal_bytes == 0
                assert [row["x"] for row in await again.execute_fetchall("SELECT x FROM t")] == [1, 2, 3]

    asyncio.run(main())


WRITES = [
    lambda conn: conn.execute("INSERT INTO t VALUES (3)"),
    lambda conn: conn.executemany("INSERT INTO t VALUES (?)", [(3,)]),
    lambda conn: conn.executescript("DELETE FROM t;"),
    lambda conn: conn.cursor().execute("CREATE TABLE u (x)"),
    lambda conn: conn.execute("BEGIN IMMEDIATE"),
    lambda conn: conn.blobopen("b", "x", 1),
]


@pytest.mark.parametrize("write", WRITES)
def test_who_writes_is_told_what_to_use(path, write):
    with perfkit.Database(path) as db:
        db.execute("CREATE TABLE b (x)")
        db.execute("INSERT INTO b VALUES (zeroblob(9))")
        with db.connection() as conn, pytest.raises(sqlite3.OperationalError) as caught:
            write(conn)
    [note] = caught.value.__notes__
    assert "query-only" in note
    assert "execute(), run() or transaction()" in note


def test_a_task_that_writes_is_told_what_to_use(path):
    async def main():
        async with perfkit.AsyncDatabase(path) as db, db.connection() as conn:
            with pytest.raises(sqlite3.OperationalError) as caught:
                await conn.execute("INSERT INTO t VALUES (3)")
            [note] = caught.value.__notes__
            assert "query-only" in note

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


def test_a_connection_that_was_left_by_an_exception_reads_no_more(path):
    kept = []

    async def fail(db):
        async with db.connection() as conn:
            kept.append(await conn.execute("SELECT x FROM t"))
            await kept[0].fetchone()
            raise LookupError("found")

    async def main():
        async with perfkit.AsyncDatabase(path, readers=1) as db:
            with pytest.raises(LookupError):
                await fail(db)
            await db.execute("INSERT INTO t VALUES (3)")
            async with db.connection() as again:
                await db.maintain()
                assert db.stats().wal_bytes == 0
                assert len(await again.execute_fetchall("SELECT x FROM t")) == 3

    asyncio.run(main())


def test_what_fails_when_it_is_made_ready_is_told(path):
    def refuse(connection):
        if made:
            raise TypeError("not ready")
        made.append(connection)

    made = []
    with perfkit.Database(path, readers=0, on_connect=refuse) as db:
        with pytest.raises(TypeError, match="not ready"), db.connection():
            raise AssertionError("it was lent")
        assert db.fetch_value("SELECT count(*) FROM t") == 2


def test_one_that_its_borrower_closed_is_not_lent_again(path, caplog):
    with perfkit.Database(path, readers=1) as db:
        with db.connection() as conn:
            kept = conn.execute("SELECT x FROM t")
            conn.close()
            conn.close()
        db.execute("INSERT INTO t VALUES (3)")
        db.maintain()
        assert db.stats().wal_bytes == 0, f"it is read from still: {kept}"
        with db.connection() as again:
            assert again is not conn
            assert again.execute("SELECT count(*) FROM t").fetchone()[0] == 3
    assert "reset() failed" in caplog.text
