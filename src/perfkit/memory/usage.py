"""What a limit and a measurement of memory look like."""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class _Limit(NamedTuple):
        bytes: int
        source: str

    class _Usage(NamedTuple):
        used: int
        limit: int
        rss: int
        source: str

else:
    _Limit = namedtuple("_Limit", ["bytes", "source"])
    _Usage = namedtuple("_Usage", ["used", "limit", "rss", "source"])

__all__ = ["MemoryLimit", "MemoryUsage"]


class MemoryLimit(_Limit):
    """The memory there is: ``bytes``, and ``source``, the file or the argument that says so."""

    __slots__ = ()


class MemoryUsage(_Usage):
    """What is in use, by the limit that is the closest to being reached; in bytes.

    ``used`` counts against ``limit``: the process's own memory, or where ``source`` is a control group all that its
    processes hold, without the file cache. ``rss`` is the process's own in any case.
    """

    __slots__ = ()
    UNIT = "bytes"

    @property
    def fraction(self) -> float:
        """``used`` by ``limit``; 1 is all."""
        return self.used / self.limit
