"""How much memory this process has now, where the system tells for next to nothing."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["resident"]

_STATM = "/proc/self/statm"
_FIELDS = 7  # of that file


class _Statm:
    """This process's statm, kept open: opening costs more than reading.

    A descriptor that a fork has copied goes on naming the parent, so a child opens its own. One that was closed by
    somebody, as programs do that become a daemon, is opened again; its number may be another file's by then.
    """

    def __init__(self) -> None:
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._pid = self._fd = -1  # opened by the first who asks

    def __call__(self) -> int:
        if self._pid != os.getpid():
            self._leave_the_parents()
        try:
            fields = os.pread(self._fd, 96, 0).split()
            if len(fields) == _FIELDS:
                return int(fields[1]) * self._page
        except (OSError, ValueError):
            pass
        self._open()
        return int(os.pread(self._fd, 96, 0).split()[1]) * self._page

    def _leave_the_parents(self) -> None:
        if _names_statm(self._fd):
            os.close(self._fd)
        self._open()

    def _open(self) -> None:
        self._fd = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        self._pid = os.getpid()


def _names_statm(fd: int) -> bool:
    """Tell whether a descriptor is what it was, and not somebody else's by now."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}").endswith("/statm")
    except OSError:
        return False


def _best() -> "Callable[[], int] | None":
    return _Statm() if hasattr(os, "pread") and os.access(_STATM, os.R_OK) else None


resident = _best()  # returns the bytes of this process that are in memory; None where nothing tells as cheaply
