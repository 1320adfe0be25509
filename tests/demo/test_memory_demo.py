"""The memory demo: its supervisor kills, its program is right, and a watchdog that does nothing does not pass."""

import time

import pytest

from perfkit.demo import memory, memory_program
from perfkit.demo.memory import Life
from perfkit.demo.report import render
from perfkit.demo.results import Options


def silent(doing):
    assert doing.startswith("memory: ")


def test_a_real_run_passes():
    result = memory.run(Options(quick=True), silent)
    assert result.failed == ()
    killed, wrong = result.sections[0].checks
    assert killed.before.bad == wrong.before.bad == 1  # or the limit would be no trial
    text = render(result)
    assert max(map(len, text.splitlines())) <= 80
    assert "x" in text
    assert "#" in text
    assert "h" in next(line for line in text.splitlines() if line.startswith("  level"))


def test_the_program_is_killed_above_the_limit_and_only_there(monkeypatch):
    life = memory.live("before", 100)
    assert not life.was_killed
    assert life.total == memory_program.checksums(memory_program.render, 100)
    monkeypatch.setattr(memory, "LIMIT", 30_000_000)
    life = memory.live("before", 20_000)
    assert life.was_killed
    assert life.total is None


def test_a_program_that_fails_is_no_result(monkeypatch):
    with pytest.raises(memory.DemoError, match="status"):
        memory.live("before", "none")


def test_a_level_told_after_the_end_takes_nothing_from_the_result():
    life = Life(0.0, said=[{"at": 1.0, "total": 7, "freed": 8}, {"at": 1.1, "level": "ok"}])
    assert (life.total, life.freed) == (7, 8)


def test_the_chart_shows_both_and_the_level():
    limit, began = memory.LIMIT, time.monotonic()
    before = Life(began, [(began + n / 10, limit * n // 10) for n in range(11)], was_killed=True)
    after = Life(began, [(began + n / 10, limit // 2) for n in range(21)], [{"at": began + 1, "level": "high"}])
    lines = memory.chart(before, after)
    assert len({len(line) for line in lines[: memory.ROWS]}) == 1
    assert "x" in lines[0]
    assert "#" not in lines[3]
    assert "#" in lines[5]
    assert lines[-2].split()[1] == "." * 32 + "h" * 34
