"""SQLite.

Tasks insert rows, and each is answered when its row is committed. Peers have WAL and the same `synchronous`; that every
row acknowledged is in the file is checked in the same run.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from time import perf_counter
from typing import Any

import apsw
import pytest

import sqlite_peers as by
from measure import Claim, Contender
from sqlite_peers import INSERT, ROW, TABLE, Tasks

OURS = "AsyncDatabase.execute()"
LOCKED = "aiosqlite, execute + commit under a lock"
AUTOCOMMIT = "aiosqlite, autocommit"
UNLOCKED = "aiosqlite, execute + commit"
POOLED = "aiosqlitepool(4), execute + commit"
SHARED = "aiosqlite, one shared connection"
POOL = "aiosqlitepool(4)"
FLOOR = "sqlite3, one executemany of all"
UNSAFE = "tasks commit each other's rows"
WAYS = {OURS: by.by_perfkit, LOCKED: by.by_locked_commit, AUTOCOMMIT: by.by_autocommit, UNLOCKED: by.by_commit}
LEAST = {"process": {LOCKED: 25, AUTOCOMMIT: 5, UNLOCKED: 3}, "power": {LOCKED: 30, AUTOCOMMIT: 12, UNLOCKED: 3}}


def inserts(name: str, path: Path, timed: Callable[[int], float], **about: Any) -> Contender:
    per = about.pop("rows", 1)

    def check(n: int) -> None:
        assert by.rows_in(path) == n * per, name

    return Contender(name=name, timed=timed, check=check, **about)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is opened in this process, to be closed."""
    with ExitStack() as stack:
        yield stack


def in_tasks(stack: ExitStack, *arguments: Any) -> Tasks:
    return stack.enter_context(closing(Tasks(*arguments)))


def by_tasks(stack: ExitStack, folder: Path, durability: str, tasks: int, names: dict[str, Any]) -> list[Contender]:
    """Return a contender for each way. Ours gets more to do in a turn, or starting tasks would be what is measured."""
    made = []
    for number, (name, way) in enumerate(names.items()):
        path = folder / f"{number}.db"
        ours = name == OURS
        amount = tasks * 10 if ours and tasks > 1 else tasks
        note = UNSAFE if name == UNLOCKED else ""
        timed = in_tasks(stack, way, path, durability, tasks)
        made.append(inserts(name, path, timed, ours=ours, at_once=amount, note=note))
    return made


@pytest.fixture(params=["process", "power"])
def durability(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("tasks", [100, 1000])
def test_insert_in_tasks(
    compare: Any, stack: ExitStack, folder: Path, durability: str, tasks: int, smoke: bool
) -> None:
    """Rows inserted one by one.

    By many concurrent tasks, each of which waits for its row to be committed before it inserts the next. Ratios are to
    one shared aiosqlite connection with a lock, without which tasks commit and roll back each other's rows. The time is
    that of all tasks together, divided by the rows.
    """
    tasks = 4 if smoke else tasks
    names = {LOCKED: by.by_locked_commit, **WAYS}
    if durability == "process" and tasks == 100:
        names[POOLED] = by.by_pool
    claims = [Claim(OURS, peer, least) for peer, least in LEAST[durability].items()]
    compare(by_tasks(stack, folder, durability, tasks, names), size=f"{tasks} tasks, {durability}", claims=claims)


def test_insert_in_one_task(compare: Any, stack: ExitStack, folder: Path, durability: str) -> None:
    """Rows inserted one by one, by a single task.

    Nothing can be shared here: what is measured is the way to the writer and back, and a commit a row.
    """
    names = {AUTOCOMMIT: by.by_autocommit, OURS: by.by_perfkit, LOCKED: by.by_locked_commit}
    compare(by_tasks(stack, folder, durability, 1, names), size=durability, claims=[Claim(OURS, AUTOCOMMIT, 0.95)])


@pytest.fixture
def slow_fsync(tmp_path: Path) -> Path:
    """A library that makes flushes 2 ms slower."""
    if shutil.which("cc") is None or sys.platform != "linux":
        pytest.skip("cc not found, or not Linux: install gcc")
    library = tmp_path / "slow_fsync.so"
    source = Path(__file__).with_name("slow_fsync.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    return library


class Served:
    """A way of inserting in a program with a library preloaded, started where it is first used."""

    def __init__(self, library: Path, *arguments: object) -> None:
        self._command = [sys.executable, str(Path(by.__file__)), *map(str, arguments)]
        self._environment = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, n: int) -> float:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(n, file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


def test_insert_on_a_slow_disk(compare: Any, stack: ExitStack, folder: Path, slow_fsync: Path, smoke: bool) -> None:
    """Rows inserted one by one, where a flush takes 2 ms longer.

    As on many disks that keep what they say they keep. 100 tasks, `durability="power"`.
    """
    tasks = 4 if smoke else 100

    def served(name: str, way: str, **about: Any) -> Contender:
        path = folder / f"{way}.db"
        timed = stack.enter_context(closing(Served(slow_fsync, way, path, "power", tasks)))
        return inserts(name, path, timed, **about)

    contenders = [
        served(AUTOCOMMIT, "by_autocommit", at_once=tasks),
        served(OURS, "by_perfkit", ours=True, at_once=tasks * 10),
    ]
    compare(contenders, size="100 tasks, power", claims=[Claim(OURS, AUTOCOMMIT, 50)])


def test_insert_many(compare: Any, stack: ExitStack, folder: Path) -> None:
    """Rows inserted a hundred at a time.

    `executemany` of 100 rows from 100 tasks, beside what SQLite can do at best: all rows in one `executemany` and one
    transaction, in one thread. The time is that of all rows, divided by their number of hundreds.
    """
    paths = [folder / f"{number}.db" for number in range(3)]

    def by_sqlite3(n: int) -> float:
        return _all_at_once(sqlite3.connect(paths[0], isolation_level=None), n)

    def by_apsw(n: int) -> float:
        return _all_at_once(apsw.Connection(str(paths[2])), n)

    contenders = [
        inserts(FLOOR, paths[0], by_sqlite3, rows=100),
        inserts(
            "AsyncDatabase.executemany()",
            paths[1],
            in_tasks(stack, by.by_perfkit_hundreds, paths[1], "process", 100),
            rows=100,
            ours=True,
            at_once=100,
        ),
        inserts("apsw, one executemany of all", paths[2], by_apsw, rows=100),
    ]
    compare(contenders, size="100 rows", claims=[Claim("AsyncDatabase.executemany()", FLOOR, 0.6)])


def _all_at_once(connection: Any, n: int) -> float:
    """Insert 100 n rows in one transaction; return the seconds that took."""
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", TABLE):
        list(connection.execute(statement))
    rows = [ROW] * (100 * n)
    started = perf_counter()
    connection.execute("BEGIN")
    connection.executemany(INSERT, rows)
    connection.execute("COMMIT")
    took = perf_counter() - started
    connection.close()
    return took


def mixed(stack: ExitStack, name: str, way: Any, path: Path, counted: str, at_once: int, **about: Any) -> Contender:
    options = {key: about.pop(key) for key in ("readers", "pace") if key in about}
    timed = stack.enter_context(closing(by.Mixed(way, path, counted, **options)))

    def check(n: int) -> None:
        assert by.rows_in(path) > (n if counted == "writes" else 0), name

    return Contender(name=name, timed=timed, check=check, at_once=at_once, **about)


def test_read_beside_writers(compare: Any, stack: ExitStack, folder: Path) -> None:
    """Rows read one by one, by 16 tasks beside 20 that write.

    All go on as fast as they can. Ratios are to one shared aiosqlite connection; the time is that of all reading tasks
    together, divided by the reads.
    """
    contenders = [
        mixed(stack, SHARED, by.mixed_by_connection, folder / "shared.db", "reads", 16),
        mixed(stack, "AsyncDatabase.fetch_one()", by.mixed_by_perfkit, folder / "ours.db", "reads", 160, ours=True),
        mixed(stack, POOL, by.mixed_by_pool, folder / "pool.db", "reads", 16),
    ]
    claims = [Claim("AsyncDatabase.fetch_one()", SHARED, 2), Claim("AsyncDatabase.fetch_one()", POOL, 8)]
    compare(contenders, size="16 readers, 20 writers", claims=claims)


def test_write_beside_readers(compare: Any, stack: ExitStack, folder: Path) -> None:
    """Rows inserted one by one, by 20 tasks beside 16 that read.

    What reading costs writing, in one interpreter. Ratios are to the same 20 tasks with nobody reading.
    """

    def ours(name: str, number: int, **options: Any) -> Contender:
        path = folder / f"{number}.db"
        return mixed(stack, name, by.mixed_by_perfkit, path, "writes", 200, ours=True, **options)

    alone, paced, full = "alone", "beside 2,000 reads a second", "beside readers at full speed"
    contenders = [ours(alone, 0, readers=0), ours(paced, 1, pace=2000.0), ours(full, 2)]
    compare(contenders, size="20 writers", claims=[Claim(paced, alone, 0.8), Claim(full, alone, 0.2)])
