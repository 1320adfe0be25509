"""State files.

One key of a mission-control state is read and changed. Each contender has a file of its own; what it read, and that no
update was lost, is checked in the same run. A peer does the same work as far as it can; notes say what it leaves out.
"""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import perfkit
import statefile_peers as by
from documents import SIZES, as_bytes, mission_state
from measure import Claim, Contender, calls, in_tasks, in_threads
from statefile_peers import KEY, Peers

NAIVE_READ = "open + json.load"
NAIVE_CHANGE = "load + change + json.dump(indent=2)"
NAIVE_FLUSHED = "load + change + json.dump, flushed"
UNLOCKED = "updates of two writers undo each other; a crash while writing leaves half a file"
ATOMIC_UNLOCKED = "updates of two writers undo each other"
BLIND = "does not see what others write"


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def peers(folder: Path, size: str) -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(folder, mission_state(SIZES[size]), stack)


def _add_one(document: Any) -> None:
    document[KEY] += 1


def _edit(state: perfkit.StateFile) -> None:
    with state.edit() as document:
        document[KEY] += 1


def _publisher(path: Path, document: dict[str, Any]) -> Any:
    """Return a function that puts the document in place as another program would, with another counter each time."""
    versions = itertools.cycle([as_bytes({**document, "mission": f"perseid-{n}"}) for n in (8, 9)])
    return lambda: by.replace(path, next(versions), synced=False)


def _settle() -> None:
    """Wait out the 20 ms after a change in which a file's stamps prove nothing."""
    time.sleep(0.05)


def test_read_unchanged(compare: Any, peers: Peers, size: str) -> None:
    """Reading one key while nothing changes.

    A dashboard that polls. The last change is longer ago than the 20 ms in which a file's stamps prove nothing.
    """
    state, path = perfkit.StateFile(peers.place()), peers.place()
    shared, loaded, db = peers.place(), perfkit.StateFile(peers.place()), peers.tinydb()
    cached, cache = peers.tinydb(by.cached_tinydb), peers.diskcache()
    contenders = [
        peers.reads(NAIVE_READ, partial(by.read_by_json, path)),
        peers.reads("StateFile.view()", lambda: state.view()[KEY], ours=True),
        peers.reads("perfkit.read_json()", lambda: perfkit.read_json(shared)[KEY], ours=True),
        peers.reads("StateFile.load()", lambda: loaded.load()[KEY], ours=True, note="a mutable copy"),
        peers.reads("read + orjson.loads", partial(by.read_by_orjson, path)),
        peers.reads("TinyDB", partial(by.read_from_tinydb, db)),
        peers.reads("TinyDB, CachingMiddleware", partial(by.read_from_tinydb, cached), note=BLIND),
        peers.reads("diskcache", lambda: cache["state"][KEY], note="the document as one entry"),
        peers.reads(
            "diskcache, the key alone", lambda: cache[KEY], note="an entry by itself: no document to read whole"
        ),
    ]
    least = {"17 KB": 45, "200 KB": 450, "1 MB": 2500}[size]
    claims = [Claim("StateFile.view()", NAIVE_READ, least)]
    _settle()
    compare(contenders, size=size, claims=claims)


def test_read_changed(compare: Any, peers: Peers, size: str) -> None:
    """First read after another program's change.

    What the cache costs when it does not help: each read follows a new version of the file, put in place untimed.
    """
    paths = [peers.place() for _ in range(5)]
    viewed, loaded, again = (perfkit.StateFile(path) for path in paths[2:])
    publish = [_publisher(path, peers.document) for path in paths]

    def publish_and_view() -> None:
        publish[4]()
        again.view()

    def fresh(name: str, read: Any, before: Any, **about: Any) -> Contender:
        def check(_: int) -> None:
            before()
            assert read() == peers.document[KEY], name

        return Contender(name=name, timed=calls(read, before), check=check, **about)

    contenders = [
        fresh(NAIVE_READ, partial(by.read_by_json, paths[0]), publish[0]),
        fresh("StateFile.view()", lambda: viewed.view()[KEY], publish[2], ours=True),
        fresh("StateFile.load()", lambda: loaded.load()[KEY], publish[3], ours=True, note="a mutable copy"),
        fresh(
            "StateFile.view(), second read",
            lambda: again.view()[KEY],
            publish_and_view,
            ours=True,
            note="nothing changed, but within 20 ms of a change the bytes are read and compared",
        ),
        fresh("read + orjson.loads", partial(by.read_by_orjson, paths[1]), publish[1]),
    ]
    compare(contenders, size=size, between=os.sync)


def test_change_process(compare: Any, peers: Peers, size: str) -> None:
    """Changing one key, to survive a crash of the process.

    Load, change, save, without an fsync: `durability="process"`.
    """
    paths = [peers.place() for _ in range(5)]
    edited, updated = (perfkit.StateFile(path, durability="process") for path in paths[3:])
    contenders = [
        peers.changes(NAIVE_CHANGE, paths[0], partial(by.change_in_place, paths[0]), note=UNLOCKED),
        peers.changes("StateFile.edit()", paths[3], partial(_edit, edited), ours=True),
        peers.changes("StateFile.update()", paths[4], lambda: updated.update(_add_one), ours=True),
        peers.changes(
            "load + change + replace", paths[1], partial(by.change_by_replacing, paths[1]), note=ATOMIC_UNLOCKED
        ),
        peers.changes("orjson + filelock + replace", paths[2], partial(by.change_by_orjson, paths[2])),
        _tinydb_change(peers),
        _diskcache_change(peers, "diskcache", note="the document as one entry"),
        _diskcache_key_change(peers, "diskcache, the key alone"),
    ]
    least = {"17 KB": 3.5, "200 KB": 5, "1 MB": 5}[size]
    compare(contenders, size=size, claims=[Claim("StateFile.edit()", NAIVE_CHANGE, least)], between=os.sync)


def test_change_power(compare: Any, peers: Peers, size: str) -> None:
    """Changing one key, to survive a power cut.

    Load, change, save, with file and directory flushed: `durability="power"`. The baseline is the ordinary way without
    any flush; with it, the ordinary way is further down.
    """
    paths = [peers.place() for _ in range(7)]
    edited, updated = (perfkit.StateFile(path, durability="power") for path in paths[5:])
    text = as_bytes(peers.document)
    floor = calls(partial(by.replace, paths[4], text, synced=True))
    contenders = [
        peers.changes(NAIVE_CHANGE, paths[0], partial(by.change_in_place, paths[0]), note=f"not flushed; {UNLOCKED}"),
        peers.changes("StateFile.edit()", paths[5], partial(_edit, edited), ours=True),
        peers.changes("StateFile.update()", paths[6], lambda: updated.update(_add_one), ours=True),
        peers.changes(NAIVE_FLUSHED, paths[1], partial(by.change_in_place, paths[1], synced=True), note=UNLOCKED),
        peers.changes(
            "load + change + replace, flushed",
            paths[2],
            partial(by.change_by_replacing, paths[2], synced=True),
            note=ATOMIC_UNLOCKED,
        ),
        peers.changes(
            "orjson + filelock + replace, flushed", paths[3], partial(by.change_by_orjson, paths[3], synced=True)
        ),
        _diskcache_change(
            peers,
            "diskcache, synchronous=FULL",
            sqlite_synchronous=2,
            disk_min_file_size=2**26,
            note="the document as one entry, kept inside the database, which is what diskcache flushes",
        ),
        Contender(
            name="write + replace, flushed, no JSON",
            timed=floor,
            check=lambda _: None,
            note="what the disk takes, whoever writes",
        ),
    ]
    least = {"17 KB": 1.4, "200 KB": 4, "1 MB": 4.5}[size]
    compare(contenders, size=size, claims=[Claim("StateFile.edit()", NAIVE_CHANGE, least)], between=os.sync)


@pytest.mark.parametrize("size", ["17 KB", "200 KB"], indirect=True)
def test_change_in_threads(compare: Any, peers: Peers, size: str, smoke: bool) -> None:
    """Changing one key from 64 threads, to survive a power cut.

    Each update is acknowledged when it is on disk. The ordinary way has a `threading.Lock` around it, without which it
    loses updates and soon the file. The time is that of all threads together, divided by the updates.
    """
    count = 4 if smoke else 64
    in_crowd = partial(in_threads, count)
    paths = [peers.place() for _ in range(5)]
    updated, edited = (perfkit.StateFile(path, durability="power") for path in paths[3:])
    lock = threading.Lock()

    def locked(change: Any, *args: Any, **options: Any) -> Any:
        def change_alone() -> None:
            with lock:
                change(*args, **options)

        return change_alone

    crowd: dict[str, Any] = {"timed": in_crowd, "at_once": count}
    # Groups form while the group before is written, so one update a thread would measure how threads start instead.
    grouped = {**crowd, "at_once": 16 * count}
    contenders = [
        peers.changes(NAIVE_FLUSHED, paths[0], locked(by.change_in_place, paths[0], synced=True), **crowd),
        peers.changes("StateFile.update()", paths[3], lambda: updated.update(_add_one), ours=True, **grouped),
        peers.changes("StateFile.edit()", paths[4], partial(_edit, edited), ours=True, note="one write each", **crowd),
        peers.changes(NAIVE_CHANGE, paths[1], locked(by.change_in_place, paths[1]), note="not flushed", **crowd),
        peers.changes(
            "orjson + filelock + replace, flushed",
            paths[2],
            locked(by.change_by_orjson, paths[2], synced=True),
            note="a threading.Lock before the file lock, which polls",
            **crowd,
        ),
    ]
    claims = [Claim("StateFile.update()", NAIVE_FLUSHED, 15), Claim("StateFile.update()", NAIVE_CHANGE, 15)]
    compare(contenders, size=size, claims=claims, between=os.sync)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_read_in_tasks(compare: Any, peers: Peers, size: str, runner: asyncio.Runner, smoke: bool) -> None:
    """Reading one key from 64 tasks while nothing changes.

    `AsyncStateFile` beside aiofiles, which hops to a thread for opening, for reading and for closing. The time is that
    of all tasks together, divided by the reads.
    """
    count = 4 if smoke else 64
    path, state = peers.place(), perfkit.AsyncStateFile(peers.place())

    async def view() -> object:
        return (await state.view())[KEY]

    def reads(name: str, read: Any, **about: Any) -> Contender:
        def check(_: int) -> None:
            assert runner.run(read()) == peers.document[KEY], name

        return Contender(name=name, timed=in_tasks(runner, count, read), check=check, at_once=count, **about)

    contenders = [
        reads("aiofiles + json.loads", partial(by.read_by_aiofiles, path)),
        reads("AsyncStateFile.view()", view, ours=True),
    ]
    _settle()
    compare(contenders, size=size)


@pytest.mark.parametrize("size", ["17 KB", "200 KB"], indirect=True)
def test_change_in_tasks(compare: Any, peers: Peers, size: str, runner: asyncio.Runner, smoke: bool) -> None:
    """Changing one key from 64 tasks.

    `AsyncStateFile` in both durabilities beside aiofiles with an `asyncio.Lock` around it. The time is that of all
    tasks together, divided by the updates.
    """
    count = 4 if smoke else 64
    lock, paths = asyncio.Lock(), [peers.place() for _ in range(3)]
    process = perfkit.AsyncStateFile(paths[1], durability="process")
    power = perfkit.AsyncStateFile(paths[2], durability="power")

    async def by_aiofiles() -> None:
        async with lock:
            await by.change_by_aiofiles(paths[0])

    crowd: dict[str, Any] = {"timed": partial(in_tasks, runner, count), "at_once": count}
    contenders = [
        peers.changes("aiofiles + json", paths[0], by_aiofiles, note=f"not flushed; {UNLOCKED}", **crowd),
        peers.changes(
            "AsyncStateFile.update(), process", paths[1], lambda: process.update(_add_one), ours=True, **crowd
        ),
        peers.changes("AsyncStateFile.update(), power", paths[2], lambda: power.update(_add_one), ours=True, **crowd),
    ]
    compare(contenders, size=size, between=os.sync)


def _tinydb_change(peers: Peers) -> Contender:
    db = peers.tinydb()

    def check(n: int) -> None:
        assert by.read_from_tinydb(db) == n

    return Contender(name="TinyDB", timed=calls(partial(by.change_in_tinydb, db)), check=check, note=UNLOCKED)


def _diskcache_change(peers: Peers, name: str, note: str, **settings: Any) -> Contender:
    cache = peers.diskcache(**settings)

    def check(n: int) -> None:
        assert cache["state"] == {**peers.document, KEY: n}

    return Contender(name=name, timed=calls(partial(by.change_in_diskcache, cache)), check=check, note=note)


def _diskcache_key_change(peers: Peers, name: str) -> Contender:
    cache = peers.diskcache()

    def check(n: int) -> None:
        assert cache[KEY] == n

    note = "an entry by itself: no document to change whole"
    return Contender(name=name, timed=calls(lambda: cache.incr(KEY)), check=check, note=note)
