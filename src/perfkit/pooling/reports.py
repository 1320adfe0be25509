"""What a pool says: its errors' words, its warnings, its log (``perfkit.pooling``)."""

from __future__ import annotations

import contextlib
import itertools
import sys
import warnings

from perfkit._base.exceptions import annotate, described, outlined, to_raise
from perfkit._base.logs import logger
from perfkit.errors import BreakerOpen
from perfkit.pooling.errors import PoolReentered, PoolTimeout
from perfkit.pooling.sources import why_final

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from perfkit.pooling.core import Core
    from perfkit.pooling.entry import Attempt, Entry

_numbers = itertools.count(1)
_FRAMES = 3
_LEAKS = "; with leak_after=60 it logs where a connection was taken that is lent for more than 60 s"
_STOPS = "; an event loop runs in this thread, and stood still while this waited: use a perfkit.AsyncPool there"


def name_of(name: object, connect: object) -> str:
    """Return what a pool is called: its name, or one made of its factory's."""
    if name is None:
        made_of = getattr(connect, "__name__", "pool")
        return f"{'pool' if made_of == '<lambda>' else made_of} #{next(_numbers)}"
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, or None for one made up, not {name!r}")
    return name


def kept(name: str, raised: BaseException) -> Exception:
    """Return the error of an attempt to connect as it is kept, for whoever is told of it."""
    error: BaseException = raised
    if not isinstance(error, Exception):
        error = RuntimeError(f"connect() raised {raised!r}")
        error.__cause__ = raised
    found = outlined(error)
    if found is not raised:
        raised.__traceback__ = None  # or one that is raised again and again would be longer each time
    why = why_final(raised)
    if why is not None:
        annotate(found, heading := _could_not(name), f"{heading}, and does not try again at once: {why}")
    return found


def timeout_error(core: Core, patience: float, *, is_watching: bool, stops_loop: bool) -> Exception:
    """Return the error of a caller whose time is up. Under the lock."""
    if core.error is not None and not core.size:
        error = to_raise(core.error)
        if not core.is_final:  # then it has a note already
            heading, times = _could_not(core.name), counted(core.failed_in_row, "attempt")
            annotate(error, heading, f"{heading} within {patience:g} s, in {times}")
        return error
    lent = core.size - len(core.idle)
    hints = [_LEAKS] if lent and not is_watching else []
    hints += [_STOPS] if stops_loop else []
    found = PoolTimeout(
        f"{core.name!r}: no connection came free within {patience:g} s (in use: {lent} of at most {core.max_size};"
        f" being made: {core.connecting}; others who wait: {len(core.waiting)})" + "".join(hints),
        pool=core.name,
        timeout=patience,
    )
    found.__cause__ = core.error
    return found


def _could_not(name: str) -> str:
    return f"{name!r} could not connect"


def counted(number: int, thing: str) -> str:
    """Return how many there are, in words."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def runs_loop() -> bool:
    """Tell whether an event loop runs in this thread. In a program that has no asyncio none does."""
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def not_lent(name: str, conn: object, entries: Iterable[Entry]) -> str:
    """Return why a connection can't be given back."""
    if any(entry.conn is conn for entry in entries):
        return (
            f"this connection of {name!r} isn't lent by acquire(): it was released already, or `with` has lent it,"
            " which gives it back by itself"
        )
    return f"this connection isn't lent by {name!r}: release() and discard() take what its acquire() returned, once"


def reentered(name: str) -> Exception:
    """Return the error of code that would wait for what its own thread is in the middle of."""
    return PoolReentered(
        f"{name!r}: a signal handler or a finaliser runs in the middle of what its thread does with a pool, and would"
        " wait for that: it may take a connection that is idle, but not wait for one. Have another thread do this, or"
        " do it later",
        pool=name,
    )


def lease(thing: object, name: str, *, is_entered: bool) -> str:
    """Return how a lease shows itself."""
    return f"<{type(thing).__name__} of {name!r}: {'entered' if is_entered else 'not entered'}; not the connection>"


def no_attribute(thing: object, name: str, block: str) -> str:
    """Return why a lease has no such attribute, to whoever takes it for the connection."""
    return (
        f"{type(thing).__name__!r} object has no attribute {name!r}: pool.connection() is for a block and is not the"
        f" connection itself; write `{block} pool.connection() as conn:` and use conn in it"
    )


def warn_of_unclosed(pool: object, close: str) -> None:
    """Warn of a pool that was dropped, as Python does of sockets. For a finaliser."""
    said = f"{pool!r} was dropped, and nobody closes its connections now: call {close}() when you are done with a pool"
    warnings.warn(said, ResourceWarning, source=pool, stacklevel=2)


def where() -> tuple[str, ...]:
    """Return the innermost frames of the caller that aren't ours, as "file:line in function"."""
    frame = sys._getframe(1)
    found: list[str] = []
    while frame is not None and len(found) < _FRAMES:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(("perfkit.pooling", "contextlib")):
            found.append(f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        frame = frame.f_back  # type: ignore[assignment]  # None ends it
    return tuple(found)


def log_leak(name: str, seconds: float, taken_by: tuple[str, ...]) -> None:
    """Log a connection that is lent for long."""
    logger("pooling").warning(
        "%r: a connection is lent for %.1f s; it was taken at %s", name, seconds, ", from ".join(taken_by)
    )


def warn_of_lost(name: str, lost: list[Entry]) -> None:
    """Warn of connections whose holders are gone."""
    for entry in lost:
        taken = f"; it was taken at {', from '.join(entry.taken_by)}" if entry.taken_by else ""
        said = f"{name!r}: a connection was never given back, and nobody holds it any more{taken}"
        logger("pooling").warning("%s", said)
        with contextlib.suppress(ResourceWarning):  # where warnings are errors this is no place to raise one
            warnings.warn(said, ResourceWarning, stacklevel=2)


def log_failure(name: str, error: BaseException) -> None:
    """Log an attempt to connect that failed; a breaker's refusal is none."""
    if isinstance(error, BreakerOpen):
        return
    logger("pooling").warning("%r could not connect: %s", name, described(error))


def log_attempt(name: str, attempt: Attempt) -> None:
    """Log what there is to say of an attempt that made a connection."""
    if attempt.objection is not None:
        log_failure(name, attempt.objection)
    if attempt.mended is not None:
        failures, seconds = attempt.mended
        said = "%r: connected again, %.1f s after the first of %s that failed"
        logger("pooling").info(said, name, seconds, counted(failures, "attempt"))


def log_dead(name: str, why: object) -> None:
    """Log a connection that was found dead."""
    said = described(why) if isinstance(why, Exception) else why
    logger("pooling").info("%r: a connection is dead (%s); it is replaced", name, said)


def log_reset(name: str, error: Exception) -> None:
    """Log a reset that failed."""
    logger("pooling").warning("%r: reset() failed; the connection is closed", name, exc_info=error)


def log_mistake(name: str, function: str, error: Exception) -> None:
    """Log that a function of the program's seems to be wrong. If it is, nothing else shows that no connection lasts."""
    logger("pooling").warning(
        "%r: %s() raised %s: %s. If that is a mistake in it, no connection is ever used twice: each is closed, and"
        " another made. This is said once",
        *(name, function, type(error).__name__, error),
        exc_info=error,
    )


def log_close(name: str, entry: Entry, error: BaseException) -> None:
    """Log a close that failed; of a connection that was given up as broken it is no surprise."""
    if entry.retired in ("dead", "discarded"):
        said = "%r: closing a connection that was given up failed, too: %s: %s"
        logger("pooling").info(said, name, type(error).__name__, error)
    else:
        logger("pooling").warning("%r: closing a connection failed", name, exc_info=error)


def log_close_awaits(name: str) -> None:
    """Log a close that wasn't awaited."""
    logger("pooling").warning(
        "%r: close() is a coroutine function, which was not awaited: use a perfkit.AsyncPool", name
    )


def log_left(name: str, patience: float, size: int, connecting: int, closing: int) -> None:
    """Log what was not closed in time."""
    logger("pooling").warning(
        "%r is closed, but not all were back after %g s (lent: %d; being made: %d; being closed: %d)",
        *(name, patience, size, connecting, closing),
    )
