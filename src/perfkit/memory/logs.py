"""Where the watchdog logs: on ``perfkit.memory``, silent in a program that has set no logging up."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging

__all__ = ["logger"]


def logger() -> logging.Logger:
    """Return the logger. It is looked up, and logging loaded, when there is something to say."""
    import logging

    found = logging.getLogger("perfkit.memory")
    if not found.handlers:  # without one, Python itself would print warnings on stderr
        found.addHandler(logging.NullHandler())
    return found
