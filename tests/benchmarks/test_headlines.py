"""The tables of figures on pages: what the stored run measured, and nothing else."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"perfkit_benchmarks_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made  # dataclasses look there
    spec.loader.exec_module(made)
    return made


headlines, report = module("headlines"), module("report")
STORED = [bench["extra_info"] for bench in json.loads(report.STORED.read_text("utf-8"))["benchmarks"]]


@pytest.mark.parametrize("page", headlines.PAGES, ids=lambda page: page.name)
def test_a_page_has_the_figures_of_the_stored_run(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "<!-- figures: " in text
    assert headlines.filled(text, STORED, report.figures, report.duration) == text


def test_a_figure_that_is_changed_is_seen() -> None:
    text = headlines.PAGES[0].read_text("utf-8")
    head, tail = text.split("<!-- figures: readme -->")
    changed = f"{head}<!-- figures: readme -->{tail.replace('ms |', 'µs |', 1)}"
    assert changed != text
    assert headlines.filled(changed, STORED, report.figures, report.duration) == text


def test_what_a_run_does_not_have_is_named() -> None:
    with pytest.raises(KeyError, match="statefile-read-unchanged, 200 KB: measure all"):
        headlines.filled(headlines.PAGES[0].read_text("utf-8"), [], report.figures, report.duration)
