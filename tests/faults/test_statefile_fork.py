"""A fork while a lock is held hands the lock to nobody, and the child can use what it inherited.

The scenarios are functions of ``programs/fork_scenarios.py``.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("programs") / "fork_scenarios.py"
# those that take nothing but the file's path; the rest of the functions are helpers
SCENARIOS = [
    node.name
    for node in ast.parse(SOURCE.read_bytes()).body
    if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["path"]
    if node.name != "is_locked"
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fork(start, tmp_path, scenario):
    start("fork_scenarios", scenario, tmp_path / "state.json").end()
