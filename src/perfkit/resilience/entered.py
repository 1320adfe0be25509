"""The blocks of circuit breakers that the running thread or task is in, and which of them it leaves."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "BEGAN",
    "BELOW",
    "BREAKER",
    "DEEPEST",
    "DEPTH",
    "FRAME",
    "PERIOD",
    "find",
    "frame_of_with",
    "own",
]

# A block that was entered is a list, for that is what costs least to make; its breaker is None once it has been left.
# Where one is in another of the same breaker, it says in which frame: a generator's may be left before those inside it.
BREAKER, PERIOD, BEGAN, BELOW, DEPTH, FRAME = range(6)

DEEPEST = 1000  # one that is left elsewhere stays among those around; but not many of them do

_HANDING_ON = ("__enter__", "__exit__", "__aenter__", "__aexit__")


def find(breaker: object, block: list[Any] | None) -> list[Any] | None:
    """Return the innermost block of a breaker, from this one on."""
    while block is not None and block[BREAKER] is not breaker:
        block = block[BELOW]
    return block


def own(breaker: object, innermost: list[Any]) -> list[Any]:
    """Return which of a breaker's blocks the caller's caller leaves: that of its frame, or the only one without."""
    frame, block = frame_of_with(), find(breaker, innermost)
    while block is not None and block[FRAME] not in (None, frame):
        block = find(breaker, block[BELOW])
    return innermost if block is None else block


def frame_of_with() -> int:
    """Return the identity of the frame whose ``with`` the caller serves, behind whatever hands that on."""
    frame = sys._getframe(2)
    while frame.f_back and (frame.f_code.co_name in _HANDING_ON or frame.f_globals.get("__name__") == "contextlib"):
        frame = frame.f_back
    return id(frame)
