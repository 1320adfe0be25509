"""Putting a closure around a function by its kind. Closures and not wrapt's proxies: those alone cost 400 ns a call."""

from __future__ import annotations

import functools
from types import CoroutineType

from perfkit._base.decorating import COROUTINE_FUNCTION, FUNCTION, checked_kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Make = Callable[[Callable[..., Any]], Callable[..., Any]]

__all__ = ["call", "check_not_called", "full_name_of", "name_of", "refuse_coroutine", "wrap"]


def wrap(function: Any, what: str, *, sync: Make, asynchronous: Make) -> Any:
    """Return ``function`` as one of the two makes it, with its own name and signature, to pickle by that name.

    A staticmethod or classmethod stays one. Raises TypeError, naming ``what``, for generator functions, classes and
    what can't be called.
    """
    kind = checked_kind(function, what)
    if isinstance(function, staticmethod):
        return staticmethod(wrap(function.__func__, what, sync=sync, asynchronous=asynchronous))
    if isinstance(function, classmethod):
        return classmethod(wrap(function.__func__, what, sync=sync, asynchronous=asynchronous))
    make = asynchronous if kind == COROUTINE_FUNCTION else sync
    return functools.wraps(function)(make(function))


def call(function: Any, what: str, args: Any, kwargs: Any, *, sync: Make, asynchronous: Make) -> Any:
    """Call ``function`` as one of the two makes it. A class is a function that makes one of its kind."""
    check_not_called(function, "call() takes a function and its arguments, as in call(ask, 1)")
    kind = FUNCTION if isinstance(function, type) else checked_kind(function, what)
    return (asynchronous if kind == COROUTINE_FUNCTION else sync)(function)(*args, **kwargs)


def check_not_called(function: object, rule: str) -> None:
    """Raise TypeError for what can't be called, most likely because it was called already."""
    if callable(function):
        return
    shown = repr(function)
    if isinstance(function, CoroutineType):
        function.close()
    raise TypeError(f"{rule}, not {shown}: pass the function itself, without calling it")


def refuse_coroutine(result: object, what: str) -> None:
    """Raise TypeError if a plain function has returned a coroutine, whose work nobody has looked at."""
    if isinstance(result, CoroutineType):
        result.close()
        raise TypeError(
            f"{what} was given a plain function that returns a coroutine, such as a lambda: pass the coroutine function"
            f" itself, or make it one (async def, and await)"
        )


def full_name_of(function: object) -> str | None:
    """Return what a function is called, with its module; None where it has no name."""
    inner = getattr(function, "__func__", function)
    name, module = name_of(function), getattr(getattr(inner, "func", inner), "__module__", None)
    return f"{module}.{name}" if name and isinstance(module, str) else name


def name_of(function: object) -> str | None:
    """Return what a function is called, for figures and messages; None where it has no name."""
    inner = getattr(function, "__func__", function)
    name = getattr(inner, "__qualname__", None) or getattr(getattr(inner, "func", None), "__qualname__", None)
    return name if isinstance(name, str) else None
