"""A cache's entries in a file, for a warm start: MessagePack, with forms for what it has none for.

Nothing in a dump is ever executed, as a pickle would be. A digest tells a whole file from a torn or changed one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from datetime import datetime, timezone
from functools import partial
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgpack

from perfkit._base import atomic
from perfkit.caching.errors import CacheDumpCorrupt, CacheDumpRefused
from perfkit.caching.tags import check_tags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    # key, value, seconds left or None, tags, whether it had proved itself
    Record = tuple[Any, Any, float | None, tuple[str, ...], bool]

__all__ = ["read", "write"]

_MAGIC = b"perfkit cache 1\n"
_DIGEST_BYTES = 16

_TUPLE, _SET, _FROZENSET, _DATETIME = range(1, 5)
_CODES = range(1, 5)
_FORMS: dict[object, int] = {tuple: _TUPLE, set: _SET, frozenset: _FROZENSET}
_NESTED = {list, dict}  # other containers have a form, and so a `_pack` of their own
_LOOK_ALIKES = {bytearray, memoryview, msgpack.ExtType, msgpack.Timestamp}
_DEEPEST = 64  # tuples and sets in one another; each takes a call of ours when read, and C's stack has an end
_ALLOWED = (
    "None, bool, int (of 64 bits), float, str, bytes, and list, dict, tuple, set, frozenset of those, and datetime"
)


def write(file: str | os.PathLike[str], records: list[Record]) -> None:
    """Replace a file by a dump, readable by its owner alone, or leave it as it was.

    Raises CacheDumpRefused, which names the key of what can't be dumped; OSError.
    """
    path = _checked_path(file)
    packed = [_packed(path, record) for record in records]
    head = msgpack.packb({"dumped": time.time(), "entries": len(packed)})
    body = head + b"".join(packed)
    directory, name = os.path.split(os.path.realpath(path))
    atomic.replace(
        os.path.join(directory, name),
        _MAGIC + _digest(body) + body,
        temp=os.path.join(directory, f".{name}.{secrets.token_hex(4)}.perfkit-tmp"),
        durability="process",
        mode=0o600,
    )


def read(file: str | os.PathLike[str]) -> list[Record]:
    """Return what a dump holds and has not expired since.

    Raises CacheDumpCorrupt if it isn't a whole dump; OSError.
    """
    path = _checked_path(file)
    with open(path, "rb") as dump:
        content = dump.read()
    head, body = content[: len(_MAGIC) + _DIGEST_BYTES], content[len(_MAGIC) + _DIGEST_BYTES :]
    if head != _MAGIC + _digest(body):
        raise CacheDumpCorrupt(
            f"{path} is no dump of a cache, or not a whole one; the cache is as it was. Remove the file, and the cache"
            " fills itself",
            path=path,
        )
    try:
        return _decoded(body)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException, RecursionError) as error:
        raise CacheDumpCorrupt(f"{path} can't be read as a dump of a cache: {error}", path=path) from error


def _checked_path(path: object) -> str:
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a path-like object such as pathlib.Path, not {path!r}")
    return os.fsdecode(path)


def _decoded(body: bytes) -> list[Record]:
    unpacker = msgpack.Unpacker(None, ext_hook=partial(_unpacked, 1), strict_map_key=False, max_buffer_size=0)
    unpacker.feed(body)
    elapsed = max(0.0, time.time() - unpacker.unpack()["dumped"])  # a clock set back makes nothing older
    records = (_aged(record, elapsed) for record in unpacker)
    return [record for record in records if record[2] is None or record[2] > 0]


def _aged(record: list[Any], elapsed: float) -> Record:
    key, value, left, tags, is_proven = record
    hash(key)  # or the cache would find out, half of the others being in
    return key, value, None if left is None else left - elapsed, check_tags(tags), is_proven


def _packed(path: str, record: Record) -> bytes:
    key, value, left, tags, is_proven = record
    try:
        return _pack([key, value, left, list(tags), is_proven])
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CacheDumpRefused(
            f"{path} was not written: the entry of the key {key!r} can't be dumped ({error}). A dump holds {_ALLOWED}",
            path=path,
            key=repr(key),
        ) from error


def _pack(thing: Any, depth: int = 0) -> bytes:
    packed: bytes = msgpack.packb(thing, default=partial(_form, depth + 1), strict_types=True)
    _refuse_look_alikes(thing)  # after that, when it is known to have no circles
    return packed


def _refuse_look_alikes(thing: Any) -> None:
    """Raise TypeError for what MessagePack takes for something else, which would come back instead."""
    left = [thing]
    while left:
        item = left.pop()
        parts = [*item, *item.values()] if type(item) is dict else item
        kinds = set(map(type, parts))
        for kind in _LOOK_ALIKES & kinds:
            raise TypeError(_has_no_form(kind))
        if not kinds.isdisjoint(_NESTED):
            left += [part for part in parts if type(part) in _NESTED]


def _form(depth: int, thing: Any) -> msgpack.ExtType:
    """Return the form of what MessagePack has none for; exact types alone, or something else would come back."""
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} tuples or sets are in one another")
    if type(thing) in _FORMS:
        return msgpack.ExtType(_FORMS[type(thing)], _pack(list(thing), depth))
    if type(thing) is datetime and _zone(thing) is not None:
        return msgpack.ExtType(_DATETIME, _pack([thing.isoformat(), thing.fold, _zone(thing)]))
    raise TypeError(_has_no_form(type(thing)))


def _has_no_form(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__} has no form in it"


def _zone(moment: datetime) -> str | None:
    """Return the zone's name, "" for none or an offset, None for one that couldn't be made again."""
    zone = moment.tzinfo
    if zone is None or type(zone) is timezone:
        return ""
    return zone.key if type(zone) is ZoneInfo else None


def _unpacked(depth: int, code: int, data: bytes) -> Any:
    if depth > _DEEPEST or code not in _CODES:
        raise ValueError("no form of ours")
    parts = msgpack.unpackb(data, ext_hook=partial(_unpacked, depth + 1), strict_map_key=False)
    if code == _DATETIME:
        text, fold, zone = parts
        moment = datetime.fromisoformat(text).replace(fold=fold)
        return moment.replace(tzinfo=_zone_called(zone)) if zone else moment
    return {_TUPLE: tuple, _SET: set, _FROZENSET: frozenset}[code](parts)


def _zone_called(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"the time zone {name!r} isn't known on this machine; pip install tzdata") from error


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()
