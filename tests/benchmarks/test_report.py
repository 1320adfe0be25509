"""The page of benchmarks: what it says is what the run measured, and the same run gives the same bytes."""

import importlib.util
import json
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def report() -> ModuleType:
    spec = importlib.util.spec_from_file_location("perfkit_benchmarks_report", BENCHMARKS / "report.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def contender(name: str, median: float, ratio: float, **more: Any) -> dict[str, Any]:
    figures = {"median": median, "p10": median, "p90": median, "ratio": ratio, "low": ratio * 0.9, "high": ratio * 1.1}
    return {"name": name, "ours": False, "note": "", "operations": 3} | figures | more


def bench(size: str, *, measured: float, at_least: float, **more: Any) -> dict[str, Any]:
    claim = {"contender": "Part.read()", "peer": "open + read", "at_least": at_least}
    result = {
        "key": "part-read",
        "part": "A part",
        "part_about": "What the part is.",
        "title": "Reading",
        "about": "What reading is.",
        "size": size,
        "file_system": "ext4",
        "rounds": 9,
        "smoke": False,
        "contenders": [
            contender("open + read", 0.0004321, 1.0),
            contender("Part.read()", 2.345e-6, measured, ours=True),
            contender("a peer", 0.21, 0.002, note="forgets things"),
        ],
        "claims": [claim | {"ratio": measured, "low": measured * 0.9, "high": measured * 1.1}],
    }
    return {"extra_info": result | more}


def a_run(*benches: dict[str, Any]) -> dict[str, Any]:
    return {
        "datetime": "2025-03-01T12:00:00+00:00",
        "machine_info": {
            "cpu": {"brand_raw": "Z80", "count": 2},
            "system": "CP/M",
            "release": "2.2",
            "python_implementation": "CPython",
            "python_version": "3.11.7",
            "packages": {"perfkit": "1.2.3", "peer": "4.5", "missing": None},
        },
        "commit_info": {"id": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
        "benchmarks": list(benches),
    }


BOTH = a_run(bench("17 KB", measured=184.26, at_least=45), bench("1 MB", measured=44.44, at_least=2500))


def written(report: ModuleType, run: dict[str, Any], folder: Path, *arguments: str) -> tuple[int, Path]:
    """Run the command on a run's JSON; return its exit status and the page."""
    stored, page = folder / "run.json", folder / "docs" / "page.md"
    stored.write_text(json.dumps(run), encoding="utf-8")
    return report.main(["--json", str(stored), "--page", str(page), *arguments]), page


def lines_of(page: str, start: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith(start)]


def test_a_claim_that_holds_and_one_that_falls_short(report: ModuleType) -> None:
    claims = lines_of(report.page(BOTH), "| Reading: Part.read() beside open + read |")
    assert claims == [
        "| Reading: Part.read() beside open + read | 17 KB | 45.0 | 184 (166\N{EN DASH}203) | holds |",
        "| Reading: Part.read() beside open + read | 1 MB | 2,500 | 44.4 (40.0\N{EN DASH}48.9) | **falls short** |",
    ]


def test_what_a_claim_is_is_said_above_them(report: ModuleType) -> None:
    before, after = report.page(BOTH).split("A claim is a floor")
    assert before.endswith("## Claims\n\n")
    assert after.index("\n\n| claim |") < after.index("**falls short**")


def test_a_ratio_at_its_bound_holds(report: ModuleType) -> None:
    assert "falls short" not in report.page(a_run(bench("17 KB", measured=45.0, at_least=45)))


def test_a_table_has_two_columns_a_size_and_notes_below(report: ModuleType) -> None:
    page = report.page(BOTH)
    assert "|  | 17 KB | ratio | 1 MB | ratio |" in page
    assert "| open + read | 432 µs | 1.00 | 432 µs | 1.00 |" in page
    assert "| **Part.read()** | 2.35 µs | 184 (166\N{EN DASH}203) | 2.35 µs | 44.4 (40.0\N{EN DASH}48.9) |" in page
    assert lines_of(page, "| a peer |")[0].split(" | ")[1] == "210 ms"
    assert lines_of(page, "- a peer:") == ["- a peer: forgets things"]


def test_a_contender_that_one_size_lacks_leaves_its_cells_empty(report: ModuleType) -> None:
    run = json.loads(json.dumps(BOTH))
    del run["benchmarks"][1]["extra_info"]["contenders"][2]
    (row,) = lines_of(report.page(run), "| a peer |")
    assert row.endswith("|  |  |")


def test_the_page_says_where_it_was_measured(report: ModuleType) -> None:
    facts = lines_of(report.page(BOTH), "- ")[:7]
    assert facts == [
        "- date: 2025-03-01",
        "- processor: Z80, 2 logical",
        "- system: CP/M 2.2",
        "- file system: ext4",
        "- Python: CPython 3.11.7",
        "- perfkit: 1.2.3 (0123456789ab)",
        "- beside it: peer 4.5",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1.5, "1.50 s"), (0.0123, "12.3 ms"), (0.0009999, "1.00 ms"), (4.2e-6, "4.20 µs"), (9.9e-8, "99.0 ns")],
)
def test_durations_have_three_digits(report: ModuleType, seconds: float, said: str) -> None:
    assert report.duration(seconds) == said


def test_check_fails_only_where_a_claim_falls_short(
    report: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(report, BOTH, tmp_path)[0] == 0
    assert written(report, BOTH, tmp_path, "--check")[0] == 1
    assert "falls short: Reading, 1 MB: Part.read() is 44.4 times as fast as open + read" in capsys.readouterr().out
    fine = a_run(bench("17 KB", measured=50, at_least=45))
    assert written(report, fine, tmp_path, "--check")[0] == 0


def test_no_page_is_made_of_a_smoke_run(report: ModuleType, tmp_path: Path) -> None:
    status, page = written(report, a_run(bench("17 KB", measured=50, at_least=45, smoke=True)), tmp_path)
    assert status == 2
    assert not page.exists()


def test_without_matplotlib_the_page_is_written_and_charts_stay(
    report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "charts", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    chart = tmp_path / "docs" / "_static" / "benchmarks" / "part-read.svg"
    chart.parent.mkdir(parents=True)
    chart.write_text("as it was")
    status, page = written(report, BOTH, tmp_path)
    assert status == 0
    assert page.read_text(encoding="utf-8") == report.page(BOTH)
    assert chart.read_text() == "as it was"
    assert "the charts stay as they are" in capsys.readouterr().err


@pytest.fixture
def with_matplotlib() -> None:
    with warnings.catch_warnings():  # what it warns of at import is not ours
        warnings.simplefilter("ignore")
        pytest.importorskip("matplotlib", reason="matplotlib is missing: pip install '.[bench]'")


@pytest.mark.usefixtures("with_matplotlib")
def test_the_same_run_gives_the_same_bytes(report: ModuleType, tmp_path: Path) -> None:
    made = []
    for folder in (tmp_path / "once", tmp_path / "again"):
        folder.mkdir()
        written(report, BOTH, folder)
        made.append({path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()})
    assert made[0] == made[1]
    assert Path("docs/_static/benchmarks/part-read.svg") in made[0]


@pytest.mark.usefixtures("with_matplotlib")
def test_a_chart_says_its_figures_as_text_and_has_no_date(report: ModuleType, tmp_path: Path) -> None:
    _, page = written(report, BOTH, tmp_path)
    (name,) = re.findall(r"!\[.*\]\((.*)\)", page.read_text(encoding="utf-8"))
    svg = (page.parent / name).read_text(encoding="utf-8")
    for text in ("Part.read()", "a peer", "184", "44.4", "17 KB", "1 MB"):
        assert f">{text}</text>" in svg
    assert "<dc:date>" not in svg
    assert not re.search(r"[ \t]$", svg, re.MULTILINE)


@pytest.mark.usefixtures("with_matplotlib")
def test_charts_of_what_is_measured_no_more_are_removed(report: ModuleType, tmp_path: Path) -> None:
    _, page = written(report, BOTH, tmp_path)
    old = page.parent / "_static" / "benchmarks" / "old.svg"
    old.write_text("")
    written(report, BOTH, tmp_path)
    assert not old.exists()


def test_the_stored_run_is_what_the_page_shows(report: ModuleType) -> None:
    run = json.loads(report.STORED.read_text(encoding="utf-8"))
    assert report.PAGE.read_text(encoding="utf-8") == report.page(run)
