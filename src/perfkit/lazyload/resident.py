"""How much memory the process has now, where the system tells for next to nothing."""

from __future__ import annotations

import os

__all__ = ["resident"]

_STATM = "/proc/self/statm"  # opened each time: one that is kept open tells a forked child of its parent


def resident() -> int | None:
    """Return the bytes of RAM that the process occupies, None where there is no ``/proc``. About 5 µs."""
    try:
        opened = os.open(_STATM, os.O_RDONLY)
    except OSError:
        return None
    try:
        pages = os.read(opened, 100).split()[1]
    finally:
        os.close(opened)
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
