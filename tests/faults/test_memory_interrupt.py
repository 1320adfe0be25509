"""An interrupt at any place of a guard leaves nothing reserved."""

import pytest
from interrupting import FIRST, STEP, interrupted

import perfkit
from perfkit.memory.guard import admission


def guarded_block():
    with perfkit.memory_guard("1MB"):
        pass


@perfkit.memory_guard("1MB")
def guarded_function():
    pass


@pytest.mark.parametrize("work", [guarded_block, guarded_function])
def test_a_guard_that_is_interrupted_has_reserved_nothing(work):
    work()  # or it would be interrupted in what is loaded at the first use
    struck, at = [], FIRST
    while (place := interrupted(work, at)) is not None:
        assert admission.reserved == 0, place
        struck.append(place)
        at += STEP
    assert any("_is_let_in" in place for place in struck)
    work()
    assert admission.reserved == 0
