"""Runs Python in a process of its own, hears what it says, and interrupts it after a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

__all__ = ["End", "run"]

_GRACE = 10.0  # seconds that a program has to end after it was interrupted
_QUIET = 2.0  # seconds of silence after its end: what other processes that it has started say is not waited for


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended: its exit status, negative for a signal, and after how many seconds it was interrupted, if so."""

    status: int
    interrupted: float | None

    def __str__(self) -> str:
        if self.interrupted is not None and _signal(self.status) == "SIGKILL":
            return f"was killed: interrupted after {self.interrupted:g} s, it went on for another {_GRACE:g} s"
        if self.interrupted is not None:
            return f"was interrupted after {self.interrupted:g} s, as asked"
        if self.status < 0:
            return f"was killed by {_signal(self.status)}"
        return f"ended with exit status {self.status}"


def _signal(status: int) -> str:
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def run(arguments: Sequence[str], seconds: float | None, hear: Callable[[str], Any], output: TextIO) -> End:
    """Run Python, and hear each line of its stderr; interrupt it after so many seconds. Return how it ended."""
    output.flush()
    reading, writing = os.pipe()
    listener = _Listener(reading, hear)
    try:
        process = subprocess.Popen(  # noqa: S603 (it runs the program that its user names)
            [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=_descriptor(output), stderr=writing
        )
    finally:
        os.close(writing)
        listener.start()
    with process, _Interruption(process, seconds) as interruption:
        try:
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()  # leaving the block after an interrupt wouldn't
            raise
    listener.finish()
    return End(status, seconds if interruption.has_come else None)


class _Listener:
    """Hears the lines that a process writes to a pipe, in a thread, so that nobody waits for who else has the pipe."""

    def __init__(self, reading: int, hear: Callable[[str], Any]) -> None:
        self._reading = reading
        self._hear = hear
        self._heard = 0
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._listen, name="perfkit-imports", daemon=True)
        self.start = self._thread.start

    def finish(self) -> None:
        """Wait until the pipe is closed, or the process has ended and nothing comes any more."""
        heard = -1
        while self._thread.is_alive() and heard != self._heard:
            heard = self._heard
            self._thread.join(_QUIET)
        if self._failure:
            raise self._failure

    def _listen(self) -> None:
        rest = b""
        try:
            while content := os.read(self._reading, 1 << 16):
                self._heard += len(content)
                *lines, rest = (rest + content).split(b"\n")
                for line in lines:
                    self._hear(f"{line.decode('utf-8', 'replace')}\n")
            self._hear(rest.decode("utf-8", "replace"))
        except BaseException as error:  # noqa: BLE001 (finish() raises it)
            self._failure = error
        finally:
            os.close(self._reading)


class _Interruption:
    """Ends a process after a time, if one is given: as Ctrl-C does, and for good if it is still there a while later."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float | None) -> None:
        self._process = process
        self.has_come = False
        after = [] if seconds is None else [(seconds, self._interrupt), (seconds + _GRACE, process.kill)]
        self._timers = [threading.Timer(delay, act) for delay, act in after]

    def _interrupt(self) -> None:
        self.has_come = True
        self._process.send_signal(signal.SIGINT)

    def __enter__(self) -> Self:
        for timer in self._timers:
            timer.daemon = True
            timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()


def _descriptor(output: TextIO) -> int:
    """Return where a process can write what it prints."""
    try:
        return output.fileno()
    except OSError:  # no file: in a test, or a notebook
        return subprocess.DEVNULL
