"""`perfkit imports`: runs a program twice, and says what its imports cost and which of them nothing read.

The first run is timed by ``-X importtime``, the second is watched (`perfkit.lazyload.watching`). What the program
prints goes to stderr.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

from perfkit.lazyload.importtime import Import, cost, every, parse, split, without
from perfkit.lazyload.unread import Source, Unread, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Examination", "ExaminationError", "Program", "examine"]

_GRACE = 10.0  # seconds that a program has to end after it was interrupted


class ExaminationError(RuntimeError):
    """The program could not be run or watched; the message says why."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: the words after ``python``; for how many seconds, None for as long as it takes."""

    words: tuple[str, ...]
    seconds: float | None = None

    def package(self, filename: str) -> str:
        """Return the package that its main module is in, which is in that file."""
        if self.words[0] != "-m":
            return ""
        is_package = os.path.basename(filename) == "__main__.py"
        return self.words[1] if is_package else self.words[1].rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found: the imports as a tree, the memory that each brought (inclusive), and what nothing read.

    ``costs`` are the seconds of the imports that nothing read, with the packages they are in. ``status`` is what the
    program ended with.
    """

    program: str
    imports: tuple[Import, ...]
    rss: Mapping[str, int]
    unread: tuple[Unread, ...]
    costs: tuple[float, ...]
    status: int

    def as_json(self) -> dict[str, Any]:
        """Return everything in it: times in seconds, sizes in bytes."""
        unread = [
            asdict(each) | {"seconds": cost, "rss_bytes": self.rss.get(each.module)}
            for each, cost in zip(self.unread, self.costs, strict=True)
        ]
        imports = [self._as_json(each) for each in self.imports]
        return {"program": self.program, "status": self.status, "imports": imports, "unread": unread}

    def _as_json(self, each: Import) -> dict[str, Any]:
        return {
            "name": each.name,
            "own_seconds": each.own,
            "seconds": each.cumulative,
            "rss_bytes": self.rss.get(each.name),
            "children": [self._as_json(child) for child in each.children],
        }


def examine(program: Program, progress: Callable[[str], None], output: TextIO) -> Examination:
    """Run the program twice; what it prints goes to ``output``. Raises ExaminationError."""
    progress("how long Python itself takes")
    ordinary, _ = _timed(Program(("-c", "pass")), output)
    progress("the program, timed")
    timed, status = _timed(program, output)
    progress("the program, watched")
    record = _watched(program, output)
    imports = without(timed, {each.name for each in every(ordinary)})
    names = {each.name for each in every(imports)}
    found = [each for each in unread(_sources(record, program), set(record["modules"])) if each.module in names]
    found.sort(key=lambda each: -cost(imports, each.module))
    costs = tuple(cost(imports, each.module) for each in found)
    words = program.words[1:] if program.words[0] == "-m" else program.words
    return Examination(words[0], imports, record["rss"], tuple(found), costs, status)


def _timed(program: Program, output: TextIO) -> tuple[tuple[Import, ...], int]:
    lines: list[str] = []

    def hear(line: str) -> None:
        theirs, ours = split(line)
        output.write(theirs)
        if ours:
            lines.append(ours)

    status = _run(["-X", "importtime", *program.words], program.seconds, hear, output)
    return parse(lines), status


def _watched(program: Program, output: TextIO) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="perfkit-imports-") as folder:
        path = os.path.join(folder, "record.json")
        _run(["-m", "perfkit.lazyload.watching", path, *program.words], program.seconds, output.write, output)
        try:
            with open(path, encoding="utf-8") as opened:
                record: dict[str, Any] = json.load(opened)
        except FileNotFoundError:
            raise ExaminationError(
                "the watched run left no record: the program was killed, or ended by os._exit()"
            ) from None
    return record


def _run(arguments: Sequence[str], seconds: float | None, hear: Callable[[str], Any], output: TextIO) -> int:
    """Run Python, and hear each line of its stderr; interrupt it after so many seconds. Return its exit status."""
    output.flush()
    with subprocess.Popen(  # noqa: S603 (it runs the program that its user names)
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=_descriptor(output),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        timers = _interrupting(process, seconds) if seconds is not None else []
        try:
            for line in process.stderr or ():
                hear(line)
            return process.wait()
        except BaseException:
            process.kill()
            raise
        finally:
            for timer in timers:
                timer.cancel()


def _descriptor(output: TextIO) -> int:
    """Return where a process can write what it prints."""
    try:
        return output.fileno()
    except OSError:  # no file: in a test, or a notebook
        return subprocess.DEVNULL


def _interrupting(process: subprocess.Popen[str], seconds: float) -> list[threading.Timer]:
    """End a process after a time: as Ctrl-C does, and for good if it is still there a while later."""
    timers = [
        threading.Timer(seconds, process.send_signal, [signal.SIGINT]),
        threading.Timer(seconds + _GRACE, process.kill),
    ]
    for timer in timers:
        timer.daemon = True
        timer.start()
    return timers


def _sources(record: dict[str, Any], program: Program) -> dict[str, Source]:
    """Return the program's own files that ran, as far as they can be read and are Python."""
    found = {}
    for filename, lines in record["lines"].items():
        module, package = record["files"].get(filename, ("__main__", program.package(filename)))
        try:
            with open(filename, "rb") as opened:
                text = opened.read()
            compile(text, filename, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError):
            continue
        found[filename] = Source(module, package, _decoded(text), frozenset(lines))
    return found


def _decoded(text: bytes) -> str:
    from importlib.util import decode_source

    return decode_source(text)
