"""Worker processes that begin together and never outlive the block they were hired in.

Each worker is a fresh interpreter (the *spawn* start method: the same on every platform, and no lock is inherited half
held) with one pipe to us. It says "ready", waits for "go", works, and sends what it made. A pipe that closes at either
end tells the other that the process is gone, so nobody waits for the dead.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection
from typing import TYPE_CHECKING, Any, NamedTuple

from perfkit._base.clock import Deadline
from perfkit.demo.results import DemoError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

__all__ = ["Crew", "Worker"]

_GRACE = 5.0  # seconds between asking a process to end and making it


class Worker(NamedTuple):
    """A process and our end of its pipe."""

    process: SpawnProcess
    pipe: Connection

    def tell(self, word: str) -> None:
        """Send a word; DemoError if the process is gone."""
        try:
            self.pipe.send(word)
        except OSError as error:
            raise self._is_gone() from error

    def hear(self) -> Any:
        """Wait for what it sends; DemoError if the process is gone or its work raised."""
        try:
            word, value = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._is_gone() from error
        if word == "failed":
            raise DemoError(f"the process {self.process.name!r} failed:\n{value}")
        return value

    def _is_gone(self) -> DemoError:
        self.process.join(_GRACE)
        return DemoError(f"the process {self.process.name!r} ended early, with exit code {self.process.exitcode}")


class Crew:
    """A context manager: `hire` workers, `begin`, `gather` what they return; leaving it in any way ends them all."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[Worker] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(_GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def hire(self, name: str, work: Callable[..., Any], *args: Any) -> Worker:
        """Start a process for ``work(is_over, *args)``, all of which must pickle.

        ``is_over()`` turns true in it when the worker is told something or left alone.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, work, args), name=name, daemon=True)
        worker = Worker(process, ours)
        with _interrupts_held(), theirs:
            process.start()
            self._workers.append(worker)
        return worker

    def begin(self) -> None:
        """Wait until every worker is ready, then let all go at once."""
        for worker in self._workers:
            worker.hear()
        for worker in self._workers:
            worker.tell("go")

    def gather(self, workers: Sequence[Worker], *, timeout: float, meanwhile: Callable[[], None]) -> list[Any]:
        """Return what the work of each of ``workers`` returned; ``meanwhile`` is called about ten times a second.

        Raises DemoError if one fails or is gone, or after ``timeout`` seconds.
        """
        deadline = Deadline(timeout)
        waiting = {worker.pipe: worker for worker in workers}
        made: dict[Worker, Any] = {}
        while waiting:
            for pipe in connection.wait(list(waiting), timeout=0.1):
                worker = waiting.pop(pipe)  # type: ignore[call-overload]  # wait() returns what it was given
                made[worker] = worker.hear()
            if waiting and deadline.is_over():
                raise DemoError(f"the processes did not finish in {timeout:.0f} s")
            meanwhile()
        return [made[worker] for worker in workers]


def _work(pipe: Connection, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """The worker's side. Ctrl-C is the parent's to handle; without a parent there is nobody to work for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            pipe.send(("ready", None))
            pipe.recv()
            pipe.send(("done", work(pipe.poll, *args)))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception:  # noqa: BLE001 (whatever it is, the parent reports it)
            pipe.send(("failed", traceback.format_exc()))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C for after the block; what starts in it inherits the mask, or it would trace back while starting."""
    if sys.platform == "win32":
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started by the first worker otherwise, and it unblocks SIGINT (CPython < 3.13)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
