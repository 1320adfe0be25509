"""durability="power": what is acknowledged survives a power cut, as far as fsync is true to its word.

A preloaded library (fsync_shim.c) records what is flushed and renamed, in order, and copies what a file held when it
was flushed. From that `power_cuts` works out what a power cut would leave at each moment.
"""

import errno
import json
import os
import sys
from itertools import groupby
from pathlib import Path

import power_cuts
import pytest

pytestmark = [
    pytest.mark.needs_install("cc", package="gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and /proc/self/fd are Linux's"),
]

CHANGES = ["edit", "update", "save", "async-edit", "async-update", "async-save"]


class Watched:
    """A program under the shim, and what the shim saw of it."""

    def __init__(self, start, shim, path, log):
        self.path = str(path)
        self.temp = str(path.parent / f".{path.name}.perfkit-tmp")
        self._log = log
        log.mkdir()
        environment = {"LD_PRELOAD": str(shim), "FSYNC_SHIM": str(log)}
        self._program = start("acknowledge", path, environment=environment)

    def do(self, *lines):
        """Have the program do something; return how each line went."""
        outcomes = []
        for line in lines:
            self._program.tell(line)
            outcomes += self._program.hear()
        return outcomes

    def steps(self):
        """Return what was done up to each acknowledgement: names of calls and files, without the copies."""
        parts = groupby(power_cuts.events(self._log), key=lambda event: event[0] == "acknowledged")
        return [[event[:2] for event in part] for acknowledged, part in parts if not acknowledged]

    def left_by_power_cuts(self):
        """Yield ``(name, number, document)`` for each acknowledgement: the file if the power went at that moment."""
        for name, number, files in power_cuts.left(self._log):
            yield name, number, read(files.get(self.path))


def read(copy):
    return None if copy is None else json.loads(copy.read_bytes())


@pytest.fixture
def watched(start, shim, tmp_path):
    directory = Path(os.path.realpath(tmp_path)) / "here"
    directory.mkdir()
    return Watched(start, shim, directory / "state.json", tmp_path / "log")


def test_the_order_of_flushes(watched):
    """File, name, directory, and only then the caller: for a new file and for one that is replaced."""
    assert watched.do(*(f"{change} power {number}" for number, change in enumerate(CHANGES))) == ["ok"] * len(CHANGES)
    directory = os.path.dirname(watched.path)
    expected = [("fsync", watched.temp), ("rename", watched.temp), ("fsync-directory", directory)]
    assert watched.steps() == [expected] * len(CHANGES)


def test_without_power_nothing_is_flushed(watched):
    assert watched.do(*(f"{change} process {number}" for number, change in enumerate(CHANGES))) == ["ok"] * len(CHANGES)
    assert watched.steps() == [[("rename", watched.temp)]] * len(CHANGES)
    assert [document for *_, document in watched.left_by_power_cuts()] == [None] * len(CHANGES)


def test_deleting_is_flushed(watched):
    assert watched.do("edit power 1", "delete power 0", "edit power 1", "async-delete power 0") == ["ok"] * 4
    deleting = [("unlink", watched.path), ("fsync-directory", os.path.dirname(watched.path))]
    assert watched.steps()[1::2] == [deleting] * 2
    assert [document for *_, document in watched.left_by_power_cuts()] == [{"n": 1}, None] * 2


def test_a_power_cut_takes_nothing_that_was_acknowledged(watched):
    watched.do(*(f"{change} power {number}" for number, change in enumerate(CHANGES * 3)))
    left = list(watched.left_by_power_cuts())
    assert len(left) == len(CHANGES * 3)
    assert all(document == {name: number} for name, number, document in left)


def test_a_power_cut_takes_nothing_from_a_group(watched):
    watched.do("group power 10")
    left = list(watched.left_by_power_cuts())
    assert len(left) == 8 * 10
    assert all(document is not None and document[name] >= number for name, number, document in left)
    assert len(watched.steps()) < 8 * 10, "nobody shared a write, so there was no group"


def test_links_are_followed_to_the_directory_that_is_flushed(start, shim, tmp_path):
    directory = Path(os.path.realpath(tmp_path)) / "real"
    directory.mkdir()
    (tmp_path / "link.json").symlink_to(directory / "state.json")
    by_link = Watched(start, shim, tmp_path / "link.json", tmp_path / "log")
    assert by_link.do("edit power 1") == ["ok"]
    assert by_link.steps()[0][-1] == ("fsync-directory", str(directory))
    by_link.path = str(directory / "state.json")
    assert list(by_link.left_by_power_cuts()) == [("n", 1, {"n": 1})]


@pytest.mark.parametrize("change", CHANGES)
def test_content_that_was_there_already_is_flushed_too(watched, change):
    """There is nothing to write, but who wrote it may not have flushed it, and our caller is told that it is
    durable."""
    assert watched.do("edit process 1", f"{change} power 1") == ["ok", "ok"]
    assert list(watched.left_by_power_cuts()) == [("n", 1, None), ("n", 1, {"n": 1})]


@pytest.mark.parametrize("change", CHANGES)
def test_content_that_came_back_is_flushed_too(watched, change):
    """We flushed the same once, but in another file: what has the name now is of somebody else's making."""
    assert watched.do(f"{change} power 1", "edit process 2", "edit process 1", f"{change} power 1") == ["ok"] * 4
    assert [document for *_, document in watched.left_by_power_cuts()] == [{"n": 1}, None, None, {"n": 1}]


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_cannot_be_flushed_is_not_put_in_place(watched, change):
    assert watched.do("edit power 1", "fail file", f"{change} power 2", "fail nothing") == [
        "ok",
        "ok",
        str(errno.EIO),
        "ok",
    ]
    assert json.loads(Path(watched.path).read_bytes()) == {"n": 1}
    assert not os.path.exists(watched.temp)
    assert watched.do(f"{change} power 2") == ["ok"]
    assert list(watched.left_by_power_cuts())[-1] == ("n", 2, {"n": 2})


@pytest.mark.parametrize("change", CHANGES)
def test_a_directory_that_cannot_be_flushed_is_told_and_tried_again(watched, change):
    """The new content has its name then, but it wasn't acknowledged; asking for the same again must not be taken as
    done."""
    assert watched.do("edit power 1", "fail directory", f"{change} power 2") == ["ok", "ok", str(errno.EIO)]
    assert watched.do("fail nothing", f"{change} power 2") == ["ok", "ok"]
    assert list(watched.left_by_power_cuts())[-1] == ("n", 2, {"n": 2})
