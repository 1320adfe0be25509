"""After a fork the child's pool is empty and works, and the parent's connections are neither used nor closed by it.

The scenarios are functions of ``programs/pool_forks.py``, with sockets to a server that knows who sent what.
"""

import pytest

SCENARIOS = [
    "idle_ones",
    "ones_that_are_neither_true_nor_false",
    "a_child_that_does_nothing",
    "a_child_that_lets_go_of_the_pool",
    "a_grandchild",
    "a_lease_held_across",
    "a_lease_held_across_with_all_options",
    "a_lease_held_across_with_a_reset",
    "an_acquired_one_held_across",
    "an_acquired_one_released_in_the_child",
    "one_in_another_threads_locals",
    "others_wait_and_connect",
    "others_are_in_the_pool",
    "others_drain_it",
    "a_closed_pool_stays_closed",
    "many_children_do_not_wait_alike",
    "an_async_pool",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_fork(start, scenario):
    start("pool_forks", scenario).end()
