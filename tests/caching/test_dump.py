"""``dump`` and ``warm``: what was there is there again, no longer than it would have lived, or nothing is changed."""

import datetime
import enum
import os
import stat
import zoneinfo

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit import errors
from perfkit.caching import FrequencyBoostLRU, dump
from perfkit.testing import FakeClock

UTC = datetime.UTC
MOMENT = datetime.datetime(2024, 10, 27, 2, 30, 0, 123456)

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
)
hashable = st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache.dump"


def same(one, other):
    """Tell whether two values are equal and of the same types, through and through."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, list | tuple):
        return all(map(same, one, other))
    return True


@given(st.dictionaries(hashable, values, max_size=5))
def test_what_is_dumped_comes_back(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("dump") / "cache.dump"
    cache = FrequencyBoostLRU(None)
    cache.update(entries)
    assert cache.dump(path) == len(entries)
    again = FrequencyBoostLRU(None)
    assert again.warm(path) == len(entries)
    assert all(same(again[key], value) for key, value in entries.items())


def test_zones(path):
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    moments = [
        MOMENT,
        MOMENT.replace(fold=1),
        MOMENT.replace(tzinfo=berlin),
        MOMENT.replace(tzinfo=berlin, fold=1),
        MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5.5))),
    ]
    cache = FrequencyBoostLRU(10)
    cache["moments"] = moments
    cache.dump(path)
    again = FrequencyBoostLRU(10)
    again.warm(path)
    assert [(at.isoformat(), at.fold, at.tzinfo) for at in again["moments"]] == [
        (at.isoformat(), at.fold, at.tzinfo) for at in moments
    ]


def test_queues_and_tags_and_order_come_back(path):
    cache = FrequencyBoostLRU(50)
    for key in [number * number % 97 for number in range(500)]:
        cache.get(key) or cache.put(key, key, tags=[f"odd {key % 2}"])
    cache.dump(path)
    again = FrequencyBoostLRU(50)
    again.warm(path)
    assert list(again) == list(cache)
    assert len(again._store._policy.main) == len(cache._store._policy.main) > 0
    assert again.invalidate(tag="odd 1") == cache.invalidate(tag="odd 1") > 0


def test_the_time_between_is_deducted(path, monkeypatch):
    clock, wall = FakeClock(), FakeClock(1_700_000_000)
    monkeypatch.setattr("time.time", wall)
    cache = FrequencyBoostLRU(10, timer=clock)
    cache.put("long", 1, ttl=100)
    cache.put("short", 2, ttl=10)
    cache.put("for ever", 3)
    clock.advance(5)
    cache.dump(path)
    wall.advance(20)
    clock = FakeClock(50_000)
    again = FrequencyBoostLRU(10, timer=clock)
    assert again.warm(path) == 2
    assert again.expires_at("long") == pytest.approx(clock() + 75)
    assert again.expires_at("for ever") is None
    monkeypatch.setattr("time.time", FakeClock(1_600_000_000))  # a clock set back makes nothing older
    third = FrequencyBoostLRU(10, timer=clock)
    assert third.warm(path) == 3
    assert third.expires_at("long") == pytest.approx(clock() + 95)


def test_what_is_there_stays_and_what_does_not_fit_is_left(path):
    cache = FrequencyBoostLRU(10)
    cache.update(dict.fromkeys(range(10), "dumped"))
    cache.dump(path)
    again = FrequencyBoostLRU(4)
    again[3] = "mine"
    assert again.warm(path) == 3
    assert (len(again), again[3]) == (4, "mine")
    small = FrequencyBoostLRU(None, max_bytes=200)
    small.warm(path)
    assert 0 < small.stats().bytes <= 200


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "bad",
    [object(), 2**64, Colour.RED, Name("x"), 1j, [lambda: 1], {"deep": [{"er": object()}]}, datetime.date(2024, 1, 1)],
    ids=lambda bad: type(bad).__name__,
)
def test_what_has_no_form_is_refused_naming_the_key(bad, path):
    cache = FrequencyBoostLRU(10)
    cache["fine"] = 1
    cache.dump(path)
    before = path.read_bytes()
    cache["the culprit"] = bad
    with pytest.raises(errors.CacheDumpRefused, match="'the culprit'") as refused:
        cache.dump(path)
    assert (refused.value.key, refused.value.path) == ("'the culprit'", str(path))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]
    cache.pop("the culprit")
    if bad.__hash__ is not None:
        cache[(bad,)] = 1
        with pytest.raises(errors.CacheDumpRefused):
            cache.dump(path)


def test_a_circle_is_refused(path):
    cache = FrequencyBoostLRU(10)
    circle = []
    circle.append(circle)
    cache["circle"] = circle
    with pytest.raises(errors.CacheDumpRefused, match="'circle'"):
        cache.dump(path)


def test_a_damaged_dump_leaves_the_cache_as_it_was(path):
    cache = FrequencyBoostLRU(10)
    cache.update({"a": 1, "b": [2, (3,)]})
    cache.dump(path)
    whole = path.read_bytes()
    again = FrequencyBoostLRU(10)
    again["mine"] = 1
    damaged = [whole[:cut] for cut in range(len(whole))]
    damaged += [bytes([*whole[:at], whole[at] ^ 1, *whole[at + 1 :]]) for at in range(len(whole))]
    damaged += [whole + b"x", b"", b"{}", os.urandom(100)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(errors.CacheDumpCorrupt, match="is no dump of a cache, or not a whole one"):
            again.warm(path)
        assert dict(again) == {"mine": 1}
    with pytest.raises(FileNotFoundError):
        again.warm(path.with_name("missing"))


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX modes: run it on another system")
def test_only_the_owner_can_read_it(path):
    cache = FrequencyBoostLRU(10)
    path.write_text("something that all can read")
    path.chmod(0o666)
    cache.dump(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.unlink()
    cache.dump(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_warm_start_in_the_place_of_what_has_expired(tmp_path):
    clock = FakeClock()
    dumped = FrequencyBoostLRU(2, ttl=100, timer=clock)
    dumped.update(x="new", y="new")
    dumped.dump(tmp_path / "dump")
    cache = FrequencyBoostLRU(2, ttl=10, timer=clock)
    cache.update(x="old", z="old")
    clock.advance(50)
    assert cache.warm(tmp_path / "dump") == 2
    assert dict(cache.items()) == {"x": "new", "y": "new"}


@pytest.mark.parametrize("record", [[[1], 1, None, [], False], ["key", 1, None, [3], False]])
def test_a_whole_dump_of_what_no_cache_holds(tmp_path, record):
    good = ["good", 1, None, [], False]
    body = b"".join(map(msgpack.packb, [{"dumped": 0.0, "entries": 2}, good, record]))
    (tmp_path / "dump").write_bytes(dump._MAGIC + dump._digest(body) + body)
    cache = FrequencyBoostLRU(5)
    with pytest.raises(errors.CacheDumpCorrupt):
        cache.warm(tmp_path / "dump")
    assert len(cache) == 0
