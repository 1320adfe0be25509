"""Deep and damaged dumps: an error, never a crash, and the cache is as it was."""

import hashlib

import msgpack
import pytest

from perfkit.caching import FrequencyBoostLRU
from perfkit.caching import dump as dumps
from perfkit.caching.errors import CacheDumpCorrupt, CacheDumpRefused


def nested(depth, make=lambda inner: (inner,)):
    value = 1
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize("make", [lambda inner: (inner,), lambda inner: frozenset([inner]), lambda inner: (1, [inner])])
def test_as_deep_as_is_allowed(tmp_path, make):
    cache, path = FrequencyBoostLRU(4), tmp_path / "cache"
    cache["deep"] = value = nested(60, make)
    cache.dump(path)
    warmed = FrequencyBoostLRU(4)
    warmed.warm(path)
    assert warmed["deep"] == value


@pytest.mark.parametrize("depth", [100, 600, 5000, 100_000])
def test_deeper_is_refused_naming_the_key(tmp_path, depth):
    cache = FrequencyBoostLRU(4)
    cache["deep"] = nested(depth)
    with pytest.raises(CacheDumpRefused, match="deep"):
        cache.dump(tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []
    while isinstance(cache["deep"], tuple):  # or the interpreter takes it apart recursively
        cache["deep"] = cache["deep"][0]


def written(path, body):
    magic = dumps._MAGIC
    digest = hashlib.blake2b(body, digest_size=dumps._DIGEST_BYTES).digest()
    path.write_bytes(magic + digest + body)


def deep_extension(depth):
    data = msgpack.packb(1)
    for _ in range(depth):
        data = msgpack.packb(msgpack.ExtType(1, b"\x91" + data))
    return data


HEAD = msgpack.packb({"dumped": 0.0})


@pytest.mark.parametrize(
    "body",
    [
        HEAD + deep_extension(2000),
        HEAD + b"\x91" * 100_000,
        HEAD + msgpack.packb(msgpack.ExtType(77, b"?")),
        HEAD + msgpack.packb(msgpack.ExtType(4, msgpack.packb(["never", 0, ""]))),
        HEAD + msgpack.packb([1, 2]),
        HEAD + b"\xc1",
        msgpack.packb([]),
        msgpack.packb({}),
        b"",
    ],
    ids=["deep tuples", "deep lists", "code", "moment", "record", "byte", "head", "no moment", "nothing"],
)
def test_a_body_that_makes_no_sense(tmp_path, body):
    path = tmp_path / "cache"
    written(path, body)
    cache = FrequencyBoostLRU(4)
    cache["a"] = 1
    with pytest.raises(CacheDumpCorrupt):
        cache.warm(path)
    assert dict(cache) == {"a": 1}
