"""`perfkit.memory_limit`: how much memory there is, and which bounds hold for this process."""

from __future__ import annotations

import errno
from collections import namedtuple

from perfkit.memory.cgroups import groups_of, limit_of
from perfkit.memory.sampling import machine_memory
from perfkit.memory.usage import MemoryLimit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple

    from perfkit.memory.cgroups import Group

    class _Bound(NamedTuple):
        limit: int
        source: str
        group: Group | None

else:
    _Bound = namedtuple("_Bound", ["limit", "source", "group"])

__all__ = ["Bound", "bounds", "memory_limit"]

MACHINE = "the machine's memory"
ARGUMENT = "the argument `limit`"
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Bound(_Bound):
    """A limit, who sets it, and the control group it is on; None: on this process alone."""

    __slots__ = ()


def memory_limit() -> MemoryLimit:
    """Return the memory that this process really has: ``(bytes, source)``.

    It is the least of the machine's memory and the limits of the control groups that the process is in (version
    1 and 2), those above it included. ``source`` names the file that has the limit, or the machine's memory.

    Cost: some 100 µs; it is read anew at each call, because limits can be changed while a program runs.
    """
    tightest = min(bounds(None), key=lambda bound: bound.limit)
    return MemoryLimit(tightest.limit, tightest.source)


def bounds(limit: int | None, process: str = "self") -> list[Bound]:
    """Return the bounds that hold for a process: one on its own memory, and those of its control groups.

    Each group's counts by itself: of two, the larger may be fuller, for others are in it. ``process`` is its directory
    in ``/proc``. Raises OSError while nothing can be opened: to have no limits would be something else.
    """
    own = Bound(machine_memory(), MACHINE, None)
    if limit is not None and limit < own.limit:
        own = Bound(limit, ARGUMENT, None)
    return [own, *_group_bounds(process)]


def _group_bounds(process: str) -> Iterator[Bound]:
    for group in groups_of(_text(f"/proc/{process}/cgroup"), _text(f"/proc/{process}/mountinfo")):
        found = [(limit, name) for name in group.limit_files if (limit := _limit(group, name)) is not None]
        if found:
            limit, name = min(found)
            yield Bound(limit, f"{group.directory}/{name}", group)


def _limit(group: Group, name: str) -> int | None:
    return limit_of(_text(f"{group.directory}/{name}"))


def _text(path: str) -> str:
    """Return what a file says; nothing where there is none, as on other systems than Linux."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError as error:
        if error.errno in _SHORTAGES:
            raise
        return ""
