"""`read_json`: the same freshness as a state file, for those who only read."""

import json
import os

import pytest

import perfkit
from perfkit.statefile import cache


def figures():
    return next(entry.stats for entry in perfkit.stats() if entry.name == "read_json")


def test_it_follows_the_file(tmp_path):
    path = tmp_path / "a.json"
    for number in range(20):
        path.write_text(json.dumps({"n": number}))
        assert perfkit.read_json(path) == perfkit.read_json(str(path)) == {"n": number}
    with pytest.raises(TypeError):
        perfkit.read_json(path)["n"] = 1
    path.unlink()
    with pytest.raises(FileNotFoundError):
        perfkit.read_json(path)


def test_errors_are_those_of_a_state_file(tmp_path):
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(perfkit.errors.StateFileCorrupt):
        perfkit.read_json(tmp_path / "bad.json")
    with pytest.raises(IsADirectoryError):
        perfkit.read_json(tmp_path)
    with pytest.raises(TypeError, match="path must"):
        perfkit.read_json(3)


def test_it_remembers_a_bounded_number(tmp_path):
    for number in range(cache._MAX_FILES + 20):
        path = tmp_path / f"{number}.json"
        path.write_text("[]")
        perfkit.read_json(path)
    assert figures().files == cache._MAX_FILES


def test_what_is_not_there_takes_no_place(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    perfkit.read_json(tmp_path / "a.json")
    before = figures().files
    for number in range(cache._MAX_FILES):
        with pytest.raises(FileNotFoundError):
            perfkit.read_json(tmp_path / f"{number}.json")
    assert figures().files == before


def test_memory_is_given_back(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    os.utime(tmp_path / "a.json", (1, 1))
    perfkit.read_json(tmp_path / "a.json")
    before = figures()
    assert before.held_bytes > 0
    assert cache._cache.reclaim(10**9) == before.held_bytes
    after = figures()
    assert (after.files, after.held_bytes) == (0, 0)
    assert (after.hits, after.parses) == (before.hits, before.parses)
    assert perfkit.read_json(tmp_path / "a.json") == [1]
