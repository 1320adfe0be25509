"""The watchdog's side of its sidecar: starting it, giving it signs of life, having it kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from perfkit.memory.descriptors import OwnSocket
from perfkit.memory.standstill import standstill

__all__ = ["Sidecar"]

_PROGRAM = Path(__file__).with_name("sidecar_program.py")
_PACKAGE = Path(__file__).parents[2]  # where perfkit is
_parked: list[object] = []  # what a fork has copied; kept, or its finaliser would warn of a process that still runs
_STATM = "/proc/self/statm"


class Sidecar:
    """A small process beside this one. It ends with it, and when its standard input does."""

    def __init__(self, limit: int | None, critical: float) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("sidecar=True needs Unix sockets, which Python doesn't have here: leave it out")
        fds = _handles()
        order = {"package": str(_PACKAGE), "pid": os.getpid(), "critical": critical, "limit": limit, **fds}
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter and a file of ours)
                [sys.executable, "-I", str(_PROGRAM), json.dumps(order)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=tuple(fds.values()),
                start_new_session=True,  # a Ctrl-C is none of its business
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            for fd in fds.values():
                os.close(fd)
        self.pid = self._process.pid
        ours.setblocking(False)
        self._line = OwnSocket(ours)
        standstill.listen(self.beat)

    def beat(self) -> None:
        """Say that the watchdog gets to run, and whether it may not for a while."""
        self._say(b"s" if standstill.is_near else b".")

    def kill(self) -> None:
        """Have this process killed."""
        self._say(b"k")

    def stop(self) -> None:
        """End it."""
        self._close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close a forked child's end of the line. The sidecar is its parent's, and nothing to wait for."""
        self._close()
        _parked.append(self._process)

    def _close(self) -> None:
        standstill.leave(self.beat)
        self._line.close()

    def _say(self, word: bytes) -> None:
        with suppress(OSError, ValueError):  # it has ended, or has not listened for long
            self._line.send(word)


def _handles() -> dict[str, int]:
    """Return descriptors that stand for this process, and not for one that has its number later."""
    fds = {}
    with suppress(OSError, AttributeError):
        fds["pidfd"] = os.pidfd_open(os.getpid())
    with suppress(OSError):
        fds["statm"] = os.open(_STATM, os.O_RDONLY)
    return fds
