"""The lock file is removed or replaced in the middle of a change: no acknowledged change is written over."""

import asyncio
import json
import os
import threading

import pytest

import perfkit
from perfkit import errors


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "here" / "state.json"
    path.parent.mkdir()
    path.write_text("{}")
    return path


def remove_lock_file(path):
    os.unlink(f"{path}.lock")


def replace_lock_file(path):
    os.rename(f"{path}.lock", f"{path}.lock.old")
    with open(f"{path}.lock", "w"):
        pass


def replace_directory(path):
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.mkdir()


@pytest.fixture(params=[remove_lock_file, replace_lock_file, replace_directory])
def lose(request, path, start):
    """``lose()`` takes the lock's file away; then another process, which finds no lock, counts itself in the file."""

    def act():
        request.param(path)
        other = start("increment", path, "update", "other", 1, 1)
        assert other.hear() == ["ready"]
        other.tell("go")
        other.end()

    return act


def edit(path, lose):
    with perfkit.StateFile(path).edit() as document:
        document["mine"] = 1
        lose()


def update(path, lose):
    perfkit.StateFile(path).update(lambda document: document.update(mine=1) or lose())


def async_edit(path, lose):
    async def main():
        async with perfkit.AsyncStateFile(path).edit() as document:
            document["mine"] = 1
            lose()

    asyncio.run(main())


def async_update(path, lose):
    asyncio.run(perfkit.AsyncStateFile(path).update(lambda document: document.update(mine=1) or lose()))


@pytest.mark.parametrize("change", [edit, update, async_edit, async_update])
def test_what_others_wrote_meanwhile_stays(path, lose, change):
    with pytest.raises(errors.StateFileLockError, match=r"state\.json\.lock was removed or replaced"):
        change(path, lose)
    assert json.loads(path.read_bytes()) == {"total": 1, "other": 1}
    perfkit.StateFile(path).update(lambda document: document.update(mine=1))
    assert json.loads(path.read_bytes()) == {"total": 1, "other": 1, "mine": 1}


def test_the_neighbours_of_a_group_that_lost_its_lock_are_written(path, eventually):
    state, outcomes = perfkit.StateFile(path), {}

    def lose_once(document):
        os.unlink(f"{path}.lock")
        document["leader"] = 1

    def call(name, fn):
        try:
            outcomes[name] = state.update(fn)
        except errors.StateFileLockError as error:
            outcomes[name] = type(error)

    calls = {"leader": lose_once, "one": lambda d: d.setdefault("one", 1), "two": lambda d: d.setdefault("two", 2)}
    threads = [threading.Thread(target=call, args=item) for item in calls.items()]
    with perfkit.StateFile(path).edit():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            eventually(lambda number=number: len(state._group.waiting) == number)
    for thread in threads:
        thread.join()
    assert outcomes == {"leader": errors.StateFileLockError, "one": 1, "two": 2}
    assert json.loads(path.read_bytes()) == {"one": 1, "two": 2}
