"""The ways of keeping a JSON state that are measured beside perfkit's, each as its own documentation shows it."""

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import aiofiles
import diskcache
import filelock
import orjson
import tinydb
from tinydb.middlewares import CachingMiddleware
from tinydb.operations import increment
from tinydb.storages import JSONStorage

from measure import Contender, Timed, calls

KEY = "counter"

Wrap = Callable[[Callable[[], object]], Timed]


class Peers:
    """Makes contenders that read or change one document, each in a directory of its own, closed with the stack."""

    def __init__(self, folder: Path, document: dict[str, Any], stack: ExitStack) -> None:
        self.folder = folder
        self.document = document
        self.stack = stack

    def place(self) -> Path:
        """Return a new file that holds the document as ``json.dump(indent=2)`` writes it."""
        home = self.folder / f"{len(list(self.folder.iterdir())):02}"
        home.mkdir()
        path = home / "state.json"
        path.write_text(json.dumps(self.document, indent=2))
        return path

    def reads(self, name: str, read: Callable[[], object], **about: Any) -> Contender:
        """Return a contender that reads the one key; what it reads is checked."""

        def check(_: int) -> None:
            assert read() == self.document[KEY], name

        return Contender(name=name, timed=calls(read), check=check, **about)

    def changes(
        self, name: str, path: Path, change: Callable[[], object], *, timed: Wrap = calls, **about: Any
    ) -> Contender:
        """Return a contender that adds one to the key in a file; that no update was lost is checked."""

        def check(n: int) -> None:
            assert json.loads(path.read_bytes()) == {**self.document, KEY: n}, name

        return Contender(name=name, timed=timed(change), check=check, **about)

    def tinydb(self, storage: Any = JSONStorage) -> Any:
        """Return a TinyDB with a table for each collection of the document, and one for its scalars."""
        db = self.stack.enter_context(tinydb.TinyDB(self.place().with_name("tinydb.json"), storage=storage))
        scalars = {key: value for key, value in self.document.items() if not isinstance(value, (dict, list))}
        db.table("state").insert(scalars)
        for key, value in self.document.items():
            if isinstance(value, list):
                db.table(key).insert_multiple(value)
            elif isinstance(value, dict):
                db.table(key).insert_multiple({"name": name, "value": item} for name, item in value.items())
        return db

    def diskcache(self, **settings: Any) -> Any:
        """Return a diskcache.Cache that holds the document under ``state``, and its one key by itself too."""
        store = self.stack.enter_context(diskcache.Cache(str(self.place().parent), **settings))
        store["state"] = self.document
        store[KEY] = self.document[KEY]
        store.close()  # until its next use, which is in another process
        return store


def read_by_json(path: Path) -> object:
    with open(path) as file:
        return json.load(file)[KEY]


def read_by_orjson(path: Path) -> object:
    return orjson.loads(path.read_bytes())[KEY]


async def read_by_aiofiles(path: Path) -> object:
    async with aiofiles.open(path) as file:
        return json.loads(await file.read())[KEY]


def read_from_tinydb(db: Any) -> object:
    return db.table("state").get(doc_id=1)[KEY]


def change_in_place(path: Path, *, synced: bool = False) -> None:
    """Load, change, dump over the file: the ordinary way, with nothing against a crash or another writer."""
    with open(path) as file:
        document = json.load(file)
    document[KEY] += 1
    with open(path, "w") as file:
        json.dump(document, file, indent=2)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    if synced:
        sync_directory(path.parent)


def change_by_replacing(path: Path, *, synced: bool = False) -> None:
    """Do the same through a temporary file: whole after a crash, but updates of two writers still undo each other."""
    with open(path) as file:
        document = json.load(file)
    document[KEY] += 1
    replace(path, json.dumps(document, indent=2).encode(), synced=synced)


@cache
def file_lock(path: Path) -> filelock.BaseFileLock:
    """Return the path's lock, made at its first use because filelock refuses those that were made before a fork."""
    return filelock.FileLock(path.with_suffix(".lock"))


def change_by_orjson(path: Path, *, synced: bool = False) -> None:
    with file_lock(path):
        document = orjson.loads(path.read_bytes())
        document[KEY] += 1
        replace(path, orjson.dumps(document, option=orjson.OPT_INDENT_2), synced=synced)


async def change_by_aiofiles(path: Path) -> None:
    async with aiofiles.open(path) as file:
        document = json.loads(await file.read())
    document[KEY] += 1
    async with aiofiles.open(path, "w") as file:
        await file.write(json.dumps(document, indent=2))


def change_in_tinydb(db: Any) -> None:
    db.table("state").update(increment(KEY), doc_ids=[1])


def change_in_diskcache(cache: Any) -> None:
    with cache.transact():
        document = cache["state"]
        document[KEY] += 1
        cache["state"] = document


def cached_tinydb(path: str, **options: Any) -> Any:
    """Return TinyDB's storage that keeps all in memory and writes when it is closed, or every thousand changes."""
    return CachingMiddleware(JSONStorage)(path, **options)


def replace(path: Path, data: bytes, *, synced: bool) -> None:
    temp = path.with_suffix(".new")
    with open(temp, "wb") as file:
        file.write(data)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temp, path)
    if synced:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
