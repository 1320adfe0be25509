"""A fork leaves breakers, retries and budgets usable on both sides, and heartbeats to the parent.

The scenarios are functions of ``programs/fork_resilience.py``.
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("programs") / "fork_resilience.py"
FUNCTIONS = [node for node in ast.parse(SOURCE.read_bytes()).body if isinstance(node, ast.FunctionDef)]
SCENARIOS = [function.name for function in FUNCTIONS if not function.args.args]  # the others are helpers


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fork(start, scenario):
    start("fork_resilience", scenario).end()
