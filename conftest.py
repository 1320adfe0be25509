"""README.md and every page of docs/ run as tests: one namespace and one empty directory a page, top to bottom.

``python`` blocks are executed. In ``console`` blocks each ``$ perfkit …`` or ``$ python -m perfkit …`` line is run for
real, and must print what the block shows (``...`` stands for anything); ``$ pip install …`` is left to `.ci/run`.

From a line ``<!-- needs: postgresql -->`` on, the blocks of a page have the fixture of that name in docs/conftest.py,
and are skipped where its program is missing.

Skips say what would make a test run. ``@pytest.mark.needs_install("mkfs.ext3", package="e2fsprogs")`` skips the test
where one of the programs is missing. ``@pytest.mark.needs_privilege`` says that the test may skip itself where mounting
and the like is refused. A test can have both. Such skips are listed at the end. One for want of a program is a failure
where ``PERFKIT_CI`` is set: `.ci/run` installs the programs it knows of, so there it means that its list has a gap.
"""

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import perfkit

# Debian has programs where the PATH of a user doesn't lead: mkfs, PostgreSQL's.
_ELSEWHERE = ["/usr/sbin", "/sbin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)]
os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *_ELSEWHERE])

_home = os.getcwd()
_pages: list[tempfile.TemporaryDirectory[str]] = []

_NEED = re.compile(r"^<!-- needs: (.+) -->$", re.MULTILINE)
_PROGRAMS = {"postgresql": "initdb"}  # what a page may need -> the program that tells whether it is installed


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give blocks of pages the fixtures, and the markers, of what their page has said before them that they need."""
    for item in items:
        if not isinstance(item, SybilItem):
            continue
        needs = _NEED.findall(item.example.document.text, 0, item.example.region.start)
        item.request_fixtures(needs)
        for need in needs:
            item.add_marker(pytest.mark.needs_install(_PROGRAMS[need], package=need))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are missing, naming the package that has them."""
    if missing := _missing(item):
        package = next(item.iter_markers("needs_install")).kwargs.get("package", missing[0])
        pytest.skip(f"{', '.join(missing)} not found: install {package}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what a skipped test wanted; in CI, fail the one that wanted a program."""
    report = yield
    wanted = _wanted(item)
    if not report.skipped or hasattr(report, "wasxfail") or wanted is None:
        return report
    report.user_properties.append(("wanted", wanted))
    if wanted == "needs_install" and os.environ.get("PERFKIT_CI"):
        report.outcome = "failed"
        report.longrepr = f"{_reason(report)}\nCI has to install what this test needs: add it to the list in .ci/run"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the skips that a program or a privilege would turn into passes."""
    skipped = terminalreporter.getreports("skipped")
    lines = [f"{dict(report.user_properties).get('wanted')}  {report.nodeid}: {_reason(report)}" for report in skipped]
    if wanting := [line for line in lines if line.startswith("needs_")]:
        terminalreporter.section("not run here, and what they need", sep="-")
        for line in sorted(wanting):
            terminalreporter.line(line)


def _wanted(item: pytest.Item) -> str | None:
    """Name the marker that explains why a test was skipped."""
    if _missing(item):
        return "needs_install"
    marked = (name for name in ("needs_privilege", "needs_install") if item.get_closest_marker(name))
    return next(marked, None)


def _missing(item: pytest.Item) -> list[str]:
    programs = [program for marker in item.iter_markers("needs_install") for program in marker.args]
    return [program for program in programs if shutil.which(program) is None]


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), CodeBlockParser(language="console", evaluator=_console)],
    pattern="*.md",
    setup=_enter_page,
    teardown=_leave_page,
).pytest()
