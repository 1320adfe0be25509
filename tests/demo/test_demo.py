"""`perfkit demo` for real: what it prints and reports, and that it only reads the user's file."""

import json
import math
import os
import re
import subprocess
import sys

import pytest

from perfkit import _version
from perfkit.cli import main
from perfkit.demo import runner
from perfkit.demo.results import InputError
from perfkit.demo.statefile_mission import read_input

PLAIN = {"NO_COLOR": "", "PYTHONIOENCODING": "utf-8"}


def demo(*args, scratch):
    """Run the demo as users do, with temporary files in ``scratch``, and see that it leaves none there."""
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "perfkit", "demo", "--quick", *args]
    environment = os.environ | PLAIN | {"TMPDIR": str(scratch)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert os.listdir(scratch) == []
    return done


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One real run: what it printed, its report, and its page."""
    folder = tmp_path_factory.mktemp("quick")
    report, page = folder / "report.json", folder / "report.html"
    done = demo("--json", str(report), "--html", str(page), scratch=folder / "scratch")
    assert (done.returncode, done.stderr) == (0, f"wrote {report}\nwrote {page}\n")
    assert re.search(r"\n\nall \d+ checks passed\n$", done.stdout)
    assert sorted(os.listdir(folder)) == ["report.html", "report.json", "scratch"]
    return done.stdout, json.loads(report.read_text(encoding="utf-8")), page.read_text(encoding="utf-8")


def fits(value, form):
    """Tell whether a JSON document has a form: of a dict all keys, of a list the form of each element."""
    if isinstance(form, dict):
        return (
            isinstance(value, dict) and value.keys() == form.keys() and all(fits(value[key], form[key]) for key in form)
        )
    if isinstance(form, list):
        return isinstance(value, list) and all(fits(each, form[0]) for each in value)
    return type(value) is form


def test_the_report_has_its_documented_form(quick, whole_app):
    latency = {"how": str, "count": int, "p50": float, "p95": float, "p99": float}
    count = {"bad": int, "of": int}
    section = {
        "title": str,
        "note": str,
        "comparisons": [{"what": str, "before": latency, "after": [latency | {"speedup_p50": float}]}],
        "sizes": [{"what": str, "before": int, "after": int, "ratio": float}],
        "checks": [{"what": str, "before": count, "after": count, "both": bool, "passed": bool}],
    }
    part = {"name": str, "title": str, "passed": bool, "document_bytes": int, "sections": [section]}
    report = {
        "schema": int,
        "perfkit": str,
        "python": {"implementation": str, "version": str},
        "machine": {"system": str, "release": str, "architecture": str, "cores": int},
        "quick": bool,
        "passed": bool,
        "parts": [part],
    }
    assert fits(quick[1], report)
    assert fits(whole_app.as_json(), part)
    assert not fits(quick[1], report | {"parts": [part | {"title": int}]})


def test_the_report_says_what_ran(quick):
    _, report, _ = quick
    assert report["schema"] == runner.SCHEMA
    assert report["perfkit"] == _version.__version__
    assert report["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert (report["quick"], report["passed"]) == (True, True)
    assert [part["name"] for part in report["parts"]] == [name for name in runner.PARTS if name != "app"]


def test_figures_are_in_order_and_speedups_are_their_ratios(quick):
    _, report, _ = quick
    for section in report["parts"][0]["sections"]:
        assert section["comparisons"]
        for comparison in section["comparisons"]:
            for latency in [comparison["before"], *comparison["after"]]:
                assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] < 60
                assert latency["count"] > 0
            for after in comparison["after"]:
                assert after["speedup_p50"] == comparison["before"]["p50"] / after["p50"]


def test_both_ways_did_the_same_work_alone(quick):
    _, report, _ = quick
    for comparison in report["parts"][0]["sections"][0]["comparisons"]:
        assert {after["count"] for after in comparison["after"]} == {comparison["before"]["count"]}


def test_with_perfkit_every_update_of_every_agent_counts(quick):
    _, report, _ = quick
    alone, together = report["parts"][0]["sections"]
    assert all(check["passed"] for section in (alone, together) for check in section["checks"])
    after = {check["what"]: check["after"] for check in together["checks"]}
    sent = [int(number) for number in re.findall(r"(\d+) agents send (\d+) updates", together["title"])[0]]
    assert after["updates lost"] == {"bad": 0, "of": math.prod(sent)}
    assert after["polls that found the file unreadable"]["of"] > 0


def test_the_document_is_of_the_size_of_a_dashboard(quick):
    _, report, _ = quick
    assert 16_000 <= report["parts"][0]["document_bytes"] <= 18_000


def test_the_table_is_plain_and_narrow_off_a_terminal(quick):
    table, report, _ = quick
    assert "\x1b" not in table
    assert "\r" not in table
    assert max(map(len, table.splitlines())) <= 80
    for section in report["parts"][0]["sections"]:
        for named in [*section["comparisons"], *section["checks"]]:
            assert re.search(rf"^ +{re.escape(named['what'])}", table, re.MULTILINE)


def test_the_page_has_every_figure_of_the_report(quick, parsed, figures):
    _, report, text = quick
    page = parsed(text)
    assert figures(report) <= page.figures
    assert [title for title in (part["title"] for part in report["parts"]) if title not in page.text] == []


INPUTS = {
    "a dict that has the board's key": b'{"check_ins": 1, "big": 36893488147419103232, "name": "Zo\xc3\xab"}',
    "a list with NaN": b"[NaN, 1.0, 1, -Infinity, null]\n",
}


@pytest.mark.parametrize("content", INPUTS.values(), ids=INPUTS)
def test_an_input_file_is_only_read(content, tmp_path):
    path = tmp_path / "state file.json"
    path.write_bytes(content)
    os.utime(path, ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))
    path.chmod(0o444)
    before = path.stat()
    done = demo("statefile", "--input", str(path), scratch=tmp_path / "scratch")
    assert (done.returncode, done.stderr) == (0, "")
    assert "State files: a copy of state file.json" in done.stdout
    assert path.read_bytes() == content
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_mode) == (before.st_mtime_ns, before.st_ino, before.st_mode)
    assert sorted(os.listdir(tmp_path)) == ["scratch", "state file.json"]


BAD_INPUTS = {
    "is not JSON: line 2, column 1: Expecting": b'{"agents":\n',
    "is not JSON: line 1, column 1: Expecting": b"",
    "cannot be read as JSON: 'utf-8' codec": b'"\xff\xfe\xfd"',
    "is nested too deeply for the json module": b"[" * 100_000 + b"]" * 100_000,
    "cannot be read as JSON: Exceeds the limit": b"1" * 5_000,
}


@pytest.mark.parametrize("message", BAD_INPUTS)
def test_an_input_that_is_not_json_is_refused(message, tmp_path, capsys):
    path = tmp_path / "state.json"
    path.write_bytes(BAD_INPUTS[message])
    assert main(["demo", "--input", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"perfkit demo: --input {path} {message}")
    assert path.read_bytes() == BAD_INPUTS[message]


def test_an_input_that_is_missing_or_a_directory_is_refused(tmp_path):
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(InputError, match=re.escape(f"--input {path}: ")):
            read_input(str(path))
