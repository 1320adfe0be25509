"""What fails after it has written, and functions that go on, keep or call what they had better not."""

import asyncio
import sqlite3

import pytest

import perfkit
from perfkit import errors
from perfkit.sqlite.values import _RECORD

SCHEMA = "CREATE TABLE t (x UNIQUE)"
NOT_UTF_8 = "INSERT INTO t VALUES (CAST(x'ff' AS TEXT)) RETURNING x"


@pytest.fixture
def db(tmp_path):
    with perfkit.Database(tmp_path / "a.db", migrations=[SCHEMA], readers=1, busy_timeout=0.5) as db:
        yield db


def count(db):
    return db.fetch_value("SELECT count(*) FROM t")


def test_a_statement_whose_rows_cannot_be_made_leaves_nothing(db):
    with pytest.raises(sqlite3.OperationalError, match="UTF-8"):
        db.execute(NOT_UTF_8)
    db.execute("INSERT INTO t VALUES (1)")
    assert count(db) == 1


def test_nor_do_many_that_share_a_transaction(tmp_path):
    async def main():
        async with perfkit.AsyncDatabase(tmp_path / "a.db", migrations=["CREATE TABLE t (x)"]) as db:
            good = [db.execute("INSERT INTO t VALUES (?)", (n,)) for n in range(5)]
            bad = [db.execute(NOT_UTF_8) for _ in range(5)]
            done = await asyncio.gather(*good, *bad, return_exceptions=True)
            assert [isinstance(each, sqlite3.OperationalError) for each in done] == [False] * 5 + [True] * 5
            assert await db.fetch_value("SELECT count(*) FROM t") == 5

    asyncio.run(main())


def goes_on_without_its_transaction(conn):
    conn.execute("INSERT INTO t VALUES (2)")
    try:
        conn.execute("INSERT OR ROLLBACK INTO t VALUES (1)")
    except sqlite3.IntegrityError:
        conn.execute("INSERT INTO t VALUES (3)")


@pytest.mark.parametrize("others", [0, 2])
def test_a_function_that_goes_on_when_its_transaction_is_lost(tmp_path, others):
    async def main():
        async with perfkit.AsyncDatabase(tmp_path / "a.db", migrations=[SCHEMA]) as db:
            await db.execute("INSERT INTO t VALUES (1)")
            more = [db.execute("INSERT INTO t VALUES (?)", (10 + n,)) for n in range(others)]
            *fine, unit = await asyncio.gather(*more, db.run(goes_on_without_its_transaction), return_exceptions=True)
            assert not any(isinstance(each, Exception) for each in fine)
            assert isinstance(unit, errors.TransactionRefused)
            assert "rolled the transaction back" in str(unit)
            assert await db.fetch_value("SELECT count(*) FROM t") == 1 + others

    asyncio.run(main())


def test_a_function_in_a_transaction_that_goes_on_when_that_is_lost(db):
    db.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(errors.TransactionRefused, match="rolled the transaction back"), db.transaction() as tx:
        tx.run(goes_on_without_its_transaction)
    assert count(db) == 1


@pytest.mark.parametrize("how", ["raises", "returns"])
def test_a_cursor_that_a_function_leaves_open_is_closed(db, how, tmp_path):
    """Or the writer would see that moment's state for ever, and could not write once another process has."""
    kept = []

    def fn(conn):
        for _ in range(3):
            cursor = conn.execute("SELECT 1 UNION SELECT 2")
            next(cursor)
            kept.append(cursor)
        if how == "raises":
            raise KeyError("x")
        return [cursor]

    if how == "raises":
        with pytest.raises(KeyError):
            db.run(fn)
    else:
        kept += db.run(fn)
    other = sqlite3.connect(tmp_path / "a.db")
    with other:
        other.execute("INSERT INTO t VALUES (1)")
    other.close()
    db.execute("INSERT INTO t VALUES (2)")
    assert count(db) == 2
    with pytest.raises(sqlite3.ProgrammingError):
        kept[0].fetchone()


@pytest.mark.parametrize("ask", ["all", "one", "value"])
def test_a_query_that_fails_midway_keeps_no_reader_in_the_past(db, ask):
    db.execute("INSERT INTO t VALUES (x'c1')")
    db.execute("INSERT INTO t VALUES (2)")
    fetch = {"all": db.fetch_all, "one": db.fetch_one, "value": db.fetch_value}[ask]
    with pytest.raises(errors.UnpackError) as kept:
        fetch("SELECT x FROM t ORDER BY x DESC", unpack=("x",))
    db.execute("INSERT INTO t VALUES (3)")
    assert count(db) == 3
    assert kept.value.__traceback__ is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda db: db.execute("INSERT INTO t VALUES (1)"),
        lambda db: db.executemany("INSERT INTO t VALUES (?)", [(1,)]),
        lambda db: db.run(lambda conn: None),
        lambda db: db.flush(),
        lambda db: db.maintain(),
        lambda db: db.close(),
        lambda db: db.transaction().__enter__(),
    ],
    ids=["execute", "executemany", "run", "flush", "maintain", "close", "transaction"],
)
def test_a_function_that_calls_its_own_database_is_refused(db, call):
    with pytest.raises(errors.TransactionRefused, match="use the connection that the function was given"):
        db.run(lambda conn: call(db))
    db.execute("INSERT INTO t VALUES (7)")
    assert count(db) == 1


def test_so_is_a_migration(tmp_path):
    db = perfkit.Database(tmp_path / "b.db", migrations=[lambda conn: db.execute(SCHEMA)])
    with pytest.raises(errors.TransactionRefused, match="use the connection that the function was given"):
        db.open()


def test_a_function_may_call_another_database(db, tmp_path):
    with perfkit.Database(tmp_path / "other.db", migrations=[SCHEMA]) as other:
        db.run(lambda conn: other.execute("INSERT INTO t VALUES (1)"))
        assert count(other) == 1


@pytest.mark.parametrize("depth", [100, 200, 5000])
def test_bytes_that_are_nested_deeper_than_any_value(depth):
    import msgpack

    data = b"\x90"
    for _ in range(depth):
        data = msgpack.packb(msgpack.ExtType(_RECORD, data))
    with pytest.raises(errors.UnpackError, match="nested more than 64 deep"):
        perfkit.unpacked(data)


def test_a_row_factory_is_no_business_of_the_upkeep(tmp_path):
    class Row:
        def __init__(self, first, second):
            self.second = second

    with perfkit.Database(
        tmp_path / "a.db", migrations=["CREATE TABLE t (a, b)"], row_factory=lambda _, row: Row(*row)
    ) as db:
        db.execute("INSERT INTO t VALUES (1, 2)")
        assert db.fetch_one("SELECT * FROM t").second == 2
        db.maintain()


def test_a_migration_that_is_a_coroutine_function_is_refused(tmp_path):
    async def migrate(conn): ...

    with pytest.raises(TypeError, match="migration 1 must be SQL, or an ordinary function"):
        perfkit.Database(tmp_path / "a.db", migrations=[migrate])


HIDING = [
    "CREATE TEMP TABLE T (x)",
    "CREATE TABLE temp.t AS SELECT 1 AS x",
    "CREATE TEMPORARY VIEW t AS SELECT 1 AS x",
    "CREATE VIRTUAL TABLE temp.t USING fts5(x)",
    "ALTER TABLE mine RENAME TO t",
    "ALTER TABLE t RENAME TO mine",
    "CREATE TABLE mine (x)",
]


def by_execute(db, sql):
    db.execute(sql)


def by_run(db, sql):
    db.run(lambda conn: conn.execute(sql))


def by_transaction(db, sql):
    with db.transaction() as tx:
        tx.execute(sql)


@pytest.mark.parametrize("how", [by_execute, by_run, by_transaction])
@pytest.mark.parametrize("sql", HIDING)
def test_a_temporary_table_hides_none_that_stays(db, how, sql):
    db.execute("CREATE TEMP TABLE mine (x)")
    with pytest.raises(errors.TransactionRefused, match="hide the database's own"):
        how(db, sql)
    db.execute("INSERT INTO t VALUES (1)")
    assert count(db) == 1


def test_nor_where_many_share_a_transaction(tmp_path):
    async def main():
        async with perfkit.AsyncDatabase(tmp_path / "a.db", migrations=["CREATE TABLE t (x)"]) as db:
            good = [db.execute("INSERT INTO t VALUES (?)", (n,)) for n in range(10)]
            good.insert(5, db.execute("CREATE TEMP TABLE t (x)"))
            done = await asyncio.gather(*good, return_exceptions=True)
            assert isinstance(done.pop(5), errors.TransactionRefused)
            assert await db.fetch_value("SELECT count(*) FROM t") == len(done)

    asyncio.run(main())


def test_temporary_tables_of_other_names_are_the_writer_s(db):
    db.execute("CREATE TEMP TABLE mine (x INTEGER PRIMARY KEY AUTOINCREMENT)")
    db.execute("CREATE TABLE theirs (x INTEGER PRIMARY KEY AUTOINCREMENT)")  # each has a table of numbers beside it
    db.execute("INSERT INTO mine DEFAULT VALUES")
    db.execute("INSERT INTO t SELECT x FROM mine")
    assert count(db) == 1
    db.run(lambda conn: [conn.execute(sql) for sql in ("CREATE TEMP TABLE t (y)", "DROP TABLE temp.t")])
    db.execute("DROP TABLE mine")
    db.execute("CREATE TABLE mine (x)")


@pytest.mark.parametrize("fetch", ["fetch_all", "fetch_one", "fetch_value"])
@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (2) RETURNING x",
        "/* a */ DELETE FROM t RETURNING x",
        "WITH n(x) AS (SELECT 2) INSERT INTO t SELECT x FROM n RETURNING x",
    ],
)
def test_what_fetches_in_a_transaction_only_reads(db, fetch, sql):
    with db.transaction() as tx:
        tx.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.OperationalError, match=r"only read: use execute\(\)"):
            getattr(tx, fetch)(sql)
        assert tx.fetch_value("WITH n(x) AS (SELECT 1) SELECT t.x FROM t, n") == 1
    assert count(db) == 1
