"""What the threads of a watchdog do: looking, and telling hooks. None keeps it alive."""

from __future__ import annotations

from contextlib import suppress

from perfkit._base.logs import logger
from perfkit.memory import pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    import weakref
    from collections import deque
    from typing import Any

    from perfkit.memory.stats import LevelChange
    from perfkit.memory.watchdog import MemoryWatchdog

__all__ = ["call_hook", "tell_all", "watch"]


def watch(reference: weakref.ref[MemoryWatchdog], stopping: threading.Lock) -> None:
    """Look again and again, until the lock comes free: to wait for one is cheaper than for an event."""
    pause = 0.0
    while not stopping.acquire(timeout=pause):
        dog = reference()
        if dog is None:
            return
        try:
            pause = dog._look()
        except Exception:  # noqa: BLE001 (a watchdog that ends at the first surprise is none)
            logger("memory").exception("%s: a look failed", dog.name)
            pause = pace.LONGEST
        del dog  # or it would live until the next look


def tell_all(hook: Any, changes: deque[LevelChange], name: str) -> None:
    """Tell a hook what has changed, the oldest first; of many that it was too slow for, the newest."""
    with suppress(IndexError):  # there is no more, or somebody has stopped it
        while True:
            call_hook(hook, changes.popleft(), f"{name}: on_level")


def call_hook(hook: Any, argument: object, name: str) -> None:
    """Call it; what it raises is logged, and stops nothing."""
    try:
        hook(argument)
    except BaseException:  # noqa: BLE001 (so it is)
        logger("memory").exception("%s failed", name)
