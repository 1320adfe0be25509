"""What a memory guard raises. ``perfkit.errors`` has the whole tree."""

from __future__ import annotations

from perfkit.errors import PerfkitError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

__all__ = ["MemoryPressure"]


class MemoryPressure(PerfkitError, MemoryError):
    """A guard didn't let the work begin: it would have taken more memory than there is.

    All in bytes: ``need`` is what the work was said to take, ``used`` what is in use, ``reserved`` what other guards
    have admitted, ``limit`` what there is in all, and ``source`` says where that number comes from.
    """

    need: int
    used: int
    reserved: int
    limit: int
    source: str

    def __new__(cls, *args: object, **_: object) -> Self:
        """Make one as any exception: MemoryError's own constructor refuses classes that have another base before it."""
        return Exception.__new__(cls, *args)
