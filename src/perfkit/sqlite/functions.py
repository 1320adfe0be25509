"""Functions of callers' that the writer runs, and what they may give."""

from __future__ import annotations

from inspect import isawaitable
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from perfkit._base.decorating import FUNCTION, kind_of

__all__ = ["check_function", "checked_result", "is_function"]


def is_function(fn: object) -> bool:
    """Tell whether something is an ordinary function: one that does its work when it is called."""
    return callable(fn) and not isinstance(fn, type) and kind_of(fn) == FUNCTION


def check_function(what: str, fn: object) -> None:
    """Raise TypeError for what is no ordinary function; ``what`` takes it."""
    if not is_function(fn):
        raise _refusal(what, fn)


def checked_result(result: Any, made_by: str = "run()") -> Any:
    """Return what a function gave, or raise TypeError if what it was to do would only begin now."""
    if isawaitable(result):
        if hasattr(result, "close"):
            result.close()
        raise _refusal(made_by, result)
    if isinstance(result, GeneratorType | AsyncGeneratorType):
        raise TypeError(
            f"{made_by} can't give {result!r}, which would read when the function is over: fetch inside of it, as in"
            " conn.execute(...).fetchall()"
        )
    return result


def _refusal(what: str, given: object) -> TypeError:
    return TypeError(
        f"{what} takes an ordinary function of a connection, such as lambda conn: conn.execute(...).fetchall(), not"
        f" {given!r}. For awaits between statements use transaction()"
    )
