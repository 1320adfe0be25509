"""A fork while a lock is held hands the lock to nobody, and the child can use what it inherited.

The scenarios are functions of ``programs/fork_scenarios.py``.
"""

import ast
from pathlib import Path

import pytest

import perfkit
from perfkit._base import fork

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


def test_a_fork_that_does_not_end_holds_up_nobody(tmp_path, monkeypatch):
    """It may be waiting, in somebody else's hook, for the very thread that is about to edit."""
    monkeypatch.setattr(fork, "begun", fork.begun + 1)
    state = perfkit.StateFile(tmp_path / "state.json", default=dict, timeout=0)
    assert state.update(lambda document: document.setdefault("n", 1)) == 1
