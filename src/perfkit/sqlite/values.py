"""Python values in a column: MessagePack, with forms for what it has none for. Nothing read is ever executed."""

from __future__ import annotations

import dataclasses
import struct
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar, overload

import msgpack

from perfkit.sqlite.errors import PackError, UnpackError

if TYPE_CHECKING:
    from collections.abc import Callable

    C = TypeVar("C", bound=type[Any])

__all__ = ["packable", "packed", "unpacked"]

# The codes are in people's files: never give one another meaning.
_TUPLE, _SET, _FROZENSET, _DATETIME, _DATE, _INT, _ARRAY, _RECORD = range(1, 9)
_GROUPS: dict[object, int] = {tuple: _TUPLE, set: _SET, frozenset: _FROZENSET}
_KINDS = {code: kind for kind, code in _GROUPS.items()}
_DEEPEST = 64
_EPOCH = datetime(1970, 1, 1)
_ALLOWED = (
    "None, bool, int, float, str, bytes, datetime, date, numpy arrays, list, dict, tuple, set, frozenset of those, and"
    " dataclasses decorated with perfkit.sqlite.packable"
)

_ASKED = "was it stored without packed()?"

_names: dict[type, str] = {}
_types: dict[str, type] = {}


def packed(value: Any) -> bytes:
    """Return a value as bytes for a BLOB column: ``db.execute(sql, (1, perfkit.packed(embedding)))``.

    `unpacked` makes an equal value of them, in any process and on any machine.

    Args:
        value: None, bool, int, float, str, bytes, datetime, date, list, dict, tuple, set, frozenset of those; numpy
            arrays of numbers, times or strings (where numpy is installed); dataclasses decorated with
            `perfkit.sqlite.packable`. A bytearray or memoryview comes back as bytes, a datetime with its offset from
            UTC and without the name of its zone.

    Returns:
        MessagePack, with extension types for what it has no form for itself.

    Raises:
        PackError: (also a TypeError) there is no form for something in it, and where that is: arrays of Python objects,
            other classes, subclasses of the above, tuples and sets in one another more than 64 deep.

    Cost: about a microsecond for a small dict; for an array one copy.
    """
    try:
        data: bytes = msgpack.packb(value, default=_form, strict_types=True)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        where, reason = _culprit(value)
        raise PackError(f"at {where}: {reason or error}", where=where) from (error if reason is None else None)
    return data


def unpacked(data: bytes | memoryview | None) -> Any:
    """Return the value that `packed` made bytes of; None for None, which is what a NULL column gives.

    Raises:
        UnpackError: (also a ValueError) these are not such bytes, not all of them, or of a dataclass that isn't
            registered in this program.
        TypeError: it is neither bytes nor None, but for example a column of another kind.

    Arrays are read-only and share the bytes' memory: ``.copy()`` gives one of your own. Nothing that is read is
    executed, whoever wrote it: classes registered by `perfkit.sqlite.packable` are called, and no others.
    """
    if data is None:
        return None
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"unpacked() takes the bytes that packed() made, not {data!r:.80}: {_ASKED}")
    try:
        return _unpack(data, 0)
    except (UnpackError, MemoryError):
        raise
    except Exception as error:  # bytes of anybody's making have numpy, datetime and classes raise anything
        raise UnpackError(f"not what packed() made, or not all of it ({error}): {_ASKED}") from error


@overload
def packable(cls: C) -> C: ...
@overload
def packable(*, name: str) -> Callable[[C], C]: ...
def packable(cls: Any = None, *, name: str | None = None) -> Any:
    """Let `packed <perfkit.packed>` take a dataclass: put it above ``@dataclass``.

    The fields are stored by name, so they may be reordered, and new ones that have a default may be added. ``name`` is
    what is stored for the class; it is its qualified name unless it is given, which allows to rename the class later.
    Unpacking calls the class with the fields, and imports nothing.

    Raises TypeError for what is no dataclass, ValueError for a name that another class has.
    """
    if cls is None:
        return lambda decorated: _registered(decorated, name)
    return _registered(cls, None)


def _registered(cls: Any, name: str | None) -> Any:
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise TypeError(f"@packable is for dataclasses, not for {cls!r}: put it above @dataclass")
    called = name or cls.__qualname__
    other = _types.get(called)
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"{called!r} is packed for {other!r} already: give @packable(name=...) another name")
    _names[cls], _types[called] = called, cls
    return cls


def _form(value: Any) -> msgpack.ExtType:
    """Return the form of what MessagePack has none for."""
    return msgpack.ExtType(*_encoded(value, 1))


def _encoded(value: Any, depth: int) -> tuple[int, bytes]:
    kind = type(value)
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    if kind in _GROUPS:
        return _GROUPS[kind], _pack(list(value), depth)
    if kind is datetime:
        return _DATETIME, _pack(_moment(value), depth)
    if kind is date:
        return _DATE, _pack(value.toordinal(), depth)
    if kind is int:
        return _INT, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)
    if kind in _names:
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _RECORD, _pack([_names[kind], fields], depth)
    if kind.__module__ == "numpy":
        return _array(value)
    raise TypeError(_refusal(value))


def _pack(value: Any, depth: int) -> bytes:
    data: bytes = msgpack.packb(
        value, default=lambda inner: msgpack.ExtType(*_encoded(inner, depth + 1)), strict_types=True
    )
    return data


def _moment(value: datetime) -> list[Any]:
    """Return the wall time in microseconds since 1970, the offset from UTC in microseconds or None, and the fold."""
    since = value.replace(tzinfo=None, fold=0) - _EPOCH
    offset = value.utcoffset()
    tick = timedelta(microseconds=1)
    return [since // tick, None if offset is None else offset // tick, value.fold]


def _array(value: Any) -> tuple[int, bytes]:
    """Return dtype, shape and bytes of an array or of one of its items."""
    import numpy as np

    array = np.asarray(value)
    if not isinstance(value, (np.ndarray, np.generic)) or type(value) not in (np.ndarray, type(array[()])):
        raise TypeError(_refusal(value))
    if array.dtype.hasobject or array.dtype.fields or array.dtype.str == "|V0":
        raise TypeError(f"a numpy array of {array.dtype} has no form: use one of numbers, times or strings")
    is_scalar = isinstance(value, np.generic)
    if isinstance(value, (bytes, str)) and array[()] != value:
        raise TypeError(f"a numpy {type(value).__name__} that ends with NUL has no form, for an array drops the NUL")
    head = msgpack.packb([array.dtype.str, None if is_scalar else array.shape])
    return _ARRAY, head + array.tobytes()


def _value(code: int, data: bytes, depth: int) -> Any:
    """Return what an extension type stands for."""
    if code in _KINDS:
        return _KINDS[code](_unpack(data, depth))  # type: ignore[operator]  # tuple, set or frozenset
    if code == _DATETIME:
        since, offset, fold = _unpack(data, depth)
        zone = None if offset is None else timezone(timedelta(microseconds=offset))
        return (_EPOCH + timedelta(microseconds=since)).replace(tzinfo=zone, fold=fold)
    if code == _DATE:
        return date.fromordinal(_unpack(data, depth))
    if code == _INT:
        return int.from_bytes(data, "big", signed=True)
    if code == _ARRAY:
        return _array_of(data)
    if code == _RECORD:
        return _record_of(*_unpack(data, depth))
    raise UnpackError(f"extension type {code} is unknown: it was packed by a newer perfkit, or by something else")


def _unpack(data: bytes | memoryview, depth: int) -> Any:
    """Read what is ``depth`` extension types deep. Each level takes C stack, which has an end that can't be caught."""
    if depth > _DEEPEST:
        raise UnpackError(f"nested more than {_DEEPEST} deep, which packed() never does")
    return msgpack.unpackb(
        data,
        ext_hook=lambda code, inner: _value(code, inner, depth + 1),
        strict_map_key=False,
        use_list=True,
        timestamp=3,  # another program's times, as datetime in UTC
    )


def _array_of(data: bytes) -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise UnpackError("this holds a numpy array, and numpy is not installed: pip install numpy") from error
    head = msgpack.Unpacker()
    head.feed(data[:4096])
    kind, shape = head.unpack()
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise UnpackError("an array of Python objects is never loaded")
    array = np.frombuffer(data, dtype, offset=head.tell())
    return array[0] if shape is None else array.reshape(shape)


def _record_of(name: str, fields: dict[str, Any]) -> Any:
    cls = _types.get(name)
    if cls is None:
        raise UnpackError(f"{name!r} is not registered: import the module that has it, with @packable above it")
    known = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(fields.keys() - known.keys())
    if unknown:
        raise UnpackError(f"{name!r} has no field {', '.join(unknown)} any more, which the stored value has")
    value = cls(**{key: given for key, given in fields.items() if known[key].init})
    for key, given in fields.items():
        if not known[key].init:
            object.__setattr__(value, key, given)
    return value


def _refusal(value: Any) -> str:
    return f"{type(value).__qualname__} has no form; there are {_ALLOWED}"


def _culprit(value: Any) -> tuple[str, str | None]:
    """Find the first thing in a value that has no form: where it is, and why."""
    pending: list[tuple[str, Any, int]] = [("the value", value, 0)]
    while pending:
        where, each, depth = pending.pop()
        below = list(_below(each))
        reason = "nested too deep, or in itself" if depth > _DEEPEST * 4 else _reason(each) if not below else None
        if reason is not None:
            return _short(where), reason
        pending += [(f"{where}{step}", child, depth + 1) for step, child in reversed(below)]
    return "the value", None


def _short(where: str) -> str:
    return where if len(where) <= 200 else f"{where[:60]}…"


def _below(value: Any) -> Any:
    if type(value) is dict:
        for key, child in value.items():
            yield f", key {key!r:.40}", key
            yield f"[{key!r:.40}]", child
    elif type(value) in (list, *_GROUPS):
        yield from ((f"[{number}]", child) for number, child in enumerate(value))
    elif type(value) in _names:
        yield from ((f".{field.name}", getattr(value, field.name)) for field in dataclasses.fields(value))


def _reason(value: Any) -> str | None:
    try:
        msgpack.packb(value, default=_form, strict_types=True)
    except (ValueError, TypeError, OverflowError, RecursionError, struct.error) as error:
        return str(error)
    return None
