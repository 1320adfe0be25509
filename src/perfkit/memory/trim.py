"""Having the C library give back what it keeps free (glibc); elsewhere nothing.

Trimming takes time in which the whole process stands still, and what was given back has to be had anew from the system.
So it is done only where enough is kept free that the last trim hasn't been in vain for.
"""

from __future__ import annotations

import ctypes
import sys

from perfkit.memory.sampling import rss

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["Trimmer"]

_WORTH_IT = 8 << 20  # bytes


class _Mallinfo2(ctypes.Structure):
    """The struct of mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


class Trimmer:
    """Trims where it is worth it."""

    def __init__(self) -> None:
        self._library = _glibc()
        self._free = self._rss = 0  # after the last trim; pages that were given back go on being counted as free

    def trim(self) -> bool:
        """Give back what is kept free, if that is much and more than the last time; tell whether it was tried."""
        if self._library is None:
            return False
        free = self.free()
        if free < _WORTH_IT or max(free - self._free, rss() - self._rss) < _WORTH_IT:
            return False
        self._library.malloc_trim(0)
        self._free, self._rss = self.free(), rss()
        return True

    def free(self) -> int:
        """Return the bytes that the C library keeps for later, given back or not; 0 where that isn't known."""
        return 0 if self._library is None else int(self._library.mallinfo2().fordblks)


def _glibc() -> Any:
    """Return the C library if it has what we need: glibc from 2.33."""
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.CDLL(None)
        library.mallinfo2.restype = _Mallinfo2
        library.malloc_trim.argtypes = [ctypes.c_size_t]
        library.malloc_trim.restype = ctypes.c_int
    except (OSError, AttributeError, TypeError):
        return None
    return library
