"""The sidecar: looks at its parent's memory from outside, and kills it where the watchdog in it doesn't get to run.

Started by `perfkit.memory.sidecar`, as ``python -I sidecar_program.py ORDER``; it gets signs of life on its standard
input, and ends with that.
"""

import json
import os
import signal
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Ears:
    """Listens, in a thread of its own."""

    def __init__(self) -> None:
        self.beats = 0
        self.is_told_to_kill = False
        self.is_over = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while words := os.read(0, 4096):
            self.beats += words.count(b".")
            self.is_told_to_kill |= b"k" in words
        self.is_over.set()


class Parent:
    """The process that is looked at."""

    def __init__(self, order: "dict[str, Any]") -> None:
        self._pid = order["pid"]
        self._pidfd = order.get("pidfd")
        self._rss = _rss_by_statm(order["statm"]) if "statm" in order else _rss_by_psutil(self._pid)
        self._bounds = order["bounds"]

    def fraction(self) -> float:
        """Return usage by the bound that is the fullest."""
        from perfkit.memory.cgroups import Group
        from perfkit.memory.sampling import group_usage

        fullest = 0.0
        for limit, group in self._bounds:
            used = self._rss() if group is None else group_usage(Group(*group))
            fullest = max(fullest, (used or 0) / limit)
        return fullest

    def is_there(self) -> bool:
        """Tell whether it lives: one whose parent has died gets another."""
        return bool(os.getppid() == self._pid)

    def kill(self) -> None:
        """Kill it."""
        if self._pidfd is not None:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        elif os.name == "posix":
            os.kill(self._pid, signal.SIGKILL)
        else:
            import psutil

            psutil.Process(self._pid).kill()


def _rss_by_statm(fd: int) -> "Callable[[], int]":
    page = os.sysconf("SC_PAGE_SIZE")
    return lambda: int(os.pread(fd, 96, 0).split()[1]) * page


def _rss_by_psutil(pid: int) -> "Callable[[], int]":
    import psutil

    process = psutil.Process(pid)
    return lambda: int(process.memory_info().rss)


def main() -> None:
    """Look until there is nothing to look at any more."""
    order = json.loads(sys.argv[1])
    sys.path.insert(0, order["package"])
    from perfkit.memory import pace
    from perfkit.memory.verdict import Verdict

    ears, parent, verdict = Ears(), Parent(order), Verdict(order["critical"])
    smallest = min(limit for limit, _ in order["bounds"])
    pause = 0.0
    while not ears.is_over.wait(pause) and parent.is_there():
        try:
            fraction = parent.fraction()
        except (OSError, IndexError):  # it has just ended
            return
        if ears.is_told_to_kill or verdict.update(time.monotonic(), fraction, ears.beats):
            parent.kill()
            return
        pause = pace.interval((order["critical"] - fraction) * smallest, 0.0)


if __name__ == "__main__":
    main()
