"""The programs in tests/typing pass ``mypy --strict`` against the perfkit that is imported here, types and all."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import perfkit

HERE = Path(__file__).parent
PROGRAMS = sorted((HERE / "typing").glob("*.py"))


def mypy(program: Path, cache: Path) -> tuple[str, int]:
    """Check one program; return what mypy says and its exit status."""
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(cache)]
    command += ["--config-file", str(HERE.parent / "pyproject.toml"), str(program)]
    found, installed = Path(perfkit.__file__).parents[1], Path(sysconfig.get_path("purelib"))
    environment = os.environ | ({} if found == installed else {"MYPYPATH": str(found)})
    done = subprocess.run(command, env=environment, cwd=cache, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr, done.returncode


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_typed_program_passes(program, tmp_path):
    said, status = mypy(program, tmp_path)
    assert (said, status) == ("Success: no issues found in 1 source file\n", 0)


def test_a_wrong_program_is_caught(tmp_path):
    program = tmp_path / "wrong.py"
    program.write_text('import perfkit\n\ncount: int = perfkit.StateFile("state.json").update(lambda doc: "text")\n')
    said, status = mypy(program, tmp_path)
    assert status == 1
    assert "Incompatible" in said
    assert "perfkit" not in said, "the library itself is not found or untyped"


def test_there_are_programs():
    assert PROGRAMS
