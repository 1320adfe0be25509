"""Odd paths, and opening and closing that others come in between."""

import asyncio
import os
import sqlite3
import sys
import threading

import pytest

import perfkit
from perfkit import errors


@pytest.mark.parametrize(
    "odd",
    [
        lambda directory: f"/{directory}/app.db",
        lambda directory: os.fsdecode(os.fsencode(directory) + b"/\xff.db"),
        lambda directory: f"{directory}/a?b#c%41 d.db",
    ],
    ids=["two slashes", "no UTF-8", "signs of URIs"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere file names are Unicode, and // is a host")
def test_readers_find_what_the_writer_wrote(tmp_path, odd):
    with perfkit.Database(odd(tmp_path)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (1)")
        assert db.fetch_value("SELECT x FROM t") == 1
        with db.connection() as lent:
            assert lent.execute("SELECT x FROM t").fetchone()[0] == 1
    assert len(os.listdir(tmp_path)) == 1


def test_the_wal_of_a_link_is_its_target_s(tmp_path):
    sqlite3.connect(tmp_path / "app.db").close()
    (tmp_path / "link.db").symlink_to("app.db")
    with perfkit.Database(tmp_path / "link.db") as db:
        db.execute("CREATE TABLE t (x)")
        assert db.stats().wal_bytes > 0


def writers():
    return [thread for thread in threading.enumerate() if thread.name == "perfkit-sqlite-writer"]


def test_an_opening_that_ends_with_its_loop_leaves_no_writer(tmp_path):
    before = writers()
    lock = sqlite3.connect(tmp_path / "app.db", isolation_level=None)
    lock.execute("CREATE TABLE z (x)")
    lock.execute("BEGIN EXCLUSIVE")
    db = perfkit.AsyncDatabase(tmp_path / "app.db", busy_timeout=30)

    async def give_up():
        opening = asyncio.ensure_future(db.open())
        while len(writers()) == len(before):
            await asyncio.sleep(0)
        opening.cancel()

    asyncio.run(give_up())
    [left] = [thread for thread in writers() if thread not in before]
    lock.execute("COMMIT")
    lock.close()
    left.join(30)
    assert not left.is_alive()

    async def use():
        async with db:
            await db.execute("INSERT INTO z VALUES (1)")

    asyncio.run(use())
    assert os.listdir(tmp_path) == ["app.db"]


def test_a_transaction_that_waits_when_it_is_closed_is_not_entered(tmp_path):
    release, running = threading.Event(), threading.Event()
    entered = []

    def hold(_):
        running.set()
        assert release.wait(30)

    async def main():
        db = perfkit.AsyncDatabase(tmp_path / "app.db")
        held = asyncio.create_task(db.run(hold))
        await asyncio.to_thread(running.wait, 30)

        async def block():
            async with db.transaction():
                entered.append(True)

        waiting = asyncio.create_task(block())
        while not db.stats().transactions:
            await asyncio.sleep(0)
        closing = asyncio.create_task(db.aclose())
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(held, closing)
        with pytest.raises(errors.DatabaseClosed):
            await waiting

    asyncio.run(main())
    assert not entered
