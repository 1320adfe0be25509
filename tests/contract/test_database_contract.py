"""One suite over `Database` and `AsyncDatabase`: what either promises, both keep."""

import asyncio
import inspect
import os
import sqlite3
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

import perfkit
from perfkit import errors
from perfkit.sqlite import Result

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, x, UNIQUE (x))"


class Awaited:
    """An `AsyncDatabase` called from ordinary code, each call on the same loop."""

    def __init__(self, loop, *args, **kwargs):
        self._loop = loop
        self.db = perfkit.AsyncDatabase(*args, **kwargs)

    def __getattr__(self, name):
        attribute = getattr(self.db, {"close": "aclose"}.get(name, name))
        if not inspect.iscoroutinefunction(attribute):
            return attribute
        return lambda *args, **kwargs: self._loop.run_until_complete(attribute(*args, **kwargs))

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    def stream(self, *args, **kwargs):
        return AwaitedStream(self._loop, self.db.stream(*args, **kwargs))

    @contextmanager
    def connection(self, *args):
        lent = self.db.connection(*args)
        conn = self._loop.run_until_complete(lent.__aenter__())
        yield AwaitedConnection(self._loop, conn)
        self._loop.run_until_complete(lent.__aexit__(None, None, None))

    @contextmanager
    def transaction(self, *args):
        """Have the block's calls made by one task that is inside of it."""
        calls, entered = asyncio.Queue(), self._loop.create_future()

        async def block():
            async with self.db.transaction(*args) as tx:
                entered.set_result(tx)
                while (call := await calls.get()) is not None:
                    function, done = call
                    try:
                        done.set_result(await function())
                    except BaseException as error:
                        done.set_exception(error)
                if failure:
                    raise failure[0]

        failure = []
        task = self._loop.create_task(block())
        self._loop.run_until_complete(asyncio.wait([task, entered], return_when=asyncio.FIRST_COMPLETED))
        if task.done():
            task.result()
        try:
            yield Inside(self._loop, calls, entered.result(), self.db)
        except BaseException as error:
            failure.append(error)
        calls.put_nowait(None)
        self._loop.run_until_complete(task)


class Inside:
    """What a block calls, run by the task that is in it; `outer` is the database."""

    def __init__(self, loop, calls, target, outer=None):
        self._loop, self._calls, self._target = loop, calls, target
        self.outer = outer and Inside(loop, calls, outer)

    def __getattr__(self, name):
        def call(*args, **kwargs):
            done = self._loop.create_future()
            self._calls.put_nowait((lambda: getattr(self._target, name)(*args, **kwargs), done))
            return self._loop.run_until_complete(done)

        return call


class AwaitedConnection:
    """An ``aiosqlite.Connection``, or a cursor of it."""

    def __init__(self, loop, target):
        self._loop, self._target = loop, target

    def execute(self, sql):
        return AwaitedConnection(self._loop, self._loop.run_until_complete(_awaited(self._target.execute(sql))))

    def fetchone(self):
        return self._loop.run_until_complete(self._target.fetchone())


async def _awaited(awaitable):
    return await awaitable


class AwaitedStream:
    def __init__(self, loop, stream):
        self._loop, self._stream = loop, stream

    def __iter__(self):
        return self

    def __next__(self):
        async def following():
            try:
                return [await anext(self._stream)]
            except StopAsyncIteration:
                return []

        for row in self._loop.run_until_complete(following()):
            return row
        raise StopIteration

    def close(self):
        self._loop.run_until_complete(self._stream.aclose())


@pytest.fixture(params=["threads", "asyncio"])
def make(request, tmp_path):
    """``make(**options)`` makes a database, ``make(path)`` one elsewhere; all are closed when the test ends."""
    made = []
    loop = asyncio.new_event_loop() if request.param == "asyncio" else None

    def make(path=tmp_path / "app.db", **options):
        made.append(perfkit.Database(path, **options) if loop is None else Awaited(loop, path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
    if loop is not None:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


@pytest.fixture
def db(make):
    made = make()
    made.execute(TABLE)
    return made


@pytest.fixture
def outer():
    """``outer(db, tx)``: the database as the code inside of a block calls it."""
    return lambda db, tx: getattr(tx, "outer", None) or db if not isinstance(tx, Inside) else tx.outer


def fill(db, count):
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, n) for n in range(count)])


def count(db):
    return db.fetch_value("SELECT count(*) FROM t")


# -- writing


def test_execute(db):
    assert db.execute("INSERT INTO t (x) VALUES (?)", ("a",)) == Result(1, 1, [])
    assert db.execute("INSERT INTO t (x) VALUES (:x)", {"x": "b"}).lastrowid == 2
    assert db.execute("UPDATE t SET x = x || '!'").rowcount == 2
    [row] = db.execute("DELETE FROM t WHERE id = 1 RETURNING id, x").rows
    assert (row["id"], row["x"]) == (1, "a!")
    assert [tuple(row) for row in db.fetch_all("SELECT * FROM t")] == [(2, "b!")]


def test_executemany_is_all_or_nothing(db):
    assert db.executemany("INSERT INTO t (x) VALUES (?)", ([n] for n in range(5))) == Result(5, None, [])
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        db.executemany("INSERT INTO t (x) VALUES (?)", [[10], [11], [4], [12]])
    assert count(db) == 5
    assert db.executemany("INSERT INTO t (x) VALUES (?)", []).rowcount <= 0


def test_run_is_one_unit(db):
    def move(connection):
        connection.execute("INSERT INTO t (x) VALUES (1)")
        [(before,)] = connection.execute("SELECT count(*) FROM t").fetchall()
        connection.execute("INSERT INTO t (x) VALUES (2)")
        return before

    assert db.run(move) == 1

    def fail(connection):
        connection.execute("DELETE FROM t")
        raise LookupError("changed my mind")

    with pytest.raises(LookupError, match="changed my mind"):
        db.run(fail)
    assert count(db) == 2


@pytest.mark.parametrize("fn", [None, "SELECT 1", int, lambda: (yield)])
def test_run_takes_ordinary_functions(db, fn):
    with pytest.raises(TypeError, match="ordinary function"):
        db.run(fn)


def test_run_takes_no_coroutine_function(db):
    async def fn(connection):
        raise AssertionError

    with pytest.raises(TypeError, match=r"transaction\(\)"):
        db.run(fn)


async def coroutine_function():
    raise AssertionError


RETURNED = {
    "a coroutine": (lambda connection: coroutine_function(), "ordinary function"),
    "a generator": (lambda connection: (row for row in connection.execute("SELECT 1")), "fetch inside of it"),
}


@pytest.mark.parametrize("case", RETURNED)
def test_what_would_only_begin_when_run_is_over_is_refused(make, case):
    made, (returned, message) = make(), RETURNED[case]
    made.execute(TABLE)

    def fn(connection):
        connection.execute("INSERT INTO t (x) VALUES (1)")
        return returned(connection)

    with pytest.raises(TypeError, match=message):
        made.run(fn)
    with made.transaction() as tx, pytest.raises(TypeError, match=message):
        tx.run(fn)
    assert count(made) == 0


async def async_migration(connection):
    raise AssertionError


@pytest.mark.parametrize("migration", [async_migration, lambda connection: (yield), int, 5, None])
def test_migrations_are_ordinary_functions(make, tmp_path, migration):
    with pytest.raises(TypeError, match="migration 2 must be SQL, or an ordinary function"):
        make(tmp_path / "other.db", migrations=[TABLE, migration])


def test_a_migration_that_gives_a_coroutine_is_undone(make, tmp_path):
    path = tmp_path / "other.db"
    made = make(path, migrations=[TABLE, lambda connection: coroutine_function()])
    with pytest.raises(TypeError, match="ordinary function") as caught:
        made.open()
    assert "migration 2 of 2" in caught.value.__notes__[0]
    assert make(path, migrations=[TABLE]).fetch_value("PRAGMA user_version") == 1


def enter(db):
    tx = db.transaction()
    return tx.__enter__() if isinstance(db, perfkit.Database) else tx.__aenter__()


WAITING = {
    "execute": lambda db: db.execute("INSERT INTO t (x) VALUES (1)"),
    "executemany": lambda db: db.executemany("INSERT INTO t (x) VALUES (?)", [[1]]),
    "run": lambda db: db.run(lambda connection: None),
    "flush": lambda db: db.flush(),
    "maintain": lambda db: db.maintain(),
    "open": lambda db: db.open(),
    "close": lambda db: db.close() if isinstance(db, perfkit.Database) else db.aclose(),
    "transaction": enter,
}


def called_from_the_writer(db, call):
    """What a function in the writer's thread does that wants something of the database, and waits for it."""
    if not isinstance(db, Awaited):
        call(db)
    else:
        asyncio.run_coroutine_threadsafe(call(db.db), db._loop).result()


@pytest.mark.parametrize("call", WAITING)
def test_what_would_wait_for_the_writer_is_refused_in_it(db, call):
    def fn(connection):
        connection.execute("INSERT INTO t (x) VALUES (2)")
        called_from_the_writer(db, WAITING[call])

    with pytest.raises(errors.TransactionRefused, match="use the connection that the function was given"):
        db.run(fn)
    with db.transaction() as tx, pytest.raises(errors.TransactionRefused, match="use the connection"):
        tx.run(fn)
    db.execute("INSERT INTO t (x) VALUES (3)")
    assert count(db) == 1


@pytest.mark.parametrize("call", WAITING)
@pytest.mark.parametrize("where", ["migrations", "on_connect"])
def test_what_would_wait_for_the_writer_is_refused_while_it_opens(make, where, call):
    def fn(connection):
        called_from_the_writer(made, WAITING[call])

    made = make(**{where: [fn] if where == "migrations" else fn})
    with pytest.raises(errors.TransactionRefused, match="use the connection"):
        made.open()


@pytest.mark.parametrize("factory", [dict, lambda cursor, row: 1 / 0])
def test_a_row_factory_that_fails_spoils_only_rows(make, factory):
    db = make(row_factory=factory, pragmas={"cache_size": -1000, "mmap_size": 1 << 20, "foreign_keys": 1})
    db.execute(TABLE)
    with pytest.raises((TypeError, ValueError, ZeroDivisionError)):
        db.fetch_all("SELECT 'abc' AS x")
    assert db.fetch_value("SELECT 1") == 1
    db.maintain()
    db.close()


def test_a_result_is_no_cursor(db):
    result = db.execute("SELECT 1 AS x")
    assert [row["x"] for row in result.rows] == [1]
    with pytest.raises(TypeError, match=r"for row in result\.rows"):
        list(result)


def test_a_cursor_that_run_returns_is_a_result(db):
    assert db.run(lambda connection: connection.execute("INSERT INTO t (x) VALUES (5)")) == Result(1, 1, [])
    result = db.run(lambda connection: connection.execute("SELECT x FROM t"))
    assert [row["x"] for row in result.rows] == [5]


def test_run_leaves_the_connection_as_it_was(db):
    for spoil in (
        lambda connection: connection.close(),
        lambda connection: connection.set_authorizer(None),
    ):
        with pytest.raises(sqlite3.ProgrammingError, match=r"perfkit"):
            db.run(spoil)
    db.run(lambda connection: setattr(connection, "row_factory", None))
    [row] = db.execute("INSERT INTO t (x) VALUES (1) RETURNING x").rows
    assert row["x"] == 1


@pytest.mark.parametrize("error", [StopIteration, SystemExit, KeyError])
def test_what_a_function_raises_is_its_callers(db, error):
    def fn(connection):
        raise error

    caught = (RuntimeError, error) if error is StopIteration else error
    if error is SystemExit and isinstance(db, Awaited):
        pytest.skip("it would end the loop that this half runs on, as it should")
    with pytest.raises(caught):
        db.run(fn)
    assert count(db) == 0


REFUSED = ["BEGIN", "begin immediate", "COMMIT", "END", "ROLLBACK", "SAVEPOINT s", "RELEASE s", "ROLLBACK TO s"]


@pytest.mark.parametrize("sql", REFUSED)
def test_transaction_statements_are_refused(db, sql):
    with pytest.raises(errors.TransactionRefused, match=r"transaction\(\)"):
        db.execute(sql)
    with pytest.raises(errors.TransactionRefused, match="perfkit commits when the function is over"):
        db.run(lambda connection: connection.execute("DELETE FROM t") and connection.execute(sql).fetchall())
    with db.transaction() as tx, pytest.raises(errors.TransactionRefused, match="committed at the end of its block"):
        tx.execute(sql)
    assert db.execute("INSERT INTO t (x) VALUES (1)").rowcount == 1


def commit_by_with(connection):
    with connection:
        connection.execute("INSERT INTO t (x) VALUES (1)")


SNEAKY = [
    commit_by_with,
    lambda connection: connection.commit(),
    lambda connection: connection.rollback(),
    lambda connection: connection.executescript("INSERT INTO t (x) VALUES (1)"),
]


@pytest.mark.parametrize("fn", SNEAKY)
def test_no_function_commits_for_everybody(db, fn):
    with pytest.raises(errors.TransactionRefused, match=r"`with conn:`, conn\.commit\(\).*Use conn\.execute\(\)"):
        db.run(fn)
    assert count(db) == 0


@pytest.mark.parametrize("migration", ["BEGIN; SELECT 1; COMMIT", commit_by_with, *SNEAKY[1:]])
def test_no_migration_commits(make, tmp_path, migration):
    made = make(tmp_path / "other.db", migrations=[TABLE, migration])
    with pytest.raises(errors.TransactionRefused, match="each migration is a transaction of its own already"):
        made.open()


PERFKITS = ["journal_mode=DELETE", "Journal_Mode = WAL", "locking_mode=EXCLUSIVE", "synchronous=OFF", "query_only=1"]


@pytest.mark.parametrize("pragma", [*PERFKITS, "main.wal_autocheckpoint(7)", "user_version=1", "user_version=2"])
def test_what_perfkit_sets_is_nobody_elses_to_set(make, pragma):
    db = make(migrations=[TABLE])
    name = pragma.lower().removeprefix("main.").partition("=")[0].partition("(")[0].strip()
    before = db.execute(f"PRAGMA {name}").rows[0][0]
    for _ in range(2):
        with pytest.raises(errors.TransactionRefused, match=f"PRAGMA {name} can be read, and is perfkit's to set: "):
            db.execute(f"PRAGMA {pragma}")
        with pytest.raises(errors.TransactionRefused, match="perfkit's to set"):
            db.run(lambda connection: connection.execute(f"PRAGMA {pragma}").fetchall())
    assert db.execute(f"PRAGMA {name}").rows[0][0] == before


def test_who_has_no_migrations_may_count_in_user_version(db):
    db.execute("PRAGMA user_version=7")
    assert db.fetch_value("PRAGMA user_version") == 7


def test_a_function_may_swallow_a_refusal(db):
    def fn(connection):
        connection.execute("INSERT INTO t (x) VALUES (1)")
        try:
            connection.commit()
        except sqlite3.DatabaseError:
            return "refused"

    assert db.run(fn) == "refused"
    assert count(db) == 1
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.execute("INSERT INTO nowhere VALUES (1)")


def test_what_runs_alone(db, tmp_path):
    fill(db, 100)
    db.execute("VACUUM")
    db.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
    db.execute("CREATE TABLE other.u (x)")
    db.run(lambda connection: connection.execute("INSERT INTO other.u SELECT count(*) FROM t"))
    assert db.execute("SELECT x FROM other.u").rows[0][0] == 100
    db.execute("DETACH other")
    assert db.execute("PRAGMA foreign_keys").rows[0][0] == 0
    db.execute("PRAGMA foreign_keys=ON")
    assert db.execute("PRAGMA foreign_keys").rows[0][0] == 1
    with pytest.raises(errors.TransactionRefused, match="by itself"):
        db.run(lambda connection: connection.execute("ATTACH ':memory:' AS m").fetchall())


@pytest.mark.parametrize("sql", ["", "SELEC 1", "INSERT INTO nowhere VALUES (1)", "SELECT 1; SELECT 2"])
def test_a_wrong_statement_is_what_sqlite_says(db, sql):
    if sql == "":
        assert db.execute(sql).rows == []
        return
    with pytest.raises((sqlite3.Error, sqlite3.Warning)):
        db.execute(sql)


def test_too_many_parameters(db):
    sql = f"SELECT 1 WHERE 1 IN ({', '.join('?' * 250_001)})"
    with pytest.raises(errors.TooManyParameters, match="executemany") as caught:
        db.execute(sql, list(range(250_001)))
    assert caught.value.limit < 250_001
    with pytest.raises(sqlite3.ProgrammingError, match="bindings"):
        db.execute("INSERT INTO t VALUES (?, ?)", (1, 2, 3))


@pytest.mark.parametrize("sql", [None, b"SELECT 1", 5])
def test_sql_is_text(db, sql):
    for call in (db.execute, lambda sql: db.executemany(sql, [])):
        with pytest.raises(TypeError, match="sql must be a str"):
            call(sql)


def test_flush(db):
    db.flush()
    assert db.stats().pending == 0


# -- reading


def test_fetching(db):
    fill(db, 3)
    assert [row["x"] for row in db.fetch_all("SELECT x FROM t ORDER BY x")] == [0, 1, 2]
    assert db.fetch_one("SELECT x FROM t WHERE id = ?", (2,))["x"] == 2
    assert db.fetch_one("SELECT x FROM t WHERE id = :id", {"id": 9}) is None
    assert db.fetch_value("SELECT max(x) FROM t") == 2
    assert db.fetch_value("SELECT x FROM t WHERE id = 9") is None


def test_reads_see_what_was_acknowledged(db):
    for n in range(200):
        db.execute("INSERT INTO t (x) VALUES (?)", (n,))
        assert db.fetch_value("SELECT max(x) FROM t") == n


def test_reads_do_not_write(db):
    for read in (db.fetch_all, db.fetch_one, db.fetch_value):
        with pytest.raises(sqlite3.OperationalError, match="readonly") as caught:
            read("INSERT INTO t (x) VALUES (1) RETURNING id")
        assert "execute()" in caught.value.__notes__[0]
    assert count(db) == 0


def test_a_read_that_fails_fails_alone(db):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.fetch_all("SELECT * FROM nowhere")
    with pytest.raises(sqlite3.OperationalError, match="overflow"):
        db.fetch_all("SELECT abs(-9223372036854775808)")
    assert count(db) == 0


@pytest.mark.parametrize("readers", [0, 1, 5])
def test_any_number_of_readers(make, readers):
    db = make(readers=readers)
    db.execute(TABLE)
    fill(db, 10)
    assert count(db) == len(db.fetch_all("SELECT * FROM t")) == 10
    assert [row["x"] for row in db.stream("SELECT x FROM t")] == list(range(10))


def test_rows_are_made_by_the_factory(make):
    plain = make(row_factory=None)
    plain.execute(TABLE)
    fill(plain, 2)
    assert plain.fetch_all("SELECT * FROM t") == list(plain.stream("SELECT * FROM t")) == [(0, 0), (1, 1)]
    named = make(row_factory=lambda cursor, row: dict(zip([name for name, *_ in cursor.description], row, strict=True)))
    assert named.fetch_one("SELECT * FROM t WHERE id = 1") == {"id": 1, "x": 1}
    assert list(named.stream("SELECT x FROM t")) == [{"x": 0}, {"x": 1}]
    assert named.fetch_value("SELECT 5") == 5


def test_a_database_in_memory(make):
    db = make(":memory:")
    db.execute(TABLE)
    fill(db, 5)
    assert count(db) == 5
    assert db.fetch_one("SELECT * FROM t WHERE id = 3")["x"] == 3
    with pytest.raises(errors.DatabaseError, match="needs a file"):
        list(db.stream("SELECT 1"))
    db.maintain()


# -- streams


def test_a_stream_reads_all(db):
    fill(db, 5000)
    assert [row["x"] for row in db.stream("SELECT x FROM t WHERE x >= ? ORDER BY x", (10,))] == list(range(10, 5000))
    assert list(db.stream("SELECT x FROM t WHERE x < 0")) == []


def test_a_stream_sees_one_moment_and_leaves_writing_alone(db):
    fill(db, 3000)
    rows = iter(db.stream("SELECT x FROM t"))
    seen = [next(rows)["x"]]
    db.execute("DELETE FROM t")
    seen += [row["x"] for row in rows]
    assert seen == list(range(3000))
    assert count(db) == 0


def test_a_stream_can_be_left(db, eventually):
    fill(db, 3000)
    stream = db.stream("SELECT x FROM t")
    next(stream)
    assert db.stats().streams == 1
    assert db.stats().oldest_reader > 0
    stream.close()
    assert db.stats().streams == 0
    assert list(stream) == []
    stream = db.stream("SELECT x FROM t")
    next(stream)
    del stream
    eventually(lambda: db.stats().streams == 0)


def test_a_stream_that_is_open_too_long_is_ended(db, eventually):
    fill(db, 3000)
    stream = db.stream("SELECT x FROM t", max_age=0.05)
    next(stream)
    eventually(lambda: db.stats().streams == 0)
    with pytest.raises(errors.StreamExpired, match="max_age") as caught:
        list(stream)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.max_age == 0.05


def test_a_stream_that_computes_too_long_is_ended(db):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(errors.StreamExpired):
        list(db.stream(endless, max_age=0.05))


def test_a_stream_fails_as_a_query_does(db):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        list(db.stream("SELECT * FROM nowhere"))
    with pytest.raises(ValueError, match="max_age"):
        db.stream("SELECT 1", max_age=0)


def test_closing_ends_streams(db):
    fill(db, 3000)
    stream = db.stream("SELECT x FROM t")
    next(stream)
    db.close()
    with pytest.raises(errors.DatabaseClosed):
        list(stream)


# -- transactions


def test_a_transaction(db):
    with db.transaction() as tx:
        number = tx.fetch_value("SELECT count(*) FROM t")
        assert tx.execute("INSERT INTO t (x) VALUES (?)", (number,)).rowcount == 1
        tx.executemany("INSERT INTO t (x) VALUES (?)", [[10], [11]])
        assert tx.run(lambda connection: connection.execute("SELECT count(*) FROM t").fetchone()[0]) == 3
        assert len(tx.fetch_all("SELECT * FROM t")) == 3
        assert tx.fetch_one("SELECT x FROM t WHERE x = 11")["x"] == 11
        assert db.fetch_value("SELECT count(*) FROM t") == 0, "others see what is not committed"
    assert count(db) == 3
    assert db.stats().transactions == 1


def test_an_exception_rolls_a_transaction_back(db):
    with pytest.raises(LookupError, match="no"), db.transaction() as tx:  # noqa: PT012 (the block is it)
        tx.execute("INSERT INTO t (x) VALUES (1)")
        raise LookupError("no")
    assert count(db) == 0
    db.execute("INSERT INTO t (x) VALUES (1)")


def test_a_statement_that_fails_can_be_caught(db):
    with db.transaction() as tx:
        tx.execute("INSERT INTO t (x) VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError):
            tx.executemany("INSERT INTO t (x) VALUES (?)", [[2], [1]])
        tx.execute("INSERT INTO t (x) VALUES (3)")
    assert [row["x"] for row in db.fetch_all("SELECT x FROM t")] == [1, 3]


def test_a_transaction_that_sqlite_rolled_back_is_over(db):
    db.execute("INSERT INTO t (x) VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError), db.transaction() as tx:  # noqa: PT012 (the block is it)
        tx.execute("INSERT INTO t (x) VALUES (2)")
        with pytest.raises(sqlite3.IntegrityError):
            tx.execute("INSERT OR ROLLBACK INTO t (x) VALUES (1)")
        tx.execute("INSERT INTO t (x) VALUES (3)")
    assert count(db) == 1
    db.execute("INSERT INTO t (x) VALUES (4)")


def test_transaction_statements_are_refused_in_a_transaction_too(db):
    with db.transaction() as tx:
        tx.execute("INSERT INTO t (x) VALUES (1)")
        for sql in REFUSED:
            with pytest.raises(errors.TransactionRefused):
                tx.execute(sql)
    assert count(db) == 1


def test_waiting_for_oneself_is_refused(db, outer):
    with db.transaction() as tx:
        inner = outer(db, tx)
        for call in (
            lambda: inner.execute("DELETE FROM t"),
            lambda: inner.executemany("INSERT INTO t (x) VALUES (?)", [[1]]),
            lambda: inner.run(lambda connection: None),
            inner.flush,
            inner.maintain,
        ):
            with pytest.raises(errors.TransactionRefused, match=r"tx\.execute"):
                call()
        assert inner.fetch_value("SELECT count(*) FROM t") == 0
    db.execute("DELETE FROM t")


def test_a_transaction_that_takes_too_long_is_rolled_back(db, eventually):
    with pytest.raises(errors.TransactionTimeout, match="its timeout of") as caught, db.transaction(0.05) as tx:  # noqa: PT012 (the block is it)
        tx.execute("INSERT INTO t (x) VALUES (1)")
        db.fetch_value("SELECT 1")
        eventually(lambda: db.stats().pending == 0 and tx_is_over(tx))
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.timeout == 0.05
    assert count(db) == 0
    db.execute("INSERT INTO t (x) VALUES (1)")


def tx_is_over(tx):
    return getattr(tx, "_target", tx)._session.is_over


def test_a_transaction_that_never_had_its_turn_says_so(make, tmp_path):
    path = tmp_path / "other.db"
    one, inside, over = make(path), threading.Event(), threading.Event()
    one.execute(TABLE)

    def hold(connection):
        inside.set()
        assert over.wait(60)

    with ThreadPoolExecutor(1) as threads:
        if isinstance(one, Awaited):
            held = asyncio.ensure_future(one.db.run(hold), loop=one._loop)
            one._loop.run_until_complete(asyncio.wait([held], timeout=0.01))
        else:
            held = threads.submit(one.run, hold)
        assert inside.wait(60)
        try:
            with pytest.raises(errors.TransactionTimeout, match=r"did not begin in its timeout of 0\.05 s"):
                with one.transaction(0.05):
                    raise AssertionError
        finally:
            over.set()
        if isinstance(one, Awaited):
            one._loop.run_until_complete(held)
    assert count(one) == 0


def test_a_statement_that_takes_too_long_is_interrupted(db):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(errors.TransactionTimeout), db.transaction(0.05) as tx:  # noqa: PT012 (the block is it)
        tx.execute("INSERT INTO t (x) VALUES (1)")
        tx.execute(endless)
    assert count(db) == 0


def test_a_transaction_is_not_used_after_its_end(db):
    with db.transaction() as tx:
        tx.execute("INSERT INTO t (x) VALUES (1)")
    session = getattr(tx, "_target", tx)._session
    with pytest.raises(errors.TransactionRefused, match="over"):
        session.post((None, "DELETE FROM t", (), False))
    assert count(db) == 1


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1", True])
def test_a_timeout_is_seconds(db, timeout):
    with pytest.raises((TypeError, ValueError), match="timeout must be a number of seconds"):
        db.transaction(timeout).__enter__()


@pytest.mark.parametrize("timeout", [None, float("inf"), 5])
def test_any_timeout(db, timeout):
    with db.transaction(timeout) as tx:
        tx.execute("INSERT INTO t (x) VALUES (1)")
    assert count(db) == 1


def test_what_can_not_be_committed_is_rolled_back(make):
    db = make(pragmas={"foreign_keys": 1})
    db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    db.execute("CREATE TABLE child (parent REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), db.transaction() as tx:
        tx.execute("INSERT INTO child VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.run(lambda connection: connection.execute("INSERT INTO child VALUES (1)").rowcount)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.execute("INSERT INTO child VALUES (1)")
    with db.transaction() as tx:
        tx.execute("INSERT INTO child VALUES (1)")
        tx.execute("INSERT INTO parent VALUES (1)")
    assert db.fetch_value("SELECT count(*) FROM child") == 1


# -- lent connections


def test_a_lent_connection_reads_and_cannot_write(db):
    fill(db, 3)
    for _ in range(3):  # the same one again
        with db.connection() as conn:
            assert conn.execute("SELECT count(*) FROM t").fetchone()[0] == 3
            assert conn.execute("SELECT x FROM t WHERE id = 1").fetchone()["x"] == 1
            for sql in ("INSERT INTO t (x) VALUES (9)", "DROP TABLE t", "PRAGMA user_version = 7"):
                with pytest.raises(sqlite3.OperationalError, match="readonly"):
                    conn.execute(sql)
    assert count(db) == 3


def test_a_transaction_left_open_on_a_lent_connection_is_ended(db):
    fill(db, 3)
    with db.connection() as conn:
        conn.execute("BEGIN")
        assert conn.execute("SELECT count(*) FROM t").fetchone()[0] == 3
    db.execute("DELETE FROM t")
    with db.connection() as conn:
        assert conn.execute("SELECT count(*) FROM t").fetchone()[0] == 0
    db.maintain()
    assert db.stats().wal_bytes == 0


def test_as_many_are_lent_as_there_are_readers(make):
    db = make(readers=1)
    db.execute(TABLE)
    with db.connection(), pytest.raises(errors.PoolTimeout), db.connection(0):
        raise AssertionError("a second one was lent")
    with db.connection(0) as conn:
        assert conn.execute("SELECT 5").fetchone()[0] == 5


def test_nothing_is_lent_where_there_is_no_file(make):
    with pytest.raises(errors.DatabaseError, match="needs a file"), make(":memory:").connection():
        raise AssertionError("it was lent")


def test_closing_takes_lent_connections_along(db):
    with db.connection() as conn:
        assert conn.execute("SELECT 5").fetchone()[0] == 5
    db.close()
    with pytest.raises(errors.DatabaseClosed), db.connection():
        raise AssertionError("it was lent")


# -- values


@dataclass
class Plain:
    x: int


def test_packed_columns(db):
    value = {"tags": ("a", {"b"}), "at": 1.5}
    db.execute("INSERT INTO t (x) VALUES (?)", (perfkit.packed(value),))
    db.execute("INSERT INTO t (x) VALUES (NULL)")
    asked = "SELECT id, x FROM t ORDER BY id"
    rows = db.fetch_all(asked, unpack=("x",))
    assert [(row["id"], row["x"]) for row in rows] == [(1, value), (2, None)]
    assert db.fetch_one(asked, unpack=["x"])["x"] == value
    assert perfkit.unpacked(db.fetch_one(asked)["x"]) == value
    assert db.fetch_value("SELECT x FROM t WHERE id = 1", unpack=("x",)) == value
    assert [row["x"] for row in db.stream(asked, unpack=("x",))] == [value, None]
    with db.transaction() as tx:
        assert tx.fetch_value("SELECT x FROM t WHERE id = 1", unpack=("x",)) == value
    with pytest.raises(ValueError, match="unpack names y"):
        db.fetch_all(asked, unpack=("y",))
    with pytest.raises(TypeError, match="unpack must be a tuple"):
        db.fetch_all(asked, unpack="x")
    with pytest.raises(TypeError, match="bytes that packed"):
        db.fetch_all("SELECT id FROM t", unpack=("id",))
    with pytest.raises(errors.UnpackError):
        db.fetch_all("SELECT x'c1' AS x", unpack=("x",))


# -- opening


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [
        ("durability", "always", ValueError),
        ("readers", -1, ValueError),
        ("readers", 1.5, TypeError),
        ("max_pending", 0, ValueError),
        ("max_batch", True, TypeError),
        ("busy_timeout", -1, ValueError),
        ("busy_timeout", "5", TypeError),
        ("pragmas", {"journal_mode": "DELETE"}, ValueError),
        ("pragmas", {"WAL_autocheckpoint": 0}, ValueError),
        ("pragmas", {"a; DROP": 1}, ValueError),
        ("pragmas", {"cache_size": None}, TypeError),
        ("migrations", "CREATE TABLE t (x)", TypeError),
        ("migrations", [5], TypeError),
        ("row_factory", 5, TypeError),
        ("on_connect", "x", TypeError),
        ("name", 5, TypeError),
    ],
)
def test_arguments_are_checked_at_once(make, option, value, error):
    with pytest.raises(error, match=option.rstrip("s")):
        make(**{option: value})


@pytest.mark.parametrize("path", [5, None, b"x.db"])
def test_a_path_is_a_path(make, path):
    with pytest.raises(TypeError, match="path must be"):
        make(path)


@pytest.mark.parametrize("path", ["", "file:x.db?mode=ro", "a\0b", "dir/", "~/x.db"])
def test_a_path_names_a_file(make, path):
    with pytest.raises(ValueError, match="path"):
        make(path)


def test_odd_names(make, tmp_path):
    for name in ("a b.db", "ä?x#y%41.db", "100%.db"):
        with make(tmp_path / name) as db:
            db.execute(TABLE)
            fill(db, 3)
            assert count(db) == len(list(db.stream("SELECT * FROM t"))) == 3
        assert name in os.listdir(tmp_path)


def test_nothing_is_opened_before_it_is_needed(make, tmp_path):
    db = make()
    assert db.stats().writes == 0
    db.close()
    assert os.listdir(tmp_path) == []


def test_closing_leaves_one_file(db, tmp_path):
    fill(db, 100)
    assert count(db) == 100
    db.close()
    assert os.listdir(tmp_path) == ["app.db"]


def test_a_closed_database_says_so(db):
    db.close()
    db.close()
    for call in (
        lambda: db.execute("SELECT 1"),
        lambda: db.executemany("SELECT 1", []),
        lambda: db.run(lambda connection: None),
        lambda: db.fetch_all("SELECT 1"),
        lambda: list(db.stream("SELECT 1")),
        lambda: db.transaction().__enter__(),
        lambda: db.backup("x.db"),
        db.flush,
        db.maintain,
        db.open,
    ):
        with pytest.raises(errors.DatabaseClosed, match="make another"):
            call()


def test_a_directory_that_is_missing_is_named(make, tmp_path):
    db = make(tmp_path / "no" / "app.db")
    with pytest.raises(sqlite3.OperationalError, match="unable to open") as caught:
        db.open()
    assert "os.makedirs" in caught.value.__notes__[0]
    (tmp_path / "no").mkdir()
    db.open()


FOREIGN = {
    "text": b"hello, this is no database\n" * 100,
    "short": b"hi",
    "zeros": bytes(8192),
    "header": b"SQLite format 3\0" + b"\xff" * 4096,
    "json": b'{"a": 1}',
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_left_alone(make, tmp_path, kind):
    path = tmp_path / "app.db"
    path.write_bytes(FOREIGN[kind])
    before = path.stat()
    with pytest.raises(errors.DatabaseCorrupt, match="not touched") as caught:
        make().open()
    assert isinstance(caught.value, sqlite3.DatabaseError)
    assert caught.value.path == str(path)
    assert path.read_bytes() == FOREIGN[kind]
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(tmp_path) == ["app.db"]


def test_a_new_database_can_give_space_back(make):
    db = make()
    db.execute(TABLE)
    db.executemany("INSERT INTO t (x) VALUES (?)", [[f"{n}" * 500] for n in range(1000)])
    pages = db.fetch_value("PRAGMA page_count")
    db.execute("DELETE FROM t")
    db.maintain()
    assert db.fetch_value("PRAGMA page_count") < pages / 10


def test_pragmas(make):
    db = make(pragmas={"cache_size": -1234, "foreign_keys": True, "application_id": 77, "temp_store": "MEMORY"})
    for fetch in (db.fetch_value, lambda sql: db.execute(sql).rows[0][0]):
        assert fetch("PRAGMA cache_size") == -1234
        assert fetch("PRAGMA application_id") == 77
        assert fetch("PRAGMA temp_store") == 2
    assert db.execute("PRAGMA foreign_keys").rows[0][0] == 1


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("power", 2)])
def test_durability_is_sqlites_synchronous(make, durability, synchronous):
    db = make(durability=durability)
    assert db.execute("PRAGMA synchronous").rows[0][0] == synchronous
    assert db.execute("PRAGMA journal_mode").rows[0][0] == "wal"


def test_on_connect_is_called_with_every_connection(make):
    db = make(on_connect=lambda connection: connection.create_function("twice", 1, lambda x: 2 * x))
    assert db.execute("SELECT twice(4)").rows[0][0] == 8
    assert db.fetch_value("SELECT twice(4)") == 8
    assert [row[0] for row in db.stream("SELECT twice(4)")] == [8]


# -- migrations


def add_rows(connection):
    connection.executemany("INSERT INTO t (x) VALUES (?)", [(n,) for n in range(3)])


FIRST = "CREATE TABLE t (x); CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET x = x + 10; SELECT 1; END; -- done"


def test_migrations_are_applied_once_each(make):
    with make(migrations=[FIRST, add_rows]) as db:
        assert count(db) == 3
    with make(migrations=[FIRST, add_rows, "DELETE FROM t WHERE x = 12"]) as db:
        assert count(db) == 2
        assert db.fetch_value("PRAGMA user_version") == 3
    with make(migrations=[FIRST, add_rows, "DELETE FROM t WHERE x = 12"]) as db:
        assert count(db) == 2
    with make() as db:
        assert count(db) == 2


def test_a_migration_that_fails_is_undone(make):
    def fail(connection):
        connection.execute("DROP TABLE t")
        raise LookupError("in the middle")

    with pytest.raises(LookupError, match="in the middle") as caught:
        make(migrations=[FIRST, add_rows, fail]).open()
    assert "migration 3 of 3" in caught.value.__notes__[0]
    with pytest.raises(sqlite3.OperationalError):
        make(migrations=[FIRST, add_rows, "INSERT INTO t (x) VALUES (5); DROP TABLE nowhere"]).open()
    with pytest.raises(errors.TransactionRefused):
        make(migrations=[FIRST, add_rows, "INSERT INTO t (x) VALUES (5); COMMIT"]).open()
    with make(migrations=[FIRST, add_rows]) as db:
        assert count(db) == 3
        assert db.fetch_value("PRAGMA user_version") == 2


def test_a_newer_database_is_refused(make):
    make(migrations=[FIRST, add_rows]).open()
    with pytest.raises(errors.DatabaseNewer, match="newer") as caught:
        make(migrations=[FIRST]).open()
    assert (caught.value.found, caught.value.known) == (2, 1)


def test_migrations_rebuild_tables_that_others_refer_to(make):
    schema = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p)"
    rows = "INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)"
    rebuild = (
        "CREATE TABLE n (id INTEGER PRIMARY KEY, x); INSERT INTO n (id) SELECT id FROM p; DROP TABLE p;"
        "ALTER TABLE n RENAME TO p"
    )
    with make(migrations=[schema, rows, rebuild], pragmas={"foreign_keys": 1}) as db:
        assert db.fetch_value("SELECT count(*) FROM c") == 1
        with pytest.raises(sqlite3.IntegrityError):
            db.execute("INSERT INTO c VALUES (7)")


# -- backups


def read_all(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute("SELECT x FROM t ORDER BY x").fetchall()


def test_a_backup_is_whole(db, tmp_path):
    fill(db, 1000)
    os.chmod(tmp_path / "app.db", 0o640)
    made = db.backup(tmp_path / "copy.db")
    assert made == str(tmp_path / "copy.db")
    assert [x for (x,) in read_all(made)] == list(range(1000))
    assert stat.S_IMODE(os.stat(made).st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["app.db", "app.db-shm", "app.db-wal", "copy.db"]


def test_a_backup_replaces_only_if_told(db, tmp_path):
    fill(db, 10)
    target = tmp_path / "copy.db"
    target.write_text("mine")
    with pytest.raises(FileExistsError, match="replace=True"):
        db.backup(target)
    assert target.read_text() == "mine"
    db.backup(target, replace=True)
    assert len(read_all(target)) == 10


def test_a_backup_falls_prey_to_nothing(db, tmp_path):
    with pytest.raises(ValueError, match="the database itself"):
        db.backup(tmp_path / "app.db", replace=True)
    (tmp_path / "copy.db-wal").write_text("of another database")
    with pytest.raises(FileExistsError, match="another path"):
        db.backup(tmp_path / "copy.db", replace=True)
    with pytest.raises(ValueError, match="must name a file"):
        db.backup(":memory:")
    with pytest.raises(FileNotFoundError):
        db.backup(tmp_path / "no" / "copy.db")
    assert sorted(os.listdir(tmp_path)) == ["app.db", "app.db-shm", "app.db-wal", "copy.db-wal"]


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("through_a_link", [False, True])
def test_a_backup_is_no_part_of_a_database(db, tmp_path, ending, through_a_link):
    target = tmp_path / f"app.db{ending}"
    if through_a_link:
        (tmp_path / "link.db").symlink_to(target)
        target = tmp_path / "link.db"
    with pytest.raises(ValueError, match="choose another path"):
        db.backup(target, replace=True)
    fill(db, 10)
    assert count(db) == 10


def test_a_backup_does_not_follow_a_link_to_an_open_database(db, make, tmp_path):
    other = make(tmp_path / "other.db")
    other.execute(TABLE)
    fill(other, 10)
    (tmp_path / "link.db").symlink_to("other.db")
    with pytest.raises(FileExistsError, match="another path"):
        db.backup(tmp_path / "link.db", replace=True)
    assert count(other) == 10


def test_a_backup_of_memory(make, tmp_path):
    db = make(":memory:")
    db.execute(TABLE)
    fill(db, 10)
    db.backup(tmp_path / "copy.db")
    assert len(read_all(tmp_path / "copy.db")) == 10
    assert stat.S_IMODE(os.stat(tmp_path / "copy.db").st_mode) == 0o600


# -- other processes and threads


@pytest.fixture
def other(tmp_path, db):
    """Another connection to the file, as another process would have one."""
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None, check_same_thread=False)) as connection:
        yield connection


def test_a_lock_of_others_is_waited_for(db, other, eventually):
    other.execute("BEGIN IMMEDIATE")
    release = threading.Thread(target=lambda: (eventually(lambda: db.stats().busy_retries), other.execute("COMMIT")))
    release.start()
    assert db.execute("INSERT INTO t (x) VALUES (1)").rowcount == 1
    release.join()


def test_a_lock_that_is_kept_is_an_error(make, other):
    db = make(busy_timeout=0.05)
    other.execute("BEGIN IMMEDIATE")
    for call in (
        lambda: db.execute("INSERT INTO t (x) VALUES (1)"),
        lambda: db.run(lambda connection: connection.execute("INSERT INTO t (x) VALUES (1)").rowcount),
        lambda: db.transaction().__enter__(),
    ):
        with pytest.raises(errors.DatabaseBusy, match="locked by another process") as caught:
            call()
        assert isinstance(caught.value, sqlite3.OperationalError)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.timeout == 0.05
    assert count(db) == 0
    other.execute("COMMIT")
    assert db.execute("INSERT INTO t (x) VALUES (1)").rowcount == 1


# -- figures


def test_stats(make):
    db = make(name="memories")
    db.execute(TABLE)
    fill(db, 10)
    count(db)
    figures = db.stats()
    assert (figures.name, figures.writes, figures.reads, figures.pending) == ("memories", 2, 1, 0)
    assert figures.batches == figures.commits.count == 2
    assert figures.max_batch == figures.mean_batch == 1
    assert figures.wal_bytes > 0
    assert figures.oldest_reader == figures.busy_retries == figures.waits == 0
    assert ("sqlite", "memories", figures) in perfkit.stats()
    assert str(figures).startswith("memories: 2 writes in 2 batches (1.0 each)")


def test_maintain(db):
    fill(db, 5000)
    assert db.stats().wal_bytes > 0
    db.maintain()
    assert db.stats().wal_bytes == 0
    assert count(db) == 5000


def test_the_repr_says_what_it_is(make):
    db = make()
    shown = repr(getattr(db, "db", db))
    assert "app.db" in shown
    assert "not opened yet" in shown


# -- what is said of mistakes


def noted(error):
    return " ".join([str(error), *getattr(error, "__notes__", ())])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"timeout": 5}, TypeError, r"Database\(\) takes no timeout: busy_timeout="),
        ({"isolation_level": None}, TypeError, r"Database\(\) takes no isolation_level: perfkit begins"),
        ({"radius": 5}, TypeError, r"Database\(\) got an unexpected keyword argument 'radius'"),
        ({"pragmas": ["foreign_keys=ON"]}, TypeError, "pragmas must be a dict"),
        ({"pragmas": {"foreign_key": 1}}, ValueError, "no pragma 'foreign_key'; it has foreign_key"),
        ({"pragmas": {"wholly_unknown_word": 1}}, ValueError, "no pragma 'wholly_unknown_word'"),
    ],
)
def test_wrong_arguments(make, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        make(**arguments)
    assert "DatabaseBase" not in str(caught.value)


def test_a_url_is_no_path(make):
    with pytest.raises(ValueError, match=r"a plain path, not the URL 'sqlite:///x\.db'"):
        make("sqlite:///x.db")


def test_a_directory_is_no_database(make, tmp_path):
    with pytest.raises(sqlite3.OperationalError) as caught:
        make(tmp_path).open()
    assert f"{tmp_path} is a directory: name a file in it" in noted(caught.value)


@pytest.mark.parametrize("replace", [False, True])
def test_a_directory_is_no_backup(db, tmp_path, replace):
    with pytest.raises(IsADirectoryError, match="a backup is a file: name one in this directory"):
        db.backup(tmp_path, replace=replace)


def test_wrong_calls(db):
    with pytest.raises(TypeError, match="rows must be an iterable of parameters"):
        db.executemany("INSERT INTO t (x) VALUES (?)", None)
    with pytest.raises(TypeError, match="unpack must be a tuple of column names"):
        db.fetch_all("SELECT x FROM t", unpack=True)


@pytest.mark.parametrize("call", ["execute", "fetch_all", "stream"])
def test_several_statements_in_one_call(db, call):
    with pytest.raises((sqlite3.Error, sqlite3.Warning)) as caught:
        list(getattr(db, call)("SELECT 1; SELECT 2"))
    assert "for several statements use a function with run()" in noted(caught.value)


def test_a_stream_that_would_write(db):
    with pytest.raises(sqlite3.OperationalError) as caught:
        list(db.stream("DELETE FROM t"))
    assert "only read: use execute()" in noted(caught.value)


def test_lent_connections_are_as_many_as_readers(make):
    db = make(readers=1)
    with db.connection(), pytest.raises(errors.PoolTimeout) as caught, db.connection(0.01):
        raise AssertionError
    assert "1 at a time, as readers=1 says" in noted(caught.value)


@pytest.mark.parametrize("blob", [b'{"a": 1}', bytes(12), "text", 5])
def test_what_is_not_packed_is_told_by_its_column(db, blob):
    db.execute("INSERT INTO t (x) VALUES (?)", (blob,))
    asked = "SELECT x AS kept FROM t"
    for read in (db.fetch_all, db.fetch_one, db.fetch_value, lambda sql, unpack: list(db.stream(sql, unpack=unpack))):
        with pytest.raises((errors.UnpackError, TypeError), match=r"^column 'kept': .*stored without packed\(\)\?$"):
            read(asked, unpack=("kept",))


def test_readers_have_the_pragmas_that_say_how_one_connection_works(make):
    db = make(pragmas={"foreign_keys": 1, "recursive_triggers": 1})
    assert [db.fetch_value(f"PRAGMA {name}") for name in ("foreign_keys", "recursive_triggers")] == [1, 1]


def test_a_block_is_told_what_to_use(db, outer):
    way = "`await tx.execute" if isinstance(db, Awaited) else r"tx\.execute"
    with db.transaction() as tx, pytest.raises(errors.TransactionRefused, match=f"such as {way}"):
        outer(db, tx).execute("INSERT INTO t (x) VALUES (1)")
