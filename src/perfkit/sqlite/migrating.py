"""Migrations: each applied once, in order, in a transaction of its own, counted in the file's ``user_version``."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from perfkit._base.logs import logger
from perfkit.sqlite.errors import DatabaseNewer
from perfkit.sqlite.functions import checked_result
from perfkit.sqlite.guard import EXECUTE, MIGRATION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfkit.sqlite.options import Migration
    from perfkit.sqlite.sink import SQLiteSink

__all__ = ["migrate", "statements"]


def migrate(sink: SQLiteSink, path: str, migrations: Sequence[Migration]) -> None:
    """Bring the database to the version that the program knows.

    Several processes may do this at once: each migration looks at the version again under the write lock.
    Raises DatabaseNewer, and what a migration raises, with that migration undone.
    """
    while (version := _version(sink)) < len(migrations):
        sink.whole(lambda: _step(sink, version, migrations))
    if version > len(migrations):
        raise DatabaseNewer(
            f"{path} has {version} migrations, and this program knows {len(migrations)}: it was written by a newer"
            " program. Update this one, or open a copy from before",
            path=path,
            found=version,
            known=len(migrations),
        )


def statements(script: str) -> Iterator[str]:
    """Yield the statements of an SQL script, as SQLite tells where one ends."""
    statement = ""
    for piece in script.split(";")[:-1]:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    rest = statement + script.rpartition(";")[2]
    if rest.strip():
        yield rest


def _step(sink: SQLiteSink, version: int, migrations: Sequence[Migration]) -> None:
    """Apply one migration, unless another process has meanwhile."""
    if _version(sink) != version:
        return
    migration = migrations[version]
    sink.guard.where = MIGRATION
    try:
        if isinstance(migration, str):
            for statement in statements(migration):
                sink.connection.execute(statement)
        else:
            checked_result(migration(sink.connection), "a migration")
        sink.connection.check()
        sink.ours(f"PRAGMA user_version={version + 1} -- perfkit")
    except BaseException as error:  # noqa: BLE001 (it is raised again, explained)
        told = sink.explained(error)
        told.add_note(f"in migration {version + 1} of {len(migrations)}, which was undone")
        raise told from error.__cause__
    finally:
        sink.guard.where = EXECUTE
    logger("sqlite").info("migration %d of %d applied", version + 1, len(migrations))


def _version(sink: SQLiteSink) -> int:
    cursor = sink.connection.cursor()
    cursor.row_factory = None
    return int(sink.patience.call(cursor.execute, "PRAGMA user_version").fetchone()[0])
