"""How constructors and factories are called: what Python says of a wrong call, in the words of whoever made it."""

from __future__ import annotations

from functools import wraps
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["check_takes", "named", "refusing"]


def named(function: F, name: str, **annotations: str) -> F:
    """Return a copy of a function that goes by ``name`` in errors (``Pool() got an unexpected keyword argument``).

    ``annotations`` are those in which the copy differs.
    """
    made: Any = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__annotations__ = function.__annotations__ | annotations
    made.__doc__, made.__module__, made.__qualname__ = function.__doc__, function.__module__, name
    copy: F = made
    return copy


def check_takes(function: Callable[..., object], name: str, call: str, arguments: int) -> None:
    """Raise TypeError for a function that shows that it can't be called with so many; ``call`` says how it would be."""
    from inspect import signature

    try:
        shown = signature(function)
    except (TypeError, ValueError):  # some that are written in C
        return
    try:
        shown.bind(*[None] * arguments)
    except TypeError as error:
        raise TypeError(f"{name} is called as {call}, which {function!r} doesn't take: {error}") from None


def refusing(refuse: Callable[[tuple[Any, ...], dict[str, Any]], None]) -> Callable[[F], F]:
    """Have ``refuse(args, kwargs)`` called before a function, to raise what says more than Python would."""

    def decorate(function: F) -> F:
        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            refuse(args, kwargs)
            return function(*args, **kwargs)

        decorated: Any = called
        checked: F = decorated
        return checked

    return decorate
