"""Real programs under a limit of their own: how far they get, what is let go of, and what the last resorts do."""

import signal
import sys
import time

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def figures(program):
    return [float(word) for word in program.end().split()]


def test_a_leak_of_half_a_gigabyte_a_second(start):
    peak, passes = figures(start("memory_scenarios", "leak", 800))
    assert passes > 5
    assert peak <= 0.88


def test_blocks_at_full_speed_behind_a_guard(start):
    peak, refused = figures(start("memory_scenarios", "blocks", 800))
    assert refused == 0
    assert peak <= 0.82


def test_what_cannot_be_had_costs_next_to_nothing(start):
    share, level, passes, vain, _ = start("memory_scenarios", "unreclaimable", 400).end().split()
    assert level == "high"
    assert int(passes) == int(vain) > 1
    assert float(share) <= 0.03


def test_a_pass_stops_at_the_low_mark(start):
    need, freed, fraction, left, _ = figures(start("memory_scenarios", "stop_at_low", 400))
    assert need <= freed <= need + 0.03
    assert fraction < 0.70
    assert left > 300


def test_a_fork(start):
    program = start("memory_scenarios", "fork", environment={"PYTHONWARNINGS": "error"})
    printed, complaint = program.process.communicate(timeout=120)
    assert (printed, complaint, program.process.returncode) == ("done\n", "", 0)


def test_descriptors_closed_by_a_daemon(start):
    assert start("memory_scenarios", "closed_descriptors").end() == "done\n"


def test_reclaimers_that_raise_and_hang(start):
    assert start("memory_scenarios", "raising_and_hanging", 400).end() == "done\n"


def test_memory_that_the_allocator_keeps_is_told_and_not_escalated(start):
    stuck, level, restarts, *_ = start("memory_scenarios", "kept_by_the_allocator", 300).end().split()
    assert (stuck, level, restarts) == ("True", "critical", "0")


def test_the_sidecar_kills_where_the_interpreter_is_held(start):
    program = start("memory_scenarios", "hold_the_interpreter", 200)
    assert program.hear() == ["holding"]
    program.process.communicate(timeout=120)
    assert program.process.returncode == -signal.SIGKILL


def test_the_sidecar_spares_a_watchdog_at_work(start):
    assert start("memory_scenarios", "slow_pass", 200).end() == "lived True True\n"


def test_the_sidecar_spares_who_collects(start):
    assert start("memory_scenarios", "collecting", 50).end() == "lived True True\n"


def test_the_sidecar_spares_who_is_stopped(start):
    program = start("memory_scenarios", "stopped", 200)
    assert program.hear() == ["ready"]
    program.process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)  # more than the sidecar waits for a sign of life
    assert program.process.poll() is None
    program.process.send_signal(signal.SIGCONT)
    printed, _ = program.process.communicate("\n", timeout=120)
    assert (printed, program.process.returncode) == ("lived True\n", 0)


def test_a_sidecar_that_is_gone_raises_no_signal(start):
    assert start("memory_scenarios", "deaf_sidecar", 200).end() == "lived True\n"


def test_nothing_is_written_into_a_file_that_has_the_number_now(start, tmp_path):
    assert start("memory_scenarios", "line_reused", 200, tmp_path / "own").end() == "lived True\n"


def test_the_last_resorts_come_one_after_the_other(start):
    program = start("memory_scenarios", "last_resort", 200)
    printed, _ = program.process.communicate(timeout=120)
    assert printed.splitlines() == ["restart critical", "terminate"]
    assert program.process.returncode == -signal.SIGKILL


def test_the_sidecar_ends_with_its_parent(start, eventually):
    program = start("memory_scenarios", "orphan", 200)
    (pid,) = program.hear()
    assert _is_there(pid)
    program.kill()
    eventually(lambda: not _is_there(pid))


def _is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # who has died is nobody, if not yet buried
    except FileNotFoundError:
        return False
