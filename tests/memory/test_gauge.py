"""Usage by the fullest of several bounds; a group's files are read now and then, and where exactness is asked for."""

import subprocess
import sys

import pytest

from perfkit.memory.cgroups import Group
from perfkit.memory.gauge import Gauge
from perfkit.memory.limits import Bound
from perfkit.testing import FakeClock

MB = 1_000_000


@pytest.fixture
def charged(tmp_path):
    """``charged(bytes)`` says what the group's processes hold, beside 300 MB of file cache."""

    def charge(used):
        (tmp_path / "memory.current").write_text(f"{used + 300 * MB}\n")
        (tmp_path / "memory.stat").write_text(f"anon {used}\ninactive_file {200 * MB}\nactive_file {100 * MB}\n")

    charge(100 * MB)
    return charge


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def gauge(tmp_path, charged, clock):
    gauge = Gauge(100_000 * MB, clock)
    gauge.bounds = [gauge.bounds[0], Bound(500 * MB, "the group", Group(2, str(tmp_path)))]
    gauge._is_grouped = True
    gauge.read(is_exact=True)
    return gauge


def test_the_fullest_bound_counts(gauge):
    usage = gauge.read(is_exact=True)
    assert (usage.limit, usage.source) == (500 * MB, "the group")
    assert usage.used == pytest.approx(100 * MB, abs=20 * MB)  # without the file cache


def test_a_group_is_read_each_50_ms_at_most(gauge, charged, clock):
    charged(400 * MB)
    clock.advance(0.049)
    assert gauge.read().used < 150 * MB
    clock.advance(0.001)
    assert gauge.read().used == pytest.approx(400 * MB, abs=20 * MB)


def test_between_it_grows_as_the_process_does(gauge):
    before = gauge.read().used
    held = bytearray(b"x") * (80 * MB)
    assert gauge.read().used - before == pytest.approx(80 * MB, abs=20 * MB)
    assert len(held) == 80 * MB


def test_what_is_over_a_share_of_any_bound(gauge, charged):
    assert gauge.excess(0.8) < 0
    assert gauge.excess(0.8, 400 * MB) == pytest.approx(100 * MB, abs=20 * MB)
    charged(450 * MB)
    assert gauge.excess(0.8, is_exact=True) == pytest.approx(50 * MB, abs=20 * MB)
    assert gauge.room(0.8) == 400 * MB


def test_a_group_that_is_gone_is_left_out(gauge, tmp_path):
    (tmp_path / "memory.stat").unlink()
    assert gauge.read(is_exact=True).source != "the group"


def test_a_group_that_cannot_be_read_for_a_while_is_not_forgotten(gauge, charged, clock, tmp_path):
    charged(400 * MB)
    assert gauge.read(is_exact=True).used == pytest.approx(400 * MB, abs=20 * MB)
    (tmp_path / "memory.stat").write_text("")  # nothing can be opened, or it is another's by now
    usage = gauge.read(is_exact=True)
    assert (usage.limit, usage.source) == (500 * MB, "the group")
    assert usage.used == pytest.approx(400 * MB, abs=20 * MB)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_limits_are_not_forgotten_while_there_are_no_descriptors():
    program = """
import os, resource
from perfkit.memory.gauge import Gauge
from perfkit.memory.limits import bounds

gauge = Gauge(None)
before = gauge.bounds = [*gauge.bounds, *gauge.bounds]  # as if there were a group
resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
gauge.look_for_bounds(at_once=True)
assert gauge.bounds is before
try:
    bounds(None)
except OSError as error:
    print(os.strerror(error.errno))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "Too many open files\n"
