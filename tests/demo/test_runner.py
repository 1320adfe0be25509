"""The runner: parts, exit statuses, and the report file."""

import json
import os
import sys
import types
from pathlib import Path

import pytest

import perfkit
from perfkit.cli import main
from perfkit.demo import runner
from perfkit.demo.results import Check, Count, DemoError, Options, PartResult, Section


@pytest.mark.parametrize("name", runner.PARTS)
def test_each_part_is_a_module_with_run(name):
    module, about = runner.PARTS[name]
    assert Path(perfkit.__file__).with_name("demo").joinpath(f"{module.rpartition('.')[2]}.py").exists()
    assert len(f"  {name}  {about}") <= 80


def test_what_runs_if_nothing_is_named_is_every_part_but_the_whole_application(monkeypatch):
    for name in runner.PARTS:
        fake = types.ModuleType(f"fake_{name}")
        fake.run = lambda *_, name=name: name
        monkeypatch.setitem(sys.modules, f"fake_{name}", fake)
        monkeypatch.setitem(runner.PARTS, name, (f"fake_{name}", ""))
    ran = list(runner.run_parts([], Options(), print))
    assert [*ran, "app"] == list(runner.PARTS)
    assert list(runner.run_parts(["app"], Options(), print)) == ["app"]


def test_every_part_runs_once_and_in_order(monkeypatch):
    ran = []
    for name in ("one", "two"):
        fake = types.ModuleType(f"fake_{name}")
        fake.run = lambda options, progress, name=name: ran.append((name, options)) or name
        monkeypatch.setitem(sys.modules, f"fake_{name}", fake)
    monkeypatch.setattr(runner, "PARTS", {"one": ("fake_one", ""), "two": ("fake_two", "")})
    options = Options(quick=True)
    assert list(runner.run_parts([], options, print)) == ["one", "two"]
    assert list(runner.run_parts(["two", "one", "two"], options, print)) == ["two", "one"]
    assert ran == [(name, options) for name in ("one", "two", "two", "one")]


@pytest.mark.parametrize(
    ("names", "said"), [(["one"], ["at work"]), (["one", "two"], ["part 1 of 2, at work", "part 2 of 2, at work"])]
)
def test_progress_says_which_of_several_parts_it_is(names, said, monkeypatch):
    for name in ("one", "two"):
        fake = types.ModuleType(f"fake_{name}")
        fake.run = lambda _, progress: progress("at work")
        monkeypatch.setitem(sys.modules, f"fake_{name}", fake)
    monkeypatch.setattr(runner, "PARTS", {"one": ("fake_one", ""), "two": ("fake_two", "")})
    heard = []
    for _ in runner.run_parts(names, Options(), heard.append):
        pass
    assert heard == said


@pytest.fixture
def fake_part(monkeypatch):
    """Add a part called fake to the demo: call the fixture with what its run() returns or raises."""

    def add(outcome):
        def run(options, progress):
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        module = types.ModuleType("fake_part")
        module.run = run
        monkeypatch.setitem(sys.modules, "fake_part", module)
        monkeypatch.setitem(runner.PARTS, "fake", ("fake_part", "a part made for this test"))

    return add


def fake_result(lost):
    check = Check("updates lost", Count(7, 9), Count(lost, 9))
    return PartResult("fake", "A fake", 1, (Section("One", (), (check,)),))


def test_a_failed_check_is_exit_1_and_named(fake_part, capsys, tmp_path):
    fake_part(fake_result(lost=2))
    assert main(["demo", "fake", "--json", str(tmp_path / "out.json")]) == 1
    out, err = capsys.readouterr()
    assert "FAILED" in out
    assert err.splitlines() == [
        f"wrote {tmp_path / 'out.json'}",
        "perfkit demo: check failed: fake: updates lost: with perfkit 2 of 9, the ordinary way 7 of 9",
    ]
    assert out.splitlines()[-1] == "1 of 1 checks failed"
    report = json.loads((tmp_path / "out.json").read_text())
    assert (report["passed"], report["parts"][0]["passed"]) == (False, False)


def test_a_report_on_stdout_leaves_the_table_to_stderr(fake_part, capsys):
    fake_part(fake_result(lost=0))
    assert main(["demo", "fake", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["passed"] is True
    assert "    updates lost" in err
    assert err.splitlines()[-1] == "all 1 checks passed"
    assert "wrote" not in err


def test_a_page_on_stdout_leaves_the_table_to_stderr(fake_part, capsys, parsed):
    fake_part(fake_result(lost=0))
    assert main(["demo", "fake", "--html", "-"]) == 0
    out, err = capsys.readouterr()
    assert "Checks passed: 1 of 1" in parsed(out).text
    assert "    updates lost" in err


def test_a_page_and_a_report_are_written_of_one_run(fake_part, capsys, parsed, tmp_path):
    fake_part(fake_result(lost=2))
    assert main(["demo", "fake", "--json", str(tmp_path / "out.json"), "--html", str(tmp_path / "out.html")]) == 1
    out, err = capsys.readouterr()
    assert "FAILED" in out
    assert err.splitlines()[:2] == [f"wrote {tmp_path / name}" for name in ("out.json", "out.html")]
    assert json.loads((tmp_path / "out.json").read_text())["passed"] is False
    assert "Checks passed: 0 of 1" in parsed((tmp_path / "out.html").read_text("utf-8")).text
    assert sorted(os.listdir(tmp_path)) == ["out.html", "out.json"]


@pytest.mark.parametrize("error", [DemoError("a process is gone"), OSError(28, "No space left on device")])
def test_a_part_that_cannot_finish_is_exit_1_and_writes_no_report(error, fake_part, capsys, tmp_path):
    fake_part(error)
    assert main(["demo", "fake", "--json", str(tmp_path / "out.json")]) == 1
    assert capsys.readouterr() == ("", f"perfkit demo: {error}\n")
    assert os.listdir(tmp_path) == []


def test_a_report_replaces_a_file_at_once(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    path.chmod(0o640)
    runner.write_json(str(path), {"a": 1})
    assert json.loads(path.read_text()) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["report.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a system with named pipes")
def test_a_pipe_is_written_into_and_stays_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        runner.write_json(str(path), {"a": 1})
        assert json.loads(os.read(reader, 1000)) == {"a": 1}
    finally:
        os.close(reader)
    assert path.is_fifo()
