"""Python 3.15 has lazy imports of its own. Where they can do it, they do."""

from __future__ import annotations

import builtins
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

    from perfkit.lazyload.ledger import Record

__all__ = ["Natively", "declare", "does", "is_stored", "is_there"]

is_there = hasattr(builtins, "__lazy_import__")


def does(frame: FrameType) -> bool:
    """Tell whether the interpreter can do what a call in this frame asks for: bind a name of a module lazily.

    Anywhere else, as in a list or a local variable, its lazy object would never become the module.
    """
    return is_there and frame.f_locals is frame.f_globals and is_stored(frame.f_code, frame.f_lasti)


def is_stored(code: CodeType, at: int) -> bool:
    """Tell whether the value of the call at that instruction goes to a name, and nowhere else."""
    from opcode import opmap

    following = [operation for operation in code.co_code[at + 2 :: 2] if operation != opmap.get("CACHE", 0)]
    return following[:1] in ([opmap["STORE_NAME"]], [opmap["STORE_GLOBAL"]])


def declare(record: Record, frame: FrameType) -> Any:
    """Return the interpreter's lazy object for a module."""
    record.is_native = True
    source = f"__lazy_import__({record.name!r}, globals(), globals(), ('__name__',), 0)"
    return eval(compile(source, frame.f_code.co_filename, "eval"), frame.f_globals)  # noqa: S307 (it asks for its caller's module; the name is an identifier)


class Natively:
    """Goes by the name of ``__lazy_modules__`` for a while, contains every module, and notes which are asked for."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._before = names.get("__lazy_modules__", self)
        names["__lazy_modules__"] = self

    def __contains__(self, name: str) -> bool:
        from perfkit.lazyload.ledger import ledger

        frame = sys._getframe(1)
        if name not in sys.modules:
            ledger.record(name, frame.f_code.co_filename, frame.f_lineno).is_native = True
        return True

    def end(self) -> None:
        """Put back what there was."""
        if self._before is self:
            self._names.pop("__lazy_modules__", None)
        else:
            self._names["__lazy_modules__"] = self._before
