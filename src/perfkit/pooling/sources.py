"""Where connections come from: one factory, or several in order, each behind its circuit breaker."""

from __future__ import annotations

from inspect import isawaitable
from types import CoroutineType

from perfkit._base.exceptions import annotate, described
from perfkit.errors import BreakerOpen
from perfkit.pooling.options import factories_of
from perfkit.resilience import CircuitBreaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Any

    Factory = Callable[[], Any]

__all__ = ["Sources", "is_mistake", "sources_of", "why_final"]

# What no second try will mend: the program is at fault, and whoever waits had better know.
_FAULTS = (TypeError, AttributeError, NameError, ImportError, NotImplementedError, AssertionError, SyntaxError)
# These alone, and none of their subclasses: a library's own KeyError may say that a service isn't registered yet. And
# no ValueError: answers that can't be read raise it (JSON, numbers, encodings), and untrusted certificates.
_FAULTS_THEMSELVES = (KeyError, IndexError, ZeroDivisionError)
_TRIES_BEFORE_OPEN = 3


class Sources:
    """Factories, the preferred one first; where there are several, each has a breaker, so a dead one costs no time."""

    def __init__(self, factories: Sequence[Factory], breakers: Sequence[CircuitBreaker | None]) -> None:
        self._pairs = list(zip(factories, breakers, strict=True))

    def connect(self) -> tuple[Any, int]:
        """Return a connection and the place of its factory; raises what the last factory raised."""
        errors: list[Exception] = []
        for place, (factory, breaker) in enumerate(self._pairs):
            try:
                return _checked(factory() if breaker is None else breaker.call(factory)), place
            except Exception as error:  # noqa: BLE001 (the next may do better; if not, it is raised)
                errors.append(error)
        raise _told(errors)

    async def aconnect(self) -> tuple[Any, int]:
        """Do as `connect`, with coroutine functions."""
        errors: list[Exception] = []
        for place, (factory, breaker) in enumerate(self._pairs):
            try:
                return _checked(await _acalled(factory, breaker)), place
            except Exception as error:  # noqa: BLE001 (the next may do better; if not, it is raised)
                errors.append(error)
        raise _told(errors)

    def preferred(self) -> Sources:
        """Return the first factory alone."""
        return Sources(*zip(*self._pairs[:1], strict=True))

    def __len__(self) -> int:
        return len(self._pairs)


def sources_of(connect: object, breaker: object, name: str) -> Sources:
    """Return the sources that a pool's ``connect`` and ``breaker`` ask for."""
    factories = factories_of(connect)
    if breaker is None:
        one = len(factories) == 1
        return Sources(factories, [None if one else _breaker(f"{name} factory {n}") for n in range(len(factories))])
    given: list[Any] = list(breaker) if isinstance(breaker, list | tuple) else [breaker]
    if len(given) != len(factories) or not all(isinstance(one, CircuitBreaker) for one in given):
        raise TypeError(
            "breaker must be a perfkit.CircuitBreaker, or with a list of factories a list of as many, one each;"
            f" not {breaker!r}"
        )
    return Sources(factories, given)


def _breaker(name: str) -> CircuitBreaker:
    return CircuitBreaker(consecutive=_TRIES_BEFORE_OPEN, name=name)


async def _acalled(factory: Callable[[], Awaitable[Any]], breaker: CircuitBreaker | None) -> Any:
    if breaker is None:
        return await _awaited(factory)
    async with breaker:
        return await _awaited(factory)


async def _awaited(factory: Callable[[], Awaitable[Any]]) -> Any:
    """Return what a factory makes. What it waited for may be cancelled though nobody cancels the attempt: it failed."""
    from asyncio import CancelledError

    try:
        made = factory()
        return await made if isawaitable(made) else made
    except CancelledError as error:
        if _is_cancelled():
            raise
        raise RuntimeError(f"connect() raised {error!r}, though nobody has cancelled it") from error


def _is_cancelled() -> bool:
    """Tell whether somebody has cancelled the running task, rather than what it waits for."""
    from asyncio import current_task

    task = current_task()
    return task is not None and task.cancelling() > 0


def _checked(conn: object) -> object:
    """Return a connection; raise TypeError for what is one only by mistake."""
    if conn is None:
        raise TypeError("connect() returned None: it has to return the new connection")
    if type(conn) is CoroutineType:
        conn.close()
        raise TypeError("connect() is a coroutine function: use a perfkit.AsyncPool, or an ordinary function")
    return conn


def is_mistake(error: BaseException) -> bool:
    """Tell whether an error is taken for a mistake of the program."""
    return isinstance(error, _FAULTS) or type(error) in _FAULTS_THEMSELVES


def why_final(error: BaseException) -> str | None:
    """Return why trying again right away would be of no use, or None; an error may say so by being ``permanent``."""
    if isinstance(error, BreakerOpen):
        return "its circuit breaker lets nobody through"
    if getattr(error, "permanent", False) is True:
        return "the error says of itself that it is permanent"
    if is_mistake(error):
        return f"{type(error).__name__} is taken for a mistake of the program, which no second try mends"
    return None


def _told(errors: list[Exception]) -> Exception:
    """Return the error to raise: the last one that is no breaker's, with a word about the others."""
    told = next((error for error in reversed(errors) if not isinstance(error, BreakerOpen)), errors[-1])
    for place, error in enumerate(errors):
        if error is not told:
            heading = f"factory {place} before it"
            annotate(told, heading, f"{heading}: {described(error)}")
    return told
