"""What a pool can be told, checked when it is made."""

from __future__ import annotations

import math
import sys
from inspect import iscoroutinefunction

from perfkit._base.calling import check_takes
from perfkit._base.decorating import COROUTINE_FUNCTION, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

__all__ = ["Options", "check_backoff", "check_sizes", "factories_of", "wait_of"]


class Options:
    """The arguments of `perfkit.Pool`, which documents them; None is written as infinity here."""

    def __init__(
        self,
        *,
        max_size: int,
        min_size: int,
        max_waiting: int | None,
        timeout: float | None,
        max_lifetime: float | None,
        lifetime_jitter: float,
        max_idle: float | None,
        max_uses: int | None,
        validate: Callable[[Any], Any] | None,
        validate_after: float,
        reset: Callable[[Any], Any] | None,
        close: Callable[[Any], Any] | None,
        backoff: tuple[float, float],
        leak_after: float | None,
        timer: Callable[[], float],
    ) -> None:
        check_sizes(min_size, max_size)
        self.max_size, self.min_size = max_size, min_size
        self.max_waiting = sys.maxsize if max_waiting is None else _whole(max_waiting, "max_waiting", 0)
        self.timeout = _seconds(timeout, "timeout", zero=True)
        self.max_lifetime = _seconds(max_lifetime, "max_lifetime")
        self.lifetime_jitter = _share(lifetime_jitter)
        self.max_idle = _seconds(max_idle, "max_idle")
        self.max_uses = sys.maxsize if max_uses is None else _whole(max_uses, "max_uses", 1)
        self.validate_after = _number(validate_after, "validate_after", zero=True)
        self.backoff = check_backoff(backoff)
        self.leak_after = _seconds(leak_after, "leak_after")
        for name, function in {"validate": validate, "reset": reset, "close": close}.items():
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"{name} must be a function of a connection, or None, not {function!r}")
            check_takes(function, name, f"{name}(conn)", 1)
        if not callable(timer):
            raise TypeError(f"timer must be a function that returns seconds, such as time.monotonic, not {timer!r}")
        self.validate, self.reset, self.close, self.timer = validate, reset, close, timer


def factories_of(connect: object) -> list[Callable[[], Any]]:
    """Return the factories that ``connect`` is: one function, or several in a list or tuple."""
    factories: Sequence[Any] = connect if isinstance(connect, list | tuple) else [connect]
    if not factories or not all(callable(factory) for factory in factories):
        raise TypeError(
            f"connect must be a function that returns a new connection, or a list of such functions, not {connect!r}"
        )
    for factory in factories:
        if _can_be_closed(factory):
            raise TypeError(
                f"connect must be a function that makes a connection, not {factory!r}, which looks like one that was"
                " made: write `lambda: ...` around what makes it"
            )
        check_takes(factory, "connect", "connect()", 0)
    return list(factories)


def _can_be_closed(factory: object) -> bool:
    """Tell whether this is a thing with a ``close()``, as connections have; some of them can be called, too."""
    return any(callable(getattr(type(factory), name, None)) for name in ("close", "aclose"))


def refuse_coroutine_functions(connect: object, **functions: object) -> None:
    """Raise TypeError for what threads would have to await."""
    # Of what wraps a coroutine function nobody knows whether it awaits it, so only its result tells.
    if any(iscoroutinefunction(factory) for factory in factories_of(connect)):
        raise TypeError(
            "connect is a coroutine function, which a Pool can't await: give an ordinary one, or use AsyncPool"
        )
    for name, function in functions.items():
        if function is not None and kind_of(function) == COROUTINE_FUNCTION:
            raise TypeError(
                f"{name} is a coroutine function, which a Pool can't await: give an ordinary one, or use AsyncPool"
            )


def check_sizes(min_size: object, max_size: object) -> None:
    """Raise unless 0 <= min_size <= max_size, and max_size is at least 1."""
    most, least = _whole(max_size, "max_size", 1), _whole(min_size, "min_size", 0)
    if least > most:
        raise ValueError(f"min_size must be at most max_size, not {least} with a max_size of {most}")


def check_backoff(backoff: object) -> tuple[float, float]:
    """Return the first pause and the longest."""
    if not isinstance(backoff, list | tuple) or len(backoff) != 2:
        raise TypeError(f"backoff must be two numbers of seconds, the first pause and the longest, not {backoff!r}")
    first, most = _number(backoff[0], "backoff's first pause"), _number(backoff[1], "backoff's longest pause")
    if first > most:
        raise ValueError(f"backoff's first pause must be at most the longest, not {first!r} with {most!r}")
    return first, most


def wait_of(timeout: float | None, default: float) -> float:
    """Return how long to wait, in seconds: what a call says, or the pool's."""
    return default if timeout is None else _seconds(timeout, "timeout", zero=True)


def _seconds(value: object, name: str, *, zero: bool = False) -> float:
    return math.inf if value is None else _number(value, name, zero=zero)


def _number(value: object, name: str, *, zero: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r} ({type(value).__name__})")
    if not (value > 0 or (zero and value == 0)):
        raise ValueError(f"{name} must be {'0 seconds or more' if zero else 'more than 0 seconds'}, not {value!r}")
    return value


def _whole(value: object, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r} ({type(value).__name__})")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value!r}")
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"lifetime_jitter must be a number from 0 to 1, not {value!r}")
    if not 0 <= value < 1:
        raise ValueError(f"lifetime_jitter must be from 0 to less than 1, not {value!r}")
    return value
