"""Near the recursion limit a call fails before it has taken anything, so nobody waits for what it can't give back."""

import json
import sys
import threading
from contextlib import nullcontext

import pytest

import perfkit
from perfkit import errors
from perfkit.statefile.lock import lock_for

PATIENCE = 1.0  # seconds that others wait before they are said to hang
NEAR = 60  # calls below the limit


def bump(document):
    document["n"] += 1


def edit(state):
    with state.edit() as document:
        bump(document)


def update(state):
    state.update(bump)


def save(state):
    state.save({"n": 1})


def deep(calls, operation):
    return deep(calls - 1, operation) if calls else operation()


def in_a_thread(operation):
    """Run it on a stack of its own; return the thread, and a list that gets the error it raises."""
    raised = []

    def run():
        try:
            operation()
        except (RecursionError, errors.StateFileTimeout) as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


@pytest.mark.parametrize("operation", [edit, update, save])
@pytest.mark.parametrize("in_line", [False, True])
def test_a_call_near_the_recursion_limit(tmp_path, eventually, operation, in_line):
    """It does all or nothing, and its state file can be used by the next."""
    failed = 0
    for calls in range(sys.getrecursionlimit() - NEAR, sys.getrecursionlimit()):
        path = tmp_path / f"{calls}.json"
        path.write_text('{"n": 0}')
        state = perfkit.StateFile(path, durability="process", timeout=PATIENCE)
        with perfkit.StateFile(path).edit() if in_line else nullcontext():
            thread, raised = in_a_thread(lambda calls=calls, state=state: deep(calls, lambda: operation(state)))
            eventually(lambda state=state, thread=thread: not in_line or is_in_line(state) or not thread.is_alive())
        thread.join()
        assert [type(error) for error in raised] in ([], [RecursionError])
        assert json.loads(path.read_bytes()) == {"n": 0 if raised else 1}
        for other in (state, perfkit.StateFile(path, timeout=PATIENCE)):
            later, raised_later = in_a_thread(lambda other=other: other.update(bump))
            later.join()
            assert raised_later == []
        failed += bool(raised)
    assert 0 < failed < NEAR


def test_a_reader_near_the_recursion_limit_does_not_take_the_file_for_corrupt(tmp_path):
    path = tmp_path / "state.json"
    path.write_text("[" * 100 + "]" * 100)
    failed = 0
    for calls in range(sys.getrecursionlimit() - 2 * NEAR, sys.getrecursionlimit(), 5):
        state = perfkit.StateFile(path, default=dict, recover="backup")
        thread, raised = in_a_thread(lambda calls=calls, state=state: deep(calls, state.load))
        thread.join()
        assert [type(error) for error in raised] in ([], [RecursionError])
        failed += bool(raised)
    assert failed
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def is_in_line(state):
    return bool(state._group.waiting) or len(lock_for(state.path)._line._queue) > 1
