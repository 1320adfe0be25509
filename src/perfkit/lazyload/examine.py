"""`perfkit imports`: runs a program twice, and says what its imports cost and which of them nothing read.

The first run is watched (`perfkit.lazyload.watching`), the second is timed by ``-X importtime``. What the program
prints goes to stderr.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TextIO

from perfkit.lazyload.importtime import Import, cost, every, inclusive, parse, split, without
from perfkit.lazyload.running import End, run
from perfkit.lazyload.unread import Source, Unread, unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Examination", "ExaminationError", "Program", "examine"]


class ExaminationError(RuntimeError):
    """The program could not be run or watched, or failed; the message says why. ``status`` is what it ended with."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


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

    ``costs`` are the seconds of the imports that nothing read, with the packages they are in. ``end`` is how the timed
    run ended.
    """

    program: str
    imports: tuple[Import, ...]
    rss: Mapping[str, int]
    unread: tuple[Unread, ...]
    costs: tuple[float, ...]
    end: End

    def as_json(self) -> dict[str, Any]:
        """Return everything in it: times in seconds, sizes in bytes."""
        unread = [
            asdict(each) | {"seconds": cost, "rss_bytes": self.rss.get(each.module)}
            for each, cost in zip(self.unread, self.costs, strict=True)
        ]
        imports = [self._as_json(each) for each in self.imports]
        return {"program": self.program, "status": self.end.status, "imports": imports, "unread": unread}

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
    progress("how long Python itself takes, and perfkit")
    ordinary, ours = _of_python_and_perfkit(output)
    progress("run 1 of 2, to see which lines run")
    record = _watched(program, output)
    progress("run 2 of 2, to time the imports")
    timed, end = _timed(program, output)
    imports = without(timed, ordinary)
    names = {each.name for each in every(imports)}
    found = [each for each in unread(_sources(record, program), set(record["modules"])) if each.module in names]
    free = ours if "perfkit" in names else set()  # it is there for being lazy, which is not what should wait
    price = {each.module: cost(imports, each.module, free, record["stubbed"]) for each in found}
    found.sort(key=lambda each: -price[each.module])
    costs = tuple(price[each.module] for each in found)
    words = program.words[1:] if program.words[0] == "-m" else program.words
    return Examination(words[0], imports, inclusive(imports, record["rss"]), tuple(found), costs, end)


def _of_python_and_perfkit(output: TextIO) -> tuple[set[str], set[str]]:
    """Return the modules that Python starts with, and those that are loaded for declaring imports lazily."""
    found, _ = _timed(
        Program(("-c", "import perfkit; perfkit.lazy, perfkit.lazy_imports, perfkit.attach_stub")), output
    )
    first = next((at for at, each in enumerate(found) if each.name == "perfkit"), len(found))
    return {each.name for each in every(found[:first])}, {each.name for each in every(found[first:])}


def _timed(program: Program, output: TextIO) -> tuple[tuple[Import, ...], End]:
    lines: list[str] = []

    def hear(line: str) -> None:
        theirs, ours = split(line)
        output.write(theirs)
        if ours:
            lines.append(ours)

    end = run(["-X", "importtime", *program.words], program.seconds, hear, output)
    return parse(lines), end


def _watched(program: Program, output: TextIO) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="perfkit-imports-") as folder:
        path = os.path.join(folder, "record")
        end = run(["-m", "perfkit.lazyload.watching", path, *program.words], program.seconds, output.write, output)
        try:
            with open(path, "rb") as opened:
                record: dict[str, Any] = marshal.load(opened)  # noqa: S302 (written by this very Python, for us alone)
        except (OSError, EOFError, ValueError):
            raise ExaminationError(f"the watched run left no record: {_why_no_record(end)}") from None
    if record["failure"] and end.interrupted is None:
        raise ExaminationError(f"the program failed, so nothing is said of it: {record['failure']}", end.status)
    return record


def _why_no_record(end: End) -> str:
    how = "" if end.status < 0 else " by os._exit(), or as another program that it became"
    return f"the program {end}{how}"


def _sources(record: dict[str, Any], program: Program) -> dict[str, Source]:
    """Return the program's own files that ran, as far as they can be read and are Python."""
    found = {}
    eager: dict[str, set[int]] = {}
    for filename, line in record["eager"]:
        eager.setdefault(filename, set()).add(line)
    for filename, lines in record["lines"].items():
        module, package = record["files"].get(filename, ("__main__", program.package(filename)))
        try:
            with open(filename, "rb") as opened:
                text = opened.read()
            compile(text, filename, "exec", dont_inherit=True)
        except (OSError, SyntaxError, ValueError, RecursionError):  # the last if it is nested too deeply
            continue
        own = frozenset(eager.get(filename, ()))
        found[filename] = Source(module, package, _decoded(text), frozenset(lines), own)
    return found


def _decoded(text: bytes) -> str:
    from importlib.util import decode_source

    return decode_source(text)
