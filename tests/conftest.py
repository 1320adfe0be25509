"""What all tests share: the Hypothesis profile, and skips that say what would make them run.

``@pytest.mark.needs_install("mkfs.ext3", package="e2fsprogs")`` skips the test where one of the programs is missing.
``@pytest.mark.needs_privilege`` says that the test may skip itself where mounting and the like is refused. A test can
have both. Such skips are listed at the end. One for want of a program is a failure where ``PERFKIT_CI`` is set:
`.ci/run` installs the programs it knows of, so there it means that its list has a gap.
"""

import os
import shutil
import signal
import time
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would the programs that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Random on every run: a failure prints the blob that repeats it. How long an example takes says more about the machine.
settings.register_profile("perfkit", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("perfkit")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are missing, naming the package that has them."""
    if missing := _missing(item):
        package = next(item.iter_markers("needs_install")).kwargs.get("package", missing[0])
        pytest.skip(f"{', '.join(missing)} not found: install {package}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
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
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])  # where mkfs is
    programs = [program for marker in item.iter_markers("needs_install") for program in marker.args]
    return [program for program in programs if shutil.which(program, path=path) is None]


def _reason(report: pytest.TestReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture
def eventually():
    """``eventually(condition)`` waits until something comes true that no event tells of, such as others waiting in
    line."""

    def wait(condition):
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until, "it never came true"
            time.sleep(0.001)

    return wait
