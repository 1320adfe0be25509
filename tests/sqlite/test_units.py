"""Units of work keep to themselves: what fails is undone, what is opened is closed, what is set is set back."""

import asyncio
import sqlite3
import sys
import threading
from contextlib import closing

import pytest

import perfkit
from perfkit import errors

NOT_UTF8 = "INSERT INTO t VALUES (CAST(x'ff' AS TEXT)) RETURNING x"
OR_ROLLBACK = "INSERT OR ROLLBACK INTO t VALUES (1)"


@pytest.fixture
def db(tmp_path):
    with perfkit.Database(tmp_path / "app.db") as made:
        made.execute("CREATE TABLE t (x UNIQUE)")
        made.execute("CREATE TABLE log (m)")
        yield made


def log(db):
    return [row["m"] for row in db.fetch_all("SELECT m FROM log ORDER BY rowid")]


def together(db, *works):
    """Have the writer take works in one batch; return what came of each."""
    release, running = threading.Event(), threading.Event()

    def hold(_):
        running.set()
        assert release.wait(20)

    async def main():
        async with perfkit.AsyncDatabase(db.path) as other:
            held = asyncio.create_task(other.run(hold))
            await asyncio.to_thread(running.wait, 20)
            tasks = [asyncio.create_task(other.execute(w) if isinstance(w, str) else other.run(w)) for w in works]
            while other.stats().pending < len(works):
                await asyncio.sleep(0)
            release.set()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            await held
            return outcomes

    return asyncio.run(main())


# -- what fails is undone


@pytest.mark.parametrize("how_many", [1, 5])
def test_rows_that_can_not_be_made_are_not_kept(db, how_many):
    outcomes = together(db, *[NOT_UTF8] * how_many, "INSERT INTO log VALUES ('other')")
    assert [type(outcome) for outcome in outcomes[:-1]] == [sqlite3.OperationalError] * how_many
    assert db.fetch_value("SELECT count(*) FROM t") == 0
    assert log(db) == ["other"]


def test_rows_that_the_factory_refuses_are_not_kept(tmp_path):
    def refuse(cursor, row):
        if cursor.description[0][0] == "x":
            raise LookupError(row)
        return row

    with perfkit.Database(tmp_path / "app.db", row_factory=refuse) as db:
        db.execute("CREATE TABLE t (x)")
        with pytest.raises(LookupError):
            db.execute("INSERT INTO t VALUES (1) RETURNING x")
        with db.transaction() as tx:
            with pytest.raises(LookupError):
                tx.execute("INSERT INTO t VALUES (2) RETURNING x")
            tx.execute("INSERT INTO t VALUES (3)")
        with closing(sqlite3.connect(db.path)) as plain:
            assert plain.execute("SELECT x FROM t").fetchall() == [(3,)]


def go_on(connection):
    connection.execute("INSERT INTO log VALUES ('before')")
    try:
        connection.execute(OR_ROLLBACK)
    except sqlite3.IntegrityError:
        connection.execute("INSERT INTO log VALUES ('after')")


def go_on_and_raise(connection):
    go_on(connection)
    raise ValueError("changed my mind")


def go_on_in_silence(connection):
    for sql in (OR_ROLLBACK, "INSERT INTO log VALUES ('after')"):
        try:
            connection.execute(sql)
        except sqlite3.Error:
            continue


def go_on_with_a_cursor(connection):
    cursor = connection.cursor()
    try:
        cursor.execute(OR_ROLLBACK)
    except sqlite3.IntegrityError:
        cursor.executemany("INSERT INTO log VALUES (?)", [("after",)])


def go_on_with_a_script(connection):
    try:
        connection.execute(OR_ROLLBACK)
    except sqlite3.IntegrityError:
        connection.executescript("INSERT INTO log VALUES ('after')")


GO_ON = [go_on, go_on_and_raise, go_on_in_silence, go_on_with_a_cursor, go_on_with_a_script]


@pytest.mark.parametrize("fn", GO_ON)
@pytest.mark.parametrize("others", [0, 2])
def test_nothing_is_written_after_the_transaction_is_lost(db, fn, others):
    db.execute("INSERT INTO t VALUES (1)")
    outcomes = together(db, *["INSERT INTO log VALUES ('other')"] * others, fn)
    assert isinstance(outcomes[-1], errors.TransactionRefused)
    assert outcomes[-1].path == db.path
    assert log(db) == ["other"] * others


@pytest.mark.parametrize("fn", GO_ON)
def test_nothing_is_written_after_a_transaction_of_ones_own_is_lost(db, fn):
    db.execute("INSERT INTO t VALUES (1)")
    block = db.transaction()
    tx = block.__enter__()
    tx.execute("INSERT INTO log VALUES ('before')")
    with pytest.raises(errors.TransactionRefused):
        tx.run(fn)
    with pytest.raises(errors.TransactionRefused):
        block.__exit__(None, None, None)
    assert log(db) == []


def test_nothing_is_written_after_a_migration_has_lost_its_transaction(db):
    db.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(errors.TransactionRefused), perfkit.Database(db.path, migrations=[go_on_in_silence]) as other:
        other.flush()
    assert log(db) == []
    assert db.fetch_value("PRAGMA user_version") == 0


def test_what_a_hidden_cursor_keeps_from_being_committed_is_not_acknowledged(db):
    kept = []

    def hide(connection):
        kept.append(sqlite3.Cursor(connection))  # of which the connection has no account
        kept[-1].execute("INSERT INTO log VALUES ('hidden'), ('hidden') RETURNING m")

    outcomes = together(db, hide, "INSERT INTO log VALUES ('other')", "INSERT INTO log VALUES ('other')")
    assert [type(outcome) for outcome in outcomes] == [sqlite3.OperationalError] * 3
    assert log(db) == []


# -- what is opened is closed


def raise_in_the_middle(connection):
    rows = connection.execute("SELECT x FROM t")
    next(rows)
    raise LookupError("found")


def keep_a_blob(connection):
    connection.execute("INSERT INTO log VALUES (zeroblob(10))")
    return [connection.blobopen("log", "m", connection.execute("SELECT last_insert_rowid()").fetchone()[0])]


@pytest.mark.parametrize(
    "fn",
    [
        raise_in_the_middle,
        lambda connection: [connection.execute("SELECT x FROM t")],
        lambda connection: [[connection.execute("SELECT x FROM t")] for _ in range(500)],
        keep_a_blob,
    ],
)
def test_what_a_function_opens_does_not_outlive_it(db, fn):
    db.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(10)])
    try:
        kept = db.run(fn)
    except LookupError as error:
        kept = error
    with closing(sqlite3.connect(db.path, isolation_level=None, timeout=20)) as other:
        other.execute("INSERT INTO t VALUES (-1)")
    assert db.execute("INSERT INTO t VALUES (-2)").rowcount == 1, f"the writer reads from the past: {kept}"


# -- what is set is set back


def set_autocommit(connection):
    if sys.version_info >= (3, 12):
        connection.autocommit = False


@pytest.mark.parametrize(
    "fn",
    [
        lambda connection: setattr(connection, "isolation_level", "IMMEDIATE"),
        lambda connection: setattr(connection, "text_factory", bytes),
        lambda connection: setattr(connection, "row_factory", None),
        set_autocommit,
    ],
)
def test_settings_are_set_back(db, fn):
    db.run(fn)
    for _ in range(2):
        [row] = db.execute("INSERT INTO log VALUES ('a') RETURNING m").rows
        assert row["m"] == "a"
    assert log(db) == ["a", "a"]
    assert db.run(lambda connection: connection.isolation_level) is None


@pytest.mark.parametrize(
    "fn",
    [
        lambda connection: connection.set_progress_handler(lambda: 1, 1),
        lambda connection: connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 8),
        lambda connection: connection.cursor(sqlite3.Cursor),
    ],
)
def test_what_would_stay_for_others_is_refused(db, fn):
    with pytest.raises(sqlite3.ProgrammingError, match=r"perfkit|on_connect="):
        db.run(fn)
    assert db.execute("INSERT INTO log VALUES ('a')").rowcount == 1


def test_on_connect_may_set_what_functions_may_not(tmp_path):
    limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
    with perfkit.Database(tmp_path / "app.db", on_connect=lambda connection: connection.setlimit(limit, 7)) as db:
        assert db.run(lambda connection: connection.getlimit(limit)) == 7
