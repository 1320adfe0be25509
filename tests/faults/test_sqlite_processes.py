"""Processes that write to one file at once: none is told that it is busy, and no update is lost."""

import sqlite3
from contextlib import closing

ONE, TIMES = 10, 50  # tasks or threads in each process, and what each of them does


def test_six_processes_at_once(start, tmp_path):
    path = tmp_path / "app.db"
    names = ["async 1", "async 2", "async 3", "threads 1", "threads 2", "threads 3"]
    programs = [start("sqlite_increment", path, name, ONE, TIMES) for name in names]
    assert [program.hear() for program in programs] == [["ready"]] * 6
    for program in programs:
        program.tell("go")
    retries = sum(int(program.end()) for program in programs)
    assert retries, "they were never in each other's way: it proves little"
    with closing(sqlite3.connect(path)) as connection:
        counts = dict(connection.execute("SELECT name, n FROM counts"))
        rows = dict(connection.execute("SELECT name, count(*) FROM t GROUP BY name"))
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert counts == dict.fromkeys(names, ONE * TIMES) | {"total": 6 * ONE * TIMES}
    assert rows == dict.fromkeys(names, ONE * TIMES)
