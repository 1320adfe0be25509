"""What is given to the watchdog and can't be meant is refused, with what to write instead."""

import pytest

import perfkit


@pytest.mark.parametrize("limit", ["800", 800, " 800 ", "800B"])
def test_a_unit_that_was_forgotten(limit):
    with pytest.raises(ValueError, match="'800MB'"):
        perfkit.MemoryWatchdog(limit)


def test_bytes_may_be_a_number():
    assert perfkit.MemoryWatchdog(800_000_000).usage().limit == 800_000_000
