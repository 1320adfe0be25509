"""Deadlines by an injected clock, and the clock that stamps files."""

import os

from perfkit._base.clock import Deadline, stamp_ns
from perfkit.testing import FakeClock


def test_a_deadline():
    clock = FakeClock(100.0)
    deadline = Deadline(5, clock)
    assert (deadline.remaining(), deadline.is_over(), deadline.timeout) == (5, False, 5)
    clock.advance(4.5)
    assert (deadline.remaining(), deadline.is_over()) == (0.5, False)
    clock.advance(0.5)
    assert (deadline.remaining(), deadline.is_over()) == (0, True)
    clock.advance(10)
    assert deadline.remaining() == 0


def test_none_is_for_ever():
    clock = FakeClock()
    deadline = Deadline(None, clock)
    clock.advance(1e9)
    assert (deadline.remaining(), deadline.is_over()) == (None, False)


def test_a_write_after_reading_the_clock_is_never_stamped_before_it(tmp_path):
    path = tmp_path / "file"
    for number in range(300):
        before = stamp_ns()
        path.write_text(str(number))
        assert os.stat(path).st_ctime_ns >= before
