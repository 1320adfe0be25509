"""SQLite as a typed program uses it. mypy checks this; nothing runs it."""

import sqlite3
from dataclasses import dataclass
from typing import Any, assert_type

import aiosqlite

from perfkit import AsyncDatabase, Database, packed, unpacked
from perfkit.errors import DatabaseBusy, DatabaseNewer, PackError, StreamExpired, TooManyParameters
from perfkit.sqlite import DatabaseStats, Result, packable


@packable
@dataclass
class Note:
    text: str


@packable(name="note.v1")
@dataclass(frozen=True)
class OldNote:
    text: str


def add_index(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE INDEX by_text ON notes (text)")


def count(connection: sqlite3.Connection) -> int:
    return len(connection.execute("SELECT 1 FROM notes").fetchall())


def threads() -> None:
    with Database(
        "notes.db",
        durability="power",
        readers=4,
        pragmas={"foreign_keys": 1, "temp_store": "MEMORY"},
        migrations=["CREATE TABLE notes (text)", add_index],
        row_factory=None,
        on_connect=lambda connection: connection.create_function("twice", 1, lambda x: 2 * x),
        name="notes",
    ) as db:
        assert_type(db, Database)
        result = db.execute("INSERT INTO notes VALUES (:text)", {"text": "a"})
        assert_type(result, Result)
        assert_type(result.lastrowid, int | None)
        assert_type(result.rowcount, int)
        assert_type(db.executemany("INSERT INTO notes VALUES (?)", (["b"] for _ in range(3))), Result)
        assert_type(db.run(count), int)
        assert_type(db.fetch_all("SELECT * FROM notes"), list[Any])
        for row in db.stream("SELECT * FROM notes", max_age=600):
            print(row)
        with db.transaction(timeout=None) as tx:
            assert_type(tx.execute("DELETE FROM notes"), Result)
            assert_type(tx.run(count), int)
        with db.connection() as connection:
            assert_type(connection, sqlite3.Connection)
        assert_type(db.backup("copy.db", replace=True), str)
        assert_type(db.stats(), DatabaseStats)
        db.fetch_all("SELECT 1", (), ("text",))  # type: ignore[call-arg]  # unpack= is a keyword
        db.execute(b"SELECT 1")  # type: ignore[arg-type]  # text
    Database("notes.db", durability="always")  # type: ignore[arg-type]  # one of two words


async def tasks() -> None:
    async with AsyncDatabase("notes.db", busy_timeout=1, max_batch=100, max_pending=500) as db:
        assert_type(db, AsyncDatabase)
        assert_type(await db.execute("INSERT INTO notes VALUES (?)", (packed(Note("a")),)), Result)
        assert_type(await db.executemany("INSERT INTO notes VALUES (?)", [("b",)]), Result)
        assert_type(await db.run(count), int)
        assert_type(await db.run(lambda connection: connection.total_changes), int)
        assert_type(await db.fetch_all("SELECT * FROM notes", unpack=("text",)), list[Any])
        async for row in db.stream("SELECT * FROM notes"):
            print(row)
        async with db.stream("SELECT * FROM notes") as rows, db.transaction() as tx:
            async for row in rows:
                await tx.execute("INSERT INTO notes VALUES (?)", row)
            assert_type(await tx.run(count), int)
        async with db.connection(timeout=5) as connection:
            assert_type(connection, aiosqlite.Connection)
        assert_type(await db.backup("copy.db"), str)
        await db.maintain()
        await db.flush()


def values(note: Note) -> None:
    assert_type(packed(note), bytes)
    assert_type(Note("a"), Note)  # the decorator leaves the class as it is
    assert_type(OldNote("a").text, str)
    unpacked("text")  # type: ignore[arg-type]  # bytes, or None


def failures(db: Database) -> None:
    try:
        db.execute("DELETE FROM notes")
    except DatabaseBusy as busy:
        assert_type(busy.timeout, float)
        assert_type(busy.path, str)
    except DatabaseNewer as newer:
        assert_type((newer.found, newer.known), tuple[int, int])
    except TooManyParameters as many:
        assert_type(many.limit, int)
    except StreamExpired as expired:
        assert_type(expired.max_age, float)
    except PackError as unpackable:
        assert_type(unpackable.where, str)
