"""pyright says of the typed program what mypy says (tests/test_typing.py), where it is installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import perfkit

PROGRAM = Path(__file__).parents[1] / "typing" / "lazyload_usage.py"


@pytest.mark.skipif(shutil.which("pyright") is None, reason="needs pyright: npm install --global pyright")
def test_pyright_agrees(tmp_path):
    shutil.copy(PROGRAM, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": [PROGRAM.name],
                "extraPaths": [str(Path(perfkit.__file__).parents[1])],
                "enableTypeIgnoreComments": True,
                "reportUnnecessaryTypeIgnoreComment": True,
                "pythonVersion": "3.11",
            }
        )
    )
    done = subprocess.run(
        ["pyright", "--outputjson"],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = json.loads(done.stdout)
    assert said["generalDiagnostics"] == []
    assert said["summary"]["filesAnalyzed"] == 1
