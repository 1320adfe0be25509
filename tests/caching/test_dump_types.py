"""Dumps hold exact types, and say what they can't hold or what can't be read here."""

import datetime
import pathlib
import zoneinfo

import msgpack
import pytest

from perfkit import errors
from perfkit.caching import FrequencyBoostLRU


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.dump"


@pytest.mark.parametrize(
    "thing",
    [bytearray(b"x"), memoryview(b"x"), msgpack.ExtType(1, b"\x90"), msgpack.Timestamp(5)],
    ids=lambda thing: type(thing).__name__,
)
@pytest.mark.parametrize(
    "around",
    [
        lambda thing: thing,
        lambda thing: [1, [thing]],
        lambda thing: {"a": {"b": thing}},
        lambda thing: ({"a": (thing,)},),
    ],
    ids=["itself", "list", "dict", "tuple"],
)
def test_what_would_come_back_as_something_else_is_refused(thing, around, path):
    cache = FrequencyBoostLRU(10)
    cache["culprit"] = around(thing)
    with pytest.raises(errors.CacheDumpRefused, match=r"'culprit' .*has no form in it"):
        cache.dump(path)
    assert not path.exists()


def test_it_is_refused_as_a_key_too(path):
    for key in (memoryview(b"x"), (1, msgpack.ExtType(1, b"\x90")), frozenset([memoryview(b"x")])):
        for things in ({key: 1}, {"inner": {key: 1}}):
            cache = FrequencyBoostLRU(10)
            cache.update(things)
            with pytest.raises(errors.CacheDumpRefused):
                cache.dump(path)


@pytest.mark.parametrize("unknown", [zoneinfo.ZoneInfoNotFoundError("no such zone"), IsADirectoryError()])
def test_a_zone_that_is_not_known_here_is_named(unknown, path, monkeypatch):
    class Elsewhere(zoneinfo.ZoneInfo):
        def __new__(cls, key):
            raise unknown

    cache = FrequencyBoostLRU(10)
    cache["then"] = datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin"))
    cache.dump(path)
    monkeypatch.setattr("perfkit.caching.dump.ZoneInfo", Elsewhere)
    again = FrequencyBoostLRU(10)
    again["mine"] = 1
    with pytest.raises(errors.CacheDumpCorrupt, match=r"the time zone 'Europe/Berlin' isn't known.*tzdata") as corrupt:
        again.warm(path)
    assert corrupt.value.path == str(path)
    assert list(again) == ["mine"]


@pytest.mark.parametrize("wrong", [b"cache.dump", 5, None])
def test_paths(wrong):
    cache = FrequencyBoostLRU(10)
    for use in (cache.dump, cache.warm):
        with pytest.raises(TypeError, match=f"path must be a str or a path-like object.*, not {wrong!r}"):
            use(wrong)


def test_paths_may_be_objects_or_strings(path):
    cache = FrequencyBoostLRU(10)
    cache["a"] = 1
    assert cache.dump(str(path)) == 1
    assert cache.dump(pathlib.Path(path)) == 1
    assert FrequencyBoostLRU(10).warm(str(path)) == 1
