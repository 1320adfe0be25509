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
        self.is_excused = False  # the process may stand still for a while
        self.is_over = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while words := self._heard():
            self.is_excused = words.rfind(b"s") > words.rfind(b".")
            self.is_told_to_kill |= b"k" in words
            self.beats += 1
        self.is_over.set()

    @staticmethod
    def _heard() -> bytes:
        try:
            return os.read(0, 4096)
        except OSError:  # it was reset
            return b""


class Parent:
    """The process that is looked at."""

    def __init__(self, order: "dict[str, Any]") -> None:
        from perfkit.memory.gauge import Gauge

        self._pid = order["pid"]
        self._pidfd = order.get("pidfd")
        rss = _rss_by_statm(order["statm"]) if "statm" in order else _rss_by_psutil(self._pid)
        self._gauge = Gauge(order["limit"], time.monotonic, rss=rss, process=str(self._pid))

    @property
    def smallest(self) -> int:
        """The least of its bounds, in bytes."""
        return self._gauge.limit.limit

    def fraction(self) -> float:
        """Return usage by the bound that is the fullest; nothing while it is stopped, for then it takes nothing."""
        self._gauge.look_for_bounds()
        return 0.0 if self._is_stopped() else self._gauge.read(is_exact=True).fraction

    def fraction_of_new_bounds(self) -> float:
        """Return the same by the bounds of this moment."""
        self._gauge.look_for_bounds(at_once=True)
        return self.fraction()

    def _is_stopped(self) -> bool:
        try:
            with open(f"/proc/{self._pid}/stat", "rb") as file:
                return file.read().rpartition(b") ")[2][:1] in (b"T", b"t")
        except OSError:  # where there is no such file, it isn't known
            return False

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
    pause = 0.0
    while not ears.is_over.wait(pause) and parent.is_there():
        try:
            fraction = parent.fraction()
            is_time = verdict.update(time.monotonic(), fraction, ears.beats, is_excused=ears.is_excused)
            if is_time:
                is_time = parent.fraction_of_new_bounds() >= order["critical"]
        except (OSError, IndexError):  # it has just ended
            return
        if ears.is_told_to_kill or is_time:
            parent.kill()
            return
        pause = pace.interval((order["critical"] - fraction) * parent.smallest, 0.0)


if __name__ == "__main__":
    main()
