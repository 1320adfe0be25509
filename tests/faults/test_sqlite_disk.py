"""A disk that is full, files that aren't what they should be: errors for those concerned, and nothing else lost."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

import perfkit
from perfkit import errors

TABLE = "CREATE TABLE t (x)"
INSERT = "INSERT INTO t VALUES (?)"


def rows_in(path):
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def test_a_file_that_may_not_grow_fails_who_needs_it_to(start, tmp_path):
    """Of twenty in one commit one wants more than there is; the small ones have their rows, and know of it."""
    path = tmp_path / "app.db"
    program = start("sqlite_limited", path, 400_000)
    assert program.hear() == ["ready"]
    there = 0
    for _ in range(3):
        program.tell("3000000")
        error, acknowledged = program.hear()
        assert error in ("OperationalError", "DatabaseError")
        there += int(acknowledged)
    assert there == 3 * 19
    program.tell(f"limit {1 << 30}")
    program.tell("3000000")
    assert program.hear() == ["ok", "19"]
    program.process.stdin.close()
    assert program.process.wait(60) == 0
    assert rows_in(path) == there + 20


@pytest.mark.needs_privilege
@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_full_disk_fails_its_writers_until_there_is_room(mounted, durability):
    directory = mounted("tmpfs", "size=1m")
    path, ballast = directory / "app.db", directory / "ballast"
    with perfkit.Database(path, durability=durability) as db:
        db.execute(TABLE)
        acknowledged = [db.execute(INSERT, (bytes(1000),)).rowcount for _ in range(50)]
        fill(ballast)
        for _ in range(3):
            with pytest.raises(sqlite3.OperationalError) as caught:
                insert_for_ever(db, acknowledged)
            assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL
        assert db.fetch_value("SELECT count(*) FROM t") == len(acknowledged), "reading goes on"
        with pytest.raises(sqlite3.OperationalError), db.transaction() as tx:
            insert_for_ever(tx, [])
        with pytest.raises(sqlite3.OperationalError):
            db.run(lambda connection: connection.executemany(INSERT, [(bytes(20_000),)] * 100).rowcount)
        with pytest.raises(sqlite3.OperationalError):
            db.execute("CREATE TABLE u AS SELECT t.x FROM t, t AS again")
        ballast.unlink()
        acknowledged += [db.execute(INSERT, (bytes(1000),)).rowcount for _ in range(50)]
    assert rows_in(path) == len(acknowledged)


def insert_for_ever(into, acknowledged):
    while True:
        acknowledged.append(into.execute(INSERT, (bytes(20_000),)).rowcount)


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def damaged(tmp_path, how):
    """Make a database with some rows, and damage it; return its path and bytes."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(TABLE)
        connection.executemany(INSERT, [(bytes(1000),)] * 100)
        connection.commit()
    data = how(path.read_bytes())
    path.write_bytes(data)
    return path, data


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "truncated in a page": lambda data: data[:5000],
    "truncated in the header": lambda data: data[:50],
    "another header": lambda data: b"sQLite format 3\0" + data[16:],
    "a page size there is none of": lambda data: data[:16] + b"\x12\x34" + data[18:],
    "a newer format": lambda data: data[:18] + b"\x07\x07" + data[20:],
    "no schema": lambda data: data[:100] + b"\xff" * 3996 + data[4096:],
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("durability", ["process", "power"])
def test_a_damaged_file_is_an_error_and_left_alone(tmp_path, kind, durability):
    path, data = damaged(tmp_path, DAMAGE[kind])
    before = path.stat().st_mtime_ns
    with pytest.raises(errors.DatabaseCorrupt, match="not touched"):
        perfkit.Database(path, durability=durability, migrations=["CREATE TABLE u (y)"]).open()
    assert path.read_bytes() == data
    assert path.stat().st_mtime_ns == before
    assert os.listdir(tmp_path) == ["app.db"]


def test_an_empty_file_is_a_new_database(tmp_path):
    (tmp_path / "app.db").touch()
    with perfkit.Database(tmp_path / "app.db") as db:
        db.execute(TABLE)
    assert rows_in(tmp_path / "app.db") == 0


def test_a_directory_is_no_database(tmp_path):
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        perfkit.Database(tmp_path).open()
    assert os.listdir(tmp_path) == []


READ_ONLY = """
import os, sqlite3, sys
import perfkit
path, user = sys.argv[1:]
perfkit.Database(":memory:").open()  # loads what this user may not be allowed to read
if user != "same":
    os.setgroups([]), os.setresgid(*[int(user)] * 3), os.setresuid(*[int(user)] * 3)
try:
    perfkit.Database(path).open()
except (perfkit.errors.DatabaseError, sqlite3.OperationalError) as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("mode", ["file", "directory", "nothing allowed"])
def test_what_may_not_be_written_is_an_error_at_once(public_directory, plain_user, mode):
    path, _ = damaged(public_directory, lambda data: data)
    before = path.read_bytes()
    os.chmod(path, 0o000 if mode == "nothing allowed" else 0o444)
    os.chmod(public_directory, 0o555 if mode == "directory" else 0o777)
    found = os.path.dirname(os.path.dirname(perfkit.__file__))
    told = subprocess.run(
        [sys.executable, "-c", READ_ONLY, path, str(plain_user)],
        env=os.environ | {"PYTHONPATH": found},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert told.stdout.split() in (["OperationalError"], ["DatabaseError"]), told
    os.chmod(path, 0o644)
    os.chmod(public_directory, 0o755)
    assert path.read_bytes() == before
    assert os.listdir(public_directory) == ["app.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
