"""Callers' code that runs in the writer's thread: what it waits for there may be itself, and is refused."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["carried_by", "carrying"]


class _Carried:
    """A function of a caller's that a thread is in the middle of."""

    __slots__ = ("is_over", "thread")

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread
        self.is_over = False


# Beside the thread's identity, because a task that the function starts in a loop runs in another thread, with a copy of
# these variables; so it is known as long as the function runs, and no longer.
_carried: ContextVar[_Carried | None] = ContextVar("perfkit.sqlite functions", default=None)


@contextmanager
def carrying() -> Iterator[None]:
    """Mark the block as one that carries out callers' code in this thread."""
    mark = _Carried(threading.current_thread())
    before = _carried.set(mark)
    try:
        yield
    finally:
        mark.is_over = True
        _carried.reset(before)


def carried_by(thread: threading.Thread) -> bool:
    """Tell whether the running code is in ``thread``, or was started by a function that ``thread`` is still in."""
    if threading.current_thread() is thread:
        return True
    mark = _carried.get()
    return mark is not None and not mark.is_over and mark.thread is thread
