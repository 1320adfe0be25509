"""Nobody reads older data than was written before the reading began, whatever the file system's time stamps do.

Another process rewrites files at the same size, in bursts with pauses between them, so that a reader meets both stamps
that are too young to be trusted and ones that it does trust. After each write that process announces the number it
wrote. A reader looks at the announcement first and at the file then: a lower number in the file is a stale read.
"""

import json
import mmap
import os
from collections import Counter
from pathlib import Path

import pytest

import perfkit

WAYS = ("replace", "in-place", "replace-keeping-time", "in-place-keeping-time", "replace-twice")
NOTHING_STALE = dict.fromkeys(WAYS, 0)
# Between bursts. Stamps of a tick are trusted after 20 ms, those of a second after 2 s.
SHORT = [0.0, 0.001, 0.004, 0.015, 0.03, 0.05] * 5
LONG = [0.0, 0.001, 0.03, 0.2, 2.3, 0.001, 0.03]


class NaiveCache:
    """What most programs do: read again when modification time or size has changed."""

    def __init__(self, path):
        self.path = path
        self.key = self.document = None

    def view(self):
        seen = os.stat(self.path)
        if (seen.st_mtime_ns, seen.st_size) != self.key:
            self.document = json.loads(Path(self.path).read_bytes())
            self.key = seen.st_mtime_ns, seen.st_size
        return self.document


@pytest.fixture
def hammer(start, tmp_path):
    """``hammer(where, pauses, make)`` reads by way of ``make(path)`` what the writer writes; returns readers and stale
    reads."""

    def hammer(where, pauses, make):
        paths = {way: str(where / f"{way}.json") for way in WAYS}
        for path in paths.values():
            Path(path).write_text(json.dumps({"first": "0" * 12, "between": "x" * 40, "last": "0" * 12}))
        board_path = tmp_path / "board"
        board_path.write_bytes(bytes(8 * (len(WAYS) + 1)))
        with open(board_path, "r+b") as file:
            board = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        readers = {way: make(path) for way, path in paths.items()}
        writer = start("foreign_writer", board_path, ",".join(map(str, pauses)), *map("=".join, paths.items()))
        stale = count_stale(writer, board, list(readers.values()))
        writer.end()
        return readers, {way: stale[slot] for slot, way in enumerate(WAYS)}

    return hammer


def count_stale(writer, board, readers):
    stale = Counter()
    while not board[len(readers)] and writer.process.poll() is None:
        for slot, reader in enumerate(readers):
            for read in (reader.view, getattr(reader, "load", reader.view)):
                announced = board[slot]
                document = read()
                # the older half counts, should we have met a write in place half done
                stale[slot] += min(int(document["first"]), int(document["last"])) < announced
    return stale


def assert_fresh(hammer, where, pauses):
    readers, stale = hammer(where, pauses, perfkit.StateFile)
    assert stale == NOTHING_STALE
    # both ways of answering were tried: from memory, and by reading again
    assert all(reader.stats().hits > 10 and reader.stats().parses > 10 for reader in readers.values())


def test_nothing_is_stale_on_the_disk(hammer, tmp_path):
    assert_fresh(hammer, tmp_path, SHORT)


def test_nothing_is_stale_in_memory(hammer, memory_disk):
    assert_fresh(hammer, memory_disk, SHORT)


@pytest.mark.needs_install("mkfs.ext3", package="e2fsprogs")
@pytest.mark.needs_privilege
def test_nothing_is_stale_where_stamps_come_in_ticks(hammer, ext3):
    assert_fresh(hammer, ext3(256), SHORT)


@pytest.mark.needs_install("mkfs.ext3", package="e2fsprogs")
@pytest.mark.needs_privilege
def test_nothing_is_stale_where_stamps_come_in_seconds(hammer, ext3):
    where = ext3(128)
    assert_fresh(hammer, where, LONG)
    assert all(os.stat(where / f"{way}.json").st_ctime_ns % 1_000_000_000 == 0 for way in WAYS)


@pytest.mark.needs_install("mkfs.ext3", package="e2fsprogs")
@pytest.mark.needs_privilege
def test_the_hammer_finds_what_is_stale_where_stamps_come_in_seconds(hammer, ext3):
    _, stale = hammer(ext3(128), SHORT, NaiveCache)
    assert all(stale.values()), stale


def test_the_hammer_finds_what_is_stale_where_times_are_put_back(hammer, tmp_path):
    _, stale = hammer(tmp_path, SHORT, NaiveCache)
    assert stale["replace-keeping-time"]
    assert stale["in-place-keeping-time"]
    assert stale["replace-twice"]
