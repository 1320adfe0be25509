"""KeyboardInterrupt inside a call of `Database`, at each place where the interpreter may deliver one: the call happened
whole or not at all, the next ones go on, and closing ends."""

import gc
import sqlite3
import threading
from contextlib import closing

import pytest
from interrupting import FIRST, STEP, interrupted

import perfkit

# What an interrupt made nobody's is closed when it is collected, and said to be; and of one that strikes what a
# finaliser calls, Python says that it is ignored.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TABLE = "CREATE TABLE t (name)"
INSERT = "INSERT INTO t VALUES (?)"
PATIENCE = 20  # seconds that others wait before they are said to hang
ENOUGH = 5  # places found wrong, each of which may take that long


def execute(db):
    db.execute(INSERT, ("struck",))


def executemany(db):
    db.executemany(INSERT, [("struck",)] * 2)


def run(db):
    db.run(lambda connection: connection.executemany(INSERT, [("struck",)] * 2))


def transaction(db):
    with db.transaction(PATIENCE) as tx:
        tx.execute(INSERT, ("struck",))
        tx.execute(INSERT, ("struck",))


def read(db):
    assert db.fetch_value("SELECT 5") == 5


def stream(db):
    with db.stream("SELECT name FROM t") as rows:
        list(rows)


def connection(db):
    with db.connection() as conn:
        conn.execute("SELECT name FROM t").fetchall()


def leave_open(db):
    with db.connection() as conn:
        conn.row_factory = None
        conn.execute("BEGIN")
        next(conn.execute("SELECT name FROM t"))


def flush(db):
    db.flush()


OPERATIONS = [execute, executemany, run, transaction, read, stream, connection, leave_open, flush]
ROWS = {execute: (0, 1), executemany: (0, 2), run: (0, 2), transaction: (0, 2)}


def in_a_thread(operation):
    """Return its result or its error; None if neither came."""
    outcome = [None]

    def run():
        try:
            outcome[0] = operation()
        except BaseException as error:
            outcome[0] = error

    thread = threading.Thread(target=run, daemon=True)  # one that hangs must not keep pytest from ending
    thread.start()
    thread.join(PATIENCE)
    return outcome[0]


@pytest.fixture(autouse=True)
def collected():
    """Nothing is collected while something else is struck."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.fixture(scope="module")
def places():
    """How many were tried in all."""
    counted = []
    yield counted
    assert sum(counted) > 100, "hardly anything was interrupted"


@pytest.mark.parametrize(
    "operation", [execute, executemany, run, transaction, read, stream, connection, leave_open, flush]
)
def test_anywhere(memory_disk, places, operation):
    wrong, at, struck = {}, FIRST, True
    path = memory_disk / "app.db"
    db = perfkit.Database(path, migrations=[TABLE], busy_timeout=PATIENCE)
    db.execute(INSERT, ("first",))
    while struck and len(wrong) < ENOUGH:
        struck = interrupted(lambda: operation(db), at)
        found = what_is_wrong(db, ROWS.get(operation, (0,)))
        if found:
            wrong[struck] = found
        at += STEP
    assert not wrong, "\n".join(f"{place}: {'; '.join(found)}" for place, found in wrong.items())
    places.append(at)
    gc.collect()  # what was struck in the borrower's hands
    db.maintain()
    assert db.stats().wal_bytes == 0, "somebody reads from it still"
    assert in_a_thread(lambda: db.close() or "closed") == "closed"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone()[0] == 1


def what_is_wrong(db, allowed):
    """Return what an interrupt has left behind; clean up."""
    rows = in_a_thread(
        lambda: [tuple(row) for row in db.execute("DELETE FROM t WHERE name = 'struck' RETURNING 1").rows]
    )
    if not isinstance(rows, list):
        return [f"writing: {rows!r}"]
    found = [f"{len(rows)} rows of its own"] if len(rows) not in allowed else []
    others = in_a_thread(lambda: (db.fetch_value("SELECT count(*) FROM t"), lent(db), db.stats().pending))
    return found + ([] if others == (1, 5, 0) else [f"others: {others!r}"])


def lent(db):
    with db.connection(PATIENCE) as conn:
        assert (conn.in_transaction, conn.row_factory) == (False, sqlite3.Row)
        return conn.execute("SELECT 5").fetchone()[0]


@pytest.mark.parametrize("at", range(0, 60, 3))
def test_while_it_opens_and_closes(memory_disk, at):
    """It may be opened again after that, or is closed."""
    path = memory_disk / "app.db"
    db = perfkit.Database(path, migrations=[TABLE])
    interrupted(db.open, at)
    assert in_a_thread(lambda: db.execute(INSERT, ("first",)).rowcount) == 1
    interrupted(db.close, at)
    assert in_a_thread(lambda: db.close() or "closed") == "closed"
    with perfkit.Database(path) as again:
        assert again.execute(INSERT, ("second",)).rowcount == 1
