"""JSON in and out.

What ``json`` would do, at msgspec's speed where the two agree, and by ``json`` itself where they don't.

Fast codecs change data silently: on dump NaN becomes null and datetime, set, bytes and Decimal become strings and
lists; on load some reject what ``json`` takes (a byte order mark, lone surrogates, 1e400). So what was encoded fast is
decoded again and compared with the document; on any difference, as on any error, ``json`` decides. The decoded tree
isn't wasted: it is a private copy from which the next edit starts.

Known and not ours: a process whose memory is limited (RLIMIT_AS) may end by SIGSEGV in msgspec's encoder where ``json``
raises MemoryError, because it uses what it failed to allocate. The file is as it was.
"""

import json
import math
import threading
from collections.abc import Iterable
from typing import Any, NamedTuple

try:
    import msgspec
except ImportError:  # no wheel for this interpreter: everything goes by way of json, as below
    _fast_decode = _fast_encode = _fast_format = None
else:
    _fast_decode = msgspec.json.Decoder().decode
    _fast_encode = msgspec.json.Encoder().encode
    _fast_format = msgspec.json.format

__all__ = ["Encoded", "Unserializable", "decode", "encode", "is_too_deep"]


class Encoded(NamedTuple):
    """A document as bytes, with a tree of the same content that nobody else holds (None if that had a cost)."""

    raw: bytes
    tree: Any | None


class Unserializable(Exception):
    """JSON has no form for what is at ``where``; ``reason`` says why."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason


def decode(raw: bytes) -> Any:
    """Return what ``json.loads(raw)`` returns, faster.

    Raises what it raises: JSONDecodeError, UnicodeDecodeError, ValueError.
    """
    if _fast_decode is not None:
        try:
            return _fast_decode(raw)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            pass
    return json.loads(raw)


def is_too_deep(raw: bytes) -> bool:
    """Tell whether a RecursionError of `decode` was due to the document: a stack of its own isn't enough for it."""
    found: list[bool] = []

    def attempt() -> None:
        try:
            decode(raw)
        except RecursionError:
            found.append(True)
        except (ValueError, MemoryError):
            found.append(False)

    thread = threading.Thread(target=attempt)
    try:
        thread.start()
    except RuntimeError:  # no more threads are to be had: in doubt nothing is said against the document
        return False
    thread.join()
    return found == [True]


def encode(document: Any, *, indent: int | None, allow_nan: bool) -> Encoded:
    """Return the document as UTF-8 JSON, laid out as ``json.dumps`` with ``indent`` would (compact if None).

    Raises `Unserializable` for whatever ``json.dumps(document, allow_nan=allow_nan)`` refuses, and RecursionError as it
    does.
    """
    if _fast_encode is not None and _fast_decode is not None:
        try:
            compact = _fast_encode(document)
            tree = _fast_decode(compact)
            if tree == document:
                return Encoded(_laid_out(compact, indent), tree)
        except Exception:  # noqa: BLE001, S110 (also whatever a foreign __eq__ raises: json decides, below)
            pass
    return Encoded(_encode_by_json(document, indent, allow_nan), None)


def _encode_by_json(document: Any, indent: int | None, allow_nan: bool) -> bytes:
    try:
        # Without indent: json's C encoder, which indent= would switch off, is five times as fast as the one in Python.
        text = json.dumps(document, allow_nan=allow_nan, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise Unserializable(*_culprit(document, allow_nan, error)) from error
    try:
        return _laid_out(text.encode(), indent)
    except ValueError:  # lone surrogates have no UTF-8, and NaN is no JSON to msgspec: json lays it out
        pass
    options: dict[str, Any] = {"allow_nan": allow_nan, "indent": indent}
    if indent is None:
        options["separators"] = (",", ":")
    try:
        return json.dumps(document, ensure_ascii=False, **options).encode()
    except UnicodeEncodeError:
        return json.dumps(document, **options).encode()


def _laid_out(compact: bytes, indent: int | None) -> bytes:
    if indent is None:
        return compact
    if _fast_format is None or indent == 0:  # msgspec's 0 is one line with spaces, json's is one item a line
        return json.dumps(json.loads(compact), indent=indent, ensure_ascii=False).encode()
    return _fast_format(compact, indent=indent)


_SCALARS = (str, int, float, bool, type(None))


def _culprit(document: Any, allow_nan: bool, error: Exception) -> tuple[str, str]:
    """Find the place in the document that ``json`` refused, by its own rules; depth first, in its order."""
    pending: list[tuple[str, Any, tuple[int, ...]]] = [("$", document, ())]
    while pending:
        where, value, above = pending.pop()
        if id(value) in above:
            return where, "the document contains itself"
        reason = _refused(value, allow_nan)
        if reason is not None:
            return where, reason
        below = [(f"{where}{_step(key)}", child) for key, child in _children(value)]
        pending += [(place, child, (*above, id(value))) for place, child in reversed(below)]
    return "$", str(error)


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, (list, tuple)) else ()


def _refused(value: Any, allow_nan: bool) -> str | None:
    """Say why ``json`` has no form for the value or for one of its keys, or None."""
    if isinstance(value, dict):
        return next(filter(None, (_refused_key(key, allow_nan) for key in value)), None)
    if isinstance(value, float) and not allow_nan and not math.isfinite(value):
        return f"{float.__repr__(value)} is not JSON; allow_nan=True writes it all the same, as json does"
    if isinstance(value, int):
        return _too_long(value)
    if isinstance(value, (*_SCALARS, list, tuple)):
        return None
    return f"{_a(value)} is not JSON; convert it to str, int, float, bool, None, list or dict first"


def _refused_key(key: Any, allow_nan: bool) -> str | None:
    if not isinstance(key, _SCALARS):
        return f"key {_shown(key)} is {_a(key)}; JSON keys are strings"
    reason = _refused(key, allow_nan)
    return reason and f"key {reason}"


def _too_long(value: int) -> str | None:
    try:
        int.__repr__(value)
    except ValueError as error:  # sys.set_int_max_str_digits
        return str(error)
    return None


def _a(value: object) -> str:
    kind = type(value).__name__ or "object of a class without a name"
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _step(key: object) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{_shown(key)}]"


def _shown(key: object) -> str:
    try:
        return repr(key)
    except Exception:  # noqa: BLE001 (it is the key that is complained of, not its __repr__)
        return object.__repr__(key)
