"""The lazy imports demo: a command-line tool that imports seven packages, of which most commands need none or one.

The packages are written on the spot: code, and tables that are made when it is loaded. The tool is started again and
again, with ordinary imports and with the same ones in a ``with perfkit.lazy_imports():`` block.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import perfkit
from perfkit.demo.results import Check, Comparison, Count, DemoError, Latency, Options, PartResult, Progress, Section

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["run"]

PACKAGES = ("arrays", "charts", "crypto", "frames", "models", "network", "tables")
MODULES = 8  # a package
FUNCTIONS = 60  # a module
ENTRIES = 4000  # in the table of a module
PATIENCE = 120.0  # seconds until a start is called a hang
COMMANDS = {"version": (), "plot": ("charts",), "everything": PACKAGES}

_TOOL = """\
import sys

{imports}

COMMANDS = {commands!r}


def main(command):
    import json
    answers = {{name: globals()[name].answer(7) for name in COMMANDS[command]}}
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
    except OSError:
        pages = 0
    loaded = [name for name in {packages!r} if name in sys.modules]
    print(json.dumps({{"answers": answers, "loaded": loaded, "pages": pages}}))


main(sys.argv[1])
"""


@dataclass(slots=True)
class Way:
    """One way of writing the tool: how long its starts took, by command, and what they printed."""

    name: str
    script: str
    took: dict[str, list[float]] = field(default_factory=lambda: {command: [] for command in COMMANDS})
    printed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def start(self, command: str) -> None:
        """Start the tool once, and note how that went."""
        seconds, printed = started(self.script, command)
        self.took[command].append(seconds)
        self.printed.append((command, printed))

    def wrong(self, answers: dict[str, int]) -> int:
        """Return how many starts answered wrongly."""
        return sum(
            printed["answers"] != {name: answers[name] for name in COMMANDS[command]}
            for command, printed in self.printed
        )

    def in_vain(self) -> int:
        """Return how many packages were loaded that the command has no use for."""
        return sum(len(set(printed["loaded"]) - set(COMMANDS[command])) for command, printed in self.printed)

    def megabytes(self, command: str) -> float:
        """Return the most memory that a start with that command ended with."""
        pages = [printed["pages"] for each, printed in self.printed if each == command]
        return max(pages, default=0) * (os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0) / 1e6


def run(options: Options, progress: Progress) -> PartResult:
    """Start the tool both ways, in turns. ``options.input`` is for other parts."""
    rounds = 2 if options.quick else 5
    with tempfile.TemporaryDirectory(prefix="perfkit-demo-") as folder:
        progress("lazyload: writing seven packages")
        size = write_packages(folder)
        section = starts(rounds, folder, progress)
    return PartResult("lazyload", "Lazy imports: a tool with seven packages", size, (section,))


def starts(rounds: int, folder: str, progress: Progress) -> Section:
    """Start the tool with each command, both ways, in rounds."""
    ways = written(folder)
    for way in ways:
        started(way.script, "everything")  # compiles what is compiled once
    for number in range(rounds):
        for command in COMMANDS:
            progress(f"lazyload: round {number + 1} of {rounds}, tool {command}")
            for way in ways:
                way.start(command)
    before, after = ways
    count = rounds * len(COMMANDS)
    answers = {name: answer(position, 7) for position, name in enumerate(PACKAGES)}
    checks = (
        Check(
            "Starts with a wrong answer", Count(before.wrong(answers), count), Count(after.wrong(answers), count), True
        ),
        Check(
            "Packages loaded and not needed",
            Count(before.in_vain(), count * len(PACKAGES)),
            Count(after.in_vain(), count * len(PACKAGES)),
        ),
    )
    return Section("Starting the tool, a process each time", tuple(_compared(*ways)), checks, _memory(before, after))


def _compared(before: Way, after: Way) -> Iterable[Comparison]:
    needs = {"version": "needs none of them", "plot": "needs one", "everything": "needs all seven"}
    for command, what in needs.items():
        ordinary, lazy = (Latency.of(way.name, way.took[command]) for way in (before, after))
        yield Comparison(f"tool {command}, which {what}", ordinary, (lazy,))


def _memory(before: Way, after: Way) -> str:
    if not before.megabytes("version"):
        return ""
    figures = [f"{way.name} {way.megabytes('version'):.0f} MB" for way in (before, after)]
    return f"Memory after `tool version`: {figures[0]}, {figures[1]}."


def written(folder: str) -> tuple[Way, Way]:
    """Write the tool both ways."""
    imports = [f"import {name}" for name in PACKAGES]
    block = ["import perfkit", "", "with perfkit.lazy_imports():", *(f"    {line}" for line in imports)]
    ways = Way("import", "tool_before.py"), Way("lazy_imports", "tool_after.py")
    for way, lines in zip(ways, (imports, block), strict=True):
        way.script = os.path.join(folder, way.script)
        source = _TOOL.format(imports="\n".join(lines), commands=COMMANDS, packages=PACKAGES)
        with open(way.script, "w", encoding="utf-8") as opened:
            opened.write(source)
    return ways


def started(script: str, command: str) -> tuple[float, dict[str, Any]]:
    """Start the tool; return the seconds until it has ended, and what it printed. Raises DemoError if it fails."""
    home = os.path.dirname(os.path.dirname(perfkit.__file__))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [home, os.environ.get("PYTHONPATH")]))}
    environment.pop("PERFKIT_EAGER", None)
    began = perf_counter()
    done = subprocess.run(  # noqa: S603 (a program that was written here)
        [sys.executable, script, command], env=environment, capture_output=True, timeout=PATIENCE, check=False
    )
    seconds = perf_counter() - began
    if done.returncode:
        raise DemoError(f"the tool failed:\n{done.stderr.decode(errors='replace')}")
    printed: dict[str, Any] = json.loads(done.stdout)
    return seconds, printed


def write_packages(folder: str, modules: int = MODULES) -> int:
    """Write the packages, of so many modules each; return the size of their sources in bytes."""
    size = 0
    for position, name in enumerate(PACKAGES):
        os.mkdir(os.path.join(folder, name))
        parts = [f"part{number}" for number in range(modules)]
        sources = {part: _module(position, number) for number, part in enumerate(parts)}
        sources["__init__"] = "\n".join(f"from .{part} import answer as answer" for part in parts) + "\n"
        for part, source in sources.items():
            with open(os.path.join(folder, name, f"{part}.py"), "w", encoding="utf-8") as opened:
                size += opened.write(source)
    return size


def _module(position: int, number: int) -> str:
    functions = "\n".join(
        f"def work{at}(value, factor={at}):\n    '''Work on a value.'''\n    return [value * factor, TABLE]\n"
        for at in range(FUNCTIONS)
    )
    table = f"TABLE = {{f'key {{n}}': [n, {number}] for n in range({ENTRIES})}}"
    return f"{table}\n\n{functions}\n\ndef answer(value):\n    return value * {position + 1} + len(TABLE)\n"


def answer(position: int, value: int) -> int:
    """Return what a package is to answer."""
    return value * (position + 1) + ENTRIES
