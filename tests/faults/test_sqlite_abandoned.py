"""Programs that end with a database open, and loops closed under one: nothing acknowledged is lost, nothing hangs."""

import ast
import asyncio
import gc
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

import perfkit

SOURCE = Path(__file__).with_name("programs") / "sqlite_exits.py"
# those that take nothing but the file's path; the rest of the functions are helpers
SCENARIOS = [
    node.name
    for node in ast.parse(SOURCE.read_bytes()).body
    if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["path"]
]
TABLE = "CREATE TABLE t (n)"
INSERT = "INSERT INTO t VALUES (?)"


def numbers_in(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {n for (n,) in connection.execute("SELECT n FROM t")}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_program_that_ends_with_it_open(start, tmp_path, scenario):
    path = tmp_path / "app.db"
    program = start("sqlite_exits", scenario, path)
    printed, complaint = program.process.communicate()
    assert program.process.returncode == 0, complaint
    assert complaint == ""
    acknowledged = {int(word) for word in printed.split()}
    assert acknowledged
    assert acknowledged <= numbers_in(path)
    assert 2 not in numbers_in(path) or scenario != "an_open_transaction"


def threads_of_databases():
    """Our writers and readers, and those of connections of aiosqlite. Workers end by themselves, later."""
    named = "sqlite-writer", "sqlite-reader", "connection_worker"
    return {thread for thread in threading.enumerate() if any(name in thread.name for name in named)}


def test_a_loop_that_is_closed_lets_go_of_what_it_lent(tmp_path, eventually):
    """The database goes on in the next loop, with connections of that loop's."""
    db = perfkit.AsyncDatabase(tmp_path / "app.db", migrations=[TABLE])
    before = threads_of_databases()

    async def use():
        await db.execute(INSERT, (1,))
        async with db.connection() as conn:
            [(count,)] = await conn.execute_fetchall("SELECT count(*) FROM t")
        return count

    assert [asyncio.run(use()) for _ in range(3)] == [1, 2, 3]
    gc.collect()
    asyncio.run(db.aclose())
    eventually(lambda: threads_of_databases() <= before)
    assert numbers_in(tmp_path / "app.db") == {1}


def test_a_loop_that_is_closed_in_the_middle(tmp_path):
    """What the closed loop's tasks had begun may be there, and the next loop is served."""
    path = tmp_path / "app.db"
    db = perfkit.AsyncDatabase(path, migrations=[TABLE])
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # tasks are pending: so they are
    loop.run_until_complete(db.open())
    tasks = [loop.create_task(db.execute(INSERT, (n,))) for n in range(100)]
    loop.run_until_complete(asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED))
    acknowledged = {n for n, task in enumerate(tasks) if task.done()}
    loop.close()
    asyncio.run(db.execute(INSERT, (1000,)))
    asyncio.run(db.aclose())
    assert acknowledged | {1000} <= numbers_in(path)
    del tasks
    gc.collect()


def test_dropped_without_closing(tmp_path, eventually):
    before = threads_of_databases()
    path = tmp_path / "app.db"

    def use():
        db = perfkit.Database(path, migrations=[TABLE])
        db.execute(INSERT, (1,))
        stream = db.stream("SELECT n FROM t")
        next(stream)
        with db.connection() as conn:
            assert conn.execute("SELECT n FROM t").fetchone()[0] == 1

    use()
    gc.collect()
    eventually(lambda: threads_of_databases() <= before)
    assert numbers_in(path) == {1}
    assert [each.name for each in path.parent.iterdir()] == ["app.db"]
