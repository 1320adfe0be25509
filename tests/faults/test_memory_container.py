"""In a real control group: the limit is found, wherever it is, and a program that would be killed lives."""

import signal

import pytest
from memory_groups import limited

MB = 1_000_000

pytestmark = pytest.mark.needs_privilege


@pytest.fixture
def group():
    with limited(400) as group:
        yield group


def test_without_the_watchdog_the_kernel_kills_it(start, group):
    program = start("memory_scenarios", "churn", group.path, "alone")
    program.process.communicate(timeout=120)
    assert program.process.returncode == -signal.SIGKILL


def test_with_the_watchdog_it_lives(start, group):
    assert start("memory_scenarios", "churn", group.path, "guarded").end().startswith("survived")
    assert group.peak <= 380 * MB


def test_file_cache_is_no_pressure(start, group, tmp_path):
    level, used, passes = start("memory_scenarios", "page_cache", group.path, tmp_path).end().split()
    assert (level, passes) == ("ok", "0")
    assert int(used) < 100
    assert group.peak > 250 * MB  # it was charged


def test_files_in_a_tmpfs_are_pressure_and_can_be_let_go_of(start, group):
    removed, freed = start("memory_scenarios", "shared_memory", group.path).end().split()
    assert int(removed) > 400
    assert int(freed) > 400


def test_the_limit_of_a_group_above_counts(start, group):
    with limited(None, below=group) as inner, limited(900, below=inner) as own:
        limit, source = start("memory_scenarios", "limit_of", own.path).end().split()
        assert abs(int(limit) - 400 * MB) < 8192
        assert source == group.limit_file


def test_what_others_in_a_group_above_hold_counts(start, group):
    """The group of its own has more room, by itself, than the one above has left."""
    with limited(350, below=group) as own, limited(None, below=group) as sibling:
        other = start("memory_scenarios", "hold", sibling.path, 250)
        assert other.hear() == ["holding"]
        source, limit, used, *_ = start("memory_scenarios", "reach", own.path, 50).end().split()
        assert source == group.limit_file
        assert abs(int(limit) - 400 * MB) < 8192
        assert 300 <= int(used) < 380


def test_the_sidecar_goes_by_limits_that_were_raised(start):
    with limited(200) as group:
        assert start("memory_scenarios", "raised", group.path).end() == "lived True True\n"
