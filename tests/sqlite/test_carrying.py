"""What callers' code may do in the writer's thread, where threads and tasks differ; the contract suite has the rest."""

import asyncio
import sqlite3

import pytest

import perfkit
from perfkit.sqlite import Result

TABLE = "CREATE TABLE t (x)"


def test_a_function_of_the_connections_may_not_wait_for_the_writer(tmp_path):
    def log(text):
        db.execute("INSERT INTO t VALUES (?)", (text,))

    with perfkit.Database(
        tmp_path / "app.db", on_connect=lambda connection: connection.create_function("log", 1, log)
    ) as db:
        db.execute(TABLE)
        with pytest.raises(sqlite3.OperationalError, match="user-defined function raised exception"):
            db.execute("SELECT log('a')")
        assert db.fetch_value("SELECT count(*) FROM t") == 0


def test_a_function_may_query_what_is_committed(tmp_path):
    with perfkit.Database(tmp_path / "app.db") as db:
        db.execute(TABLE)
        db.execute("INSERT INTO t VALUES (1)")
        assert db.run(lambda connection: db.fetch_value("SELECT count(*) FROM t")) == 1


def test_a_task_that_a_function_started_may_write_when_that_is_over(tmp_path):
    async def main():
        loop, over, started = asyncio.get_running_loop(), asyncio.Event(), []

        async def later():
            await over.wait()
            return await db.execute("INSERT INTO t VALUES (1)")

        async with perfkit.AsyncDatabase(tmp_path / "app.db") as db:
            await db.execute(TABLE)
            await db.run(lambda connection: started.append(asyncio.run_coroutine_threadsafe(later(), loop)))
            over.set()
            assert await asyncio.wait_for(asyncio.wrap_future(started[0]), 60) == Result(1, 1, [])

    asyncio.run(main())
