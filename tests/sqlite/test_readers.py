"""Queries leave nothing behind: not when they fail, not when they are no queries."""

import asyncio
import gc
import sqlite3
import weakref
from contextlib import closing

import pytest

import perfkit
from perfkit import errors


@pytest.fixture
def db(tmp_path):
    with perfkit.Database(tmp_path / "app.db", readers=1) as made:
        made.execute("CREATE TABLE t (x)")
        for value in ("x'c1'", "CAST(x'ff' AS TEXT)", "'a'", "'b'"):
            made.execute(f"INSERT INTO t VALUES ({value})")
        yield made


FAILING = {
    "text that isn't UTF-8": lambda db: db.fetch_all("SELECT x FROM t"),
    "one that can't be unpacked": lambda db: db.fetch_one("SELECT x FROM t", unpack=("x",)),
    "many that can't be unpacked": lambda db: db.fetch_all("SELECT x FROM t", unpack=("x",)),
    "a value that can't be unpacked": lambda db: db.fetch_value("SELECT x FROM t", unpack=("x",)),
    "no such column": lambda db: db.fetch_value("SELECT x FROM t", unpack=("y",)),
}


@pytest.mark.parametrize("fetch", FAILING.values(), ids=FAILING)
def test_a_query_that_failed_is_not_read_on_from(db, fetch):
    with pytest.raises((sqlite3.OperationalError, ValueError)) as kept:
        fetch(db)
    db.execute("INSERT INTO t VALUES (1)")
    assert db.fetch_value("SELECT count(*) FROM t") == 5, f"as it was before {kept}"


@pytest.mark.parametrize("fetch", FAILING.values(), ids=FAILING)
def test_a_task_s_query_that_failed_is_not_read_on_from(db, fetch):
    async def main():
        async with perfkit.AsyncDatabase(db.path, readers=1) as other:
            [kept] = await asyncio.gather(fetch(other), return_exceptions=True)
            await other.execute("INSERT INTO t VALUES (1)")
            assert await other.fetch_value("SELECT count(*) FROM t") == 5, f"as it was before {kept!r}"

    asyncio.run(main())


def test_an_error_is_gone_with_the_one_who_caught_it(db):
    class Mine(Exception):
        pass

    def fn(connection):
        raise Mine

    gc.disable()
    try:
        with pytest.raises(Mine) as caught:
            db.run(fn)
        error = weakref.ref(caught.value)
        del caught
        db.flush()  # the writer has forgotten the batch before
        assert error() is None, "the error and the gate it came by keep each other alive"
    finally:
        gc.enable()


@pytest.mark.parametrize("sql", ["BEGIN", "begin immediate", "SAVEPOINT a"])
def test_a_query_begins_no_transaction(db, sql):
    with pytest.raises((errors.TransactionRefused, sqlite3.OperationalError)):
        db.fetch_all(sql)
    before = db.fetch_value("SELECT count(*) FROM t")
    db.execute("INSERT INTO t VALUES (1)")
    assert db.fetch_value("SELECT count(*) FROM t") == before + 1


WRITING = [
    "INSERT INTO t VALUES (2)",
    "INSERT INTO t VALUES (2) RETURNING x",
    "/* */ delete FROM t",
    "DROP TABLE t",
    "CREATE TEMP TABLE u (x)",
    "WITH v AS (SELECT 2) INSERT INTO t SELECT * FROM v",
]


@pytest.mark.parametrize("sql", WRITING)
@pytest.mark.parametrize("options", [{}, {"readers": 0}, {"path": ":memory:"}], ids=["file", "no readers", "memory"])
def test_a_query_does_not_write(tmp_path, options, sql):
    with perfkit.Database(**{"path": tmp_path / "app.db", **options}) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.OperationalError):
            db.fetch_all(sql)
        with db.transaction() as tx, pytest.raises(sqlite3.OperationalError, match=r"use execute\(\)"):
            tx.fetch_all(sql)
        assert (
            db.fetch_value("WITH v AS (SELECT replace(x, 1, 7) AS x FROM t WHERE x = ?) SELECT x FROM v", (1,)) == "7"
        )


def test_any_query_is_one_in_memory_too():
    with perfkit.Database(":memory:") as db:
        db.execute("CREATE TABLE t (x)")
        assert db.fetch_all("SELECT x FROM t") == []
        assert db.fetch_value("  -- with a comment\n VALUES (1)") == 1
        assert db.fetch_value("PRAGMA user_version") == 0
        assert db.fetch_all("EXPLAIN INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.OperationalError, match="syntax error"):
            db.fetch_all("SELCT 1")


def test_a_call_that_ends_with_an_odd_error_leaves_none_unanswered(tmp_path):
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} {two}")

    def fn(connection):
        try:
            connection.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
        except sqlite3.IntegrityError as error:
            raise Odd(1, 2) from error

    async def main():
        async with perfkit.AsyncDatabase(tmp_path / "app.db") as db:
            await db.execute("CREATE TABLE t (x UNIQUE)")
            await db.execute("INSERT INTO t VALUES (1)")
            block = db.transaction()
            tx = await block.__aenter__()
            calls = asyncio.gather(tx.run(fn), tx.execute("SELECT 1"), return_exceptions=True)
            assert [type(outcome) for outcome in await asyncio.wait_for(calls, 30)] == [Odd, Odd]
            with pytest.raises(Odd):
                await block.__aexit__(None, None, None)

    asyncio.run(main())
    with closing(sqlite3.connect(tmp_path / "app.db")) as plain:
        assert plain.execute("SELECT x FROM t").fetchall() == [(1,)]
