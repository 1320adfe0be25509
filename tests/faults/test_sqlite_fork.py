"""A fork leaves a database to the parent, unharmed; the child is told, and may open the file anew.

The scenarios are functions of ``programs/fork_sqlite.py``.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("programs") / "fork_sqlite.py"
FUNCTIONS = [node for node in ast.parse(SOURCE.read_bytes()).body if isinstance(node, ast.FunctionDef)]
SCENARIOS = [
    function.name
    for function in FUNCTIONS
    if [argument.arg for argument in function.args.args] == ["path"] and function.name != "use_another"
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fork(start, tmp_path, scenario):
    start("fork_sqlite", scenario, tmp_path / "app.db").end()
