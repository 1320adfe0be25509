"""Code that interrupts a thread, as signal handlers and finalisers do, never waits for that thread.

The scenarios are functions of ``programs/reentry_scenarios.py``: one that hangs must not take pytest along.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("programs") / "reentry_scenarios.py"
SCENARIOS = [
    node.name
    for node in ast.parse(SOURCE.read_bytes()).body
    if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["path"]
    if node.name not in {"state_of", "many_files", "strike_main_thread_in_line"}
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_reentry(start, tmp_path, scenario):
    start("reentry_scenarios", scenario, tmp_path / "state.json").end()
