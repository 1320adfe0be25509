"""Loads that nobody waits for: on worker threads, or in tasks of the running loop."""

from __future__ import annotations

import contextlib
from contextvars import copy_context

from perfkit._base.workers import Workers
from perfkit.caching.flight import current

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from typing import Any

__all__ = ["in_task", "in_thread"]

_workers = Workers(32, "perfkit-refresh")  # that many may hang before others have to wait
_MOST_WAITING = 256  # each holds its arguments and an entry
_tasks: set[asyncio.Task[Any]] = set()  # a loop holds its tasks weakly


def in_thread(work: Callable[[], object]) -> None:
    """Have ``work()`` called in another thread, with the caller's context variables. It must not raise.

    Not if too much is waiting already, as where what is to be refreshed hangs: whoever comes after the ttl loads it.
    """
    if len(_workers) >= _MOST_WAITING:
        return
    context = _context()
    with contextlib.suppress(RuntimeError):  # no thread to be had, as at the interpreter's end: it isn't done now
        _workers.submit(lambda: context.run(work))


def in_task(work: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Have ``work()`` awaited in a task of its own. It must not raise."""
    import asyncio

    task = asyncio.get_running_loop().create_task(work(), context=_context())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _context() -> Context:
    """Return a copy of the caller's context, in which nothing is being loaded: nobody waits for what begins here."""
    context = copy_context()
    context.run(current.set, None)
    return context
