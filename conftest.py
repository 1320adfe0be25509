"""README.md and every page of docs/ run as tests: one namespace and one empty directory a page, top to bottom.

``python`` blocks are executed. In ``console`` blocks each ``$ perfkit …`` or ``$ python -m perfkit …`` line is run for
real, and must print what the block shows (``...`` stands for anything); ``$ pip install …`` is left to `.ci/run`.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import perfkit

_home = os.getcwd()
_pages: list[tempfile.TemporaryDirectory[str]] = []


def _enter_page(namespace: dict[str, Any]) -> None:
    """Start a page in an empty directory, as the program it describes."""
    namespace["__name__"] = "__main__"
    _pages.append(tempfile.TemporaryDirectory(prefix="page-"))
    os.chdir(_pages[-1].name)


def _leave_page(namespace: dict[str, Any]) -> None:
    namespace.clear()  # what the page made goes before its directory does
    os.chdir(_home)
    _pages.pop().cleanup()


def _console(example: Example) -> str | None:
    """Run the commands of a console block; return what differs from the page, or None."""
    before, *transcripts = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)
    if before.strip() or not transcripts:
        return "a console block starts with a line `$ command`"
    return next(filter(None, map(_difference, transcripts)), None)


def _difference(transcript: str) -> str | None:
    command, _, expected = transcript.partition("\n")
    arguments = _arguments(shlex.split(command))
    if not arguments:
        return None
    printed = _output(arguments)
    if doctest.OutputChecker().check_output(expected.strip() + "\n", printed.strip() + "\n", doctest.ELLIPSIS):
        return None
    return f"$ {command}\nthe page shows:\n{expected}\nit prints:\n{printed}"


def _arguments(words: list[str]) -> list[str]:
    """Translate a command of a page to what runs it here; nothing for the command that CI runs."""
    match words:
        case ["perfkit", *rest] | ["python", "-m", "perfkit", *rest]:
            return [sys.executable, "-m", "perfkit", *rest]
        case ["pip", "install", *_]:
            return []
    raise ValueError(f"a page may run perfkit alone, not {shlex.join(words)!r}")


def _output(arguments: list[str]) -> str:
    """Run a command as a user with a plain terminal of 80 columns would; return all it prints."""
    found = Path(perfkit.__file__).parents[1]  # a relative PYTHONPATH would not survive the change of directory
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(found), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.stdout.decode("utf-8").replace("\r\n", "\n")


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="console", evaluator=_console)],
    pattern="*.md",
    setup=_enter_page,
    teardown=_leave_page,
).pytest()
