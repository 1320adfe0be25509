"""Times when this process may stand still by our own doing, or the collector's: passes, and full collections.

A pass trims, which stalls every thread; a collection keeps the interpreter's lock. A sidecar is told of both, or it
would take a watchdog at work for one that doesn't get to run.
"""

from __future__ import annotations

import gc
from contextlib import suppress

from perfkit._base import fork

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["Standstill", "standstill"]

_FULL = 2  # the generation that has all objects in it


class Standstill:
    """Why this process may stand still now, and who wants to know."""

    def __init__(self) -> None:
        self._reasons: set[str] = set()
        self._listeners: tuple[Callable[[], object], ...] = ()
        fork.after_in_child(self)

    @property
    def is_near(self) -> bool:
        """Whether there is a reason."""
        return bool(self._reasons)

    def begin(self, reason: str) -> None:
        """Have a reason from now on, or have it still."""
        self._reasons.add(reason)
        self._tell()

    def end(self, reason: str) -> None:
        """Have it no more."""
        self._reasons.discard(reason)
        self._tell()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call it whenever something begins, goes on or ends. The collector is asked only where somebody listens."""
        if not self._listeners and hasattr(gc, "callbacks"):
            gc.callbacks.append(self._collecting)
        self._listeners = (*self._listeners, listener)

    def leave(self, listener: Callable[[], object]) -> None:
        """Don't call it any more."""
        self._listeners = tuple(other for other in self._listeners if other != listener)
        if not self._listeners:
            self._forget_collector()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _collecting(self, phase: str, facts: dict[str, Any]) -> None:
        if facts["generation"] == _FULL:
            (self.begin if phase == "start" else self.end)("collection")

    def _forget_collector(self) -> None:
        with suppress(AttributeError, ValueError):
            gc.callbacks.remove(self._collecting)

    def _after_fork_in_child(self) -> None:
        """Sidecars and passes are the parent's."""
        self._reasons.clear()
        self._listeners = ()
        self._forget_collector()


standstill = Standstill()
