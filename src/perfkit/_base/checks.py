"""Arguments checked, with messages that say what is allowed."""

from __future__ import annotations

import sys

from perfkit._base.calling import check_takes
from perfkit._base.decorating import COROUTINE_FUNCTION, kind_of

__all__ = ["check_callable", "check_count", "check_hook", "check_name", "check_number", "check_seconds", "check_timer"]


def check_number(value: object, name: str, what: str) -> float:
    """Return a real number that is no bool; ``what`` says what the number is of."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {what}, not {value!r} ({type(value).__name__})")
    return value


def check_seconds(value: object, name: str, *, least: str = "more than 0") -> float:
    """Return a finite number of seconds: more than 0, or where ``least`` is "0 or more", from 0."""
    seconds = check_number(value, name, "a number of seconds")
    if not (0 <= seconds <= sys.float_info.max) or (seconds == 0 and least == "more than 0"):
        raise ValueError(f"{name} must be {least} seconds, and finite, not {value!r}")
    return float(seconds)


def check_count(value: object, name: str) -> int:
    """Return a whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number from 1, not {value!r} ({type(value).__name__})")
    if value < 1:
        raise ValueError(f"{name} must be a whole number from 1, not {value!r}")
    return value


def check_name(name: object) -> str | None:
    """Return a name, or None."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a string, not {name!r} ({type(name).__name__})")
    return name


def check_callable(function: object, name: str, call: str, arguments: int | None = 1) -> None:
    """Raise TypeError unless ``function`` is None or can be called with so many; ``call`` shows how it would be.

    None: what it takes is not looked at, for that costs some 20 µs, or it may be anything.
    """
    if function is None:
        return
    if not callable(function):
        raise TypeError(f"{name} must be a function, called as {call}, not {function!r}")
    if arguments is not None:
        check_takes(function, name, call, arguments)


def check_hook(function: object, name: str, call: str, arguments: int = 1) -> None:
    """Do as `check_callable`, and refuse coroutine functions too."""
    check_callable(function, name, call, arguments)
    if function is not None and kind_of(function) == COROUTINE_FUNCTION:
        raise TypeError(f"{name} must be a plain function, called as {call}: nobody would await it")


def check_timer(timer: object) -> None:
    """Raise TypeError unless ``timer`` can be called."""
    if not callable(timer):
        raise TypeError(f"timer must be a function that returns seconds, such as time.monotonic, not {timer!r}")
