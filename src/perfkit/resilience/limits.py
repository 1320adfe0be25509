"""What the parts of resilience may be asked for: arguments checked, with messages that say what is allowed."""

from __future__ import annotations

import math

from perfkit._base.checks import check_callable, check_count, check_hook, check_number, check_seconds, check_timer
from perfkit.resilience.errors import BreakerOpen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "as_tuple",
    "check_between",
    "check_callable",
    "check_count",
    "check_errors",
    "check_hook",
    "check_ignored",
    "check_number",
    "check_rate",
    "check_seconds",
    "check_timer",
    "refuse_arguments",
]


def check_between(value: object, name: str, least: float, most: float = math.inf) -> float:
    """Return a finite number from ``least`` to ``most``."""
    span = f"from {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
    number = check_number(value, name, f"a number {span}")
    if not (least <= number <= most) or number == math.inf:
        raise ValueError(f"{name} must be a number {span}, and finite, not {value!r}")
    return float(number)


def check_rate(value: object, name: str) -> float:
    """Return a fraction above 0, to 1."""
    rate = check_number(value, name, "a fraction, more than 0 and up to 1")
    if not 0 < rate <= 1:
        raise ValueError(f"{name} must be a fraction, more than 0 and up to 1, not {value!r}")
    return rate


def check_errors(errors: object, name: str) -> tuple[type[Exception], ...]:
    """Return exception types as a tuple; one type may stand alone."""
    kinds = errors if isinstance(errors, tuple) else (errors,)
    for kind in kinds:
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            raise TypeError(
                f"{name} must be a subclass of Exception or a tuple of such, not {errors!r}{_hint(errors, kind, name)}"
            )
    return kinds


def check_ignored(errors: object, failures: tuple[type[Exception], ...]) -> tuple[type[Exception], ...]:
    """Return what a breaker ignores: refusals of other breakers too, unless ``failures`` name them."""
    ignored = check_errors(errors, "ignore")
    is_named = any(issubclass(kind, BreakerOpen) for kind in failures)
    return ignored if is_named else (*ignored, BreakerOpen)


def _hint(errors: object, kind: object, name: str) -> str:
    """Return what else is to be said of what is no exception type."""
    if isinstance(kind, type) and issubclass(kind, BaseException):
        return ": what is none, such as KeyboardInterrupt and asyncio's CancelledError, is nobody's failure"
    if callable(kind) and not isinstance(kind, type):
        return ": a function may be given to a retry's `on`, not here"
    return as_tuple(errors, name)


def as_tuple(errors: object, name: str) -> str:
    """Return what to write instead of another collection; nothing where it is none."""
    if not isinstance(errors, list | set | frozenset):
        return ""
    kinds = ", ".join(getattr(kind, "__name__", repr(kind)) for kind in errors)
    return f" (write {name}=({kinds}{',' if len(errors) == 1 else ''}))"


def refuse_arguments(args: tuple[Any, ...], _: dict[str, Any]) -> None:
    """Say what to write to whoever puts the class itself on a function, or leaves a keyword out."""
    if len(args) > 1:
        raise TypeError(
            f"CircuitBreaker takes keyword arguments alone, not {args[1]!r}: make one, breaker = CircuitBreaker(...),"
            " and put @breaker on functions"
        )
