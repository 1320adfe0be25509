"""Skips that say what would make them run: listed here, failures in CI where CI should have installed it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import perfkit

SETTINGS = """
[pytest]
addopts = --strict-markers
filterwarnings = error
markers =
    needs_install: a program is missing
    needs_privilege: a privilege is missing
"""
SUITE = f"""
import pytest

@pytest.mark.needs_install("no-such-program", package="no-such-package")
def test_program(): raise AssertionError("it ran without its program")

@pytest.mark.needs_install("nor-this", "no-such-program")
@pytest.mark.needs_privilege
def test_program_and_right(): raise AssertionError("it ran without its program")

@pytest.mark.needs_install({sys.executable!r})
@pytest.mark.needs_privilege
def test_privilege(): pytest.skip("mounting was refused")

@pytest.mark.needs_install
def test_by_hand(): pytest.skip("no compiler: install gcc")

@pytest.mark.needs_install({sys.executable!r})
def test_all_there(): pass

def test_plain(): pytest.skip("only on Windows")
"""


def run(where: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the suite with the project's own conftest."""
    shutil.copy(Path(__file__).parents[1] / "conftest.py", where)
    (where / "test_suite.py").write_text(SUITE)
    (where / "pytest.ini").write_text(SETTINGS)
    clean = {name: value for name, value in os.environ.items() if name != "PERFKIT_CI"}
    clean["PYTHONPATH"] = str(Path(perfkit.__file__).parents[1])  # absolute, for the directory is another
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--import-mode=importlib", str(where)]
    return subprocess.run(command, cwd=where, env=clean | environment, capture_output=True, text=True, check=False)


def test_skips_are_listed_with_what_they_need(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 0
    assert "1 passed, 5 skipped" in done.stdout
    _, _, listing = done.stdout.partition("not run here, and what they need")
    assert listing.splitlines()[1:5] == [
        "needs_install  test_suite.py::test_by_hand: no compiler: install gcc",
        "needs_install  test_suite.py::test_program: no-such-program not found: install no-such-package",
        "needs_install  test_suite.py::test_program_and_right: nor-this, no-such-program not found: install nor-this",
        "needs_privilege  test_suite.py::test_privilege: mounting was refused",
    ]


def test_in_ci_a_missing_program_is_a_failure(tmp_path):
    done = run(tmp_path, PERFKIT_CI="1")
    assert done.returncode == 1
    assert "1 passed, 2 skipped" in done.stdout
    assert "1 failed" in done.stdout
    assert "2 errors" in done.stdout
    assert "no compiler: install gcc\nCI has to install what this test needs" in done.stdout
    assert "needs_privilege  test_suite.py::test_privilege: mounting was refused" in done.stdout


def test_blocks_are_marked_with_what_their_page_has_said_they_need(tmp_path):
    page = "```python\n1\n```\n\n<!-- needs: postgresql -->\n\n```python\n2\n```\n\n```python\n3\n```\n"
    (tmp_path / "page.md").write_text(page)
    done = run(tmp_path, PYTEST_ADDOPTS="--collect-only -q -k page.md -m needs_install")
    assert re.findall(r"page.md::line:(\d+)", done.stdout) == ["7", "11"]
