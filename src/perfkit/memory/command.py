"""What ``perfkit memory`` shows: of this machine or container, or of a process whose watchdog is exposed."""

from __future__ import annotations

import os

from perfkit._base.sizes import format_size
from perfkit.memory.exposing import is_there, reports
from perfkit.memory.levels import Levels
from perfkit.memory.limits import bounds
from perfkit.memory.reports import lines
from perfkit.memory.sampling import group_usage, machine_used

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["NotExposed", "shown"]

_USUAL = 0.80, 0.70, 0.95  # the marks of a watchdog that was told nothing else


class NotExposed(LookupError):
    """There is no such process, or no watchdog in it that answers."""


def shown(pid: int | None) -> str:
    """Return what there is to say now. Raises NotExposed."""
    return "\n".join(_machine() if pid is None else _process(pid))


def _machine() -> Iterator[str]:
    """Say what limits hold where this runs, the tightest last, and how full each is."""
    for bound in sorted(bounds(None), key=lambda bound: -bound.limit):
        used = (machine_used() if bound.group is None else group_usage(bound.group)) or 0
        levels = Levels(*_USUAL)
        levels.update(used / bound.limit)
        yield f"limit     {format_size(bound.limit)} ({bound.source})"
        yield f"in use    {format_size(used)}, {used / bound.limit:.0%}: {levels.level}"


def _process(pid: int) -> Iterator[str]:
    try:
        found = list(reports(pid))
    except OSError as error:
        raise NotExposed(f"process {pid} doesn't answer: {error.strerror or error}") from error
    if not found:
        raise NotExposed(_why_nobody_answers(pid))
    for number, report in enumerate(found):
        yield from [""] if number else []
        yield from lines(report)


def _why_nobody_answers(pid: int) -> str:
    if os.name == "posix" and not is_there(pid):
        return f"there is no process {pid}"
    owner = _owner(pid)
    if owner is not None and owner != os.geteuid():
        return f"process {pid} is another user's, number {owner}, and answers nobody else: ask as that user"
    return f"process {pid} has no watchdog that answers: make it with perfkit.MemoryWatchdog(expose=True), and start it"


def _owner(pid: int) -> int | None:
    """Return whose process it is, where the system says."""
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
