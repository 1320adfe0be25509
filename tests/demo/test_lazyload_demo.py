"""The lazy imports demo: its tool does what it says, and imports that don't wait do not pass."""

import os

import pytest

from perfkit.demo import lazyload
from perfkit.demo.results import Count, DemoError, Options


def silent(doing):
    assert doing.startswith("lazyload: ")


@pytest.fixture
def folder(tmp_path):
    lazyload.write_packages(str(tmp_path))
    return str(tmp_path)


def test_a_real_run_passes():
    result = lazyload.run(Options(quick=True), silent)
    assert result.failed == ()
    [section] = result.sections
    assert len(section.comparisons) == len(lazyload.COMMANDS)
    assert section.checks[1].before.bad > 0
    assert ("MB" in section.note) == os.path.exists("/proc/self/statm")
    assert result.document_bytes > 100_000


@pytest.mark.parametrize("command", lazyload.COMMANDS)
def test_both_tools_answer_alike_and_one_loads_what_it_needs(folder, command):
    before, after = lazyload.written(folder)
    _, ordinary = lazyload.started(before.script, command)
    _, lazy = lazyload.started(after.script, command)
    assert ordinary["answers"] == lazy["answers"]
    assert ordinary["loaded"] == list(lazyload.PACKAGES)
    assert lazy["loaded"] == list(lazyload.COMMANDS[command])


def test_imports_that_do_not_wait_are_seen(folder, monkeypatch):
    monkeypatch.setattr(lazyload, "written", lambda folder, written=lazyload.written: (written(folder)[0],) * 2)
    section = lazyload.starts(1, folder, silent)
    assert section.checks[0].passed
    assert not section.checks[1].passed


def test_wrong_answers_are_seen(folder, monkeypatch):
    monkeypatch.setattr(lazyload, "answer", lambda position, value: 0)
    section = lazyload.starts(1, folder, silent)
    assert section.checks[0].after == Count(2, 3)  # `version` answers nothing
    assert not section.checks[0].passed


def test_a_tool_that_fails_is_told(folder):
    before, _ = lazyload.written(folder)
    with pytest.raises(DemoError, match="KeyError"):
        lazyload.started(before.script, "nothing")
