"""The app demo: both ways come to the same, and whoever loses, doubles, forgets or grows doesn't pass."""

import ast
import copy
from collections import Counter
from pathlib import Path

import pytest

from perfkit.demo import app, app_chart, app_program, app_work
from perfkit.demo.app_life import MEMORY, Expected, Life, Site
from perfkit.demo.report import render
from perfkit.demo.results import DemoError, Series

TURNS = 2


def test_a_real_run_passes(whole_app):
    assert whole_app.failed == ()
    (section,) = whole_app.sections
    assert [comparison.what for comparison in section.comparisons] == list(app.HOW)
    in_vain = next(check for check in section.checks if "in vain" in check.what)
    assert in_vain.before.bad == in_vain.before.of > 0  # or the packages would be no load
    assert section.sizes[0].before == max(used for _, used in section.series.before)
    assert section.sizes[0].after == max(used for _, used in section.series.after)


def test_both_ways_do_the_same(whole_app):
    (section,) = whole_app.sections
    for comparison in section.comparisons:
        assert [after.count for after in comparison.after] == [comparison.before.count]


def test_it_fits_80_columns(whole_app):
    text = render(whole_app)
    assert max(map(len, text.splitlines())) <= 80
    assert "Memory in use at most" in text
    assert "x before" in text


def functions(way):
    """Return the names of a mission control's functions and their arguments, without importing it."""
    tree = ast.parse(Path(app.__file__).with_name(f"app_{way}.py").read_text("utf-8"))
    (control,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.unparse(node.args) for node in control.body if isinstance(node, ast.FunctionDef)}


def test_the_two_applications_have_the_same_functions():
    assert functions("before") == functions("after")


@pytest.fixture(scope="module")
def expected():
    return Expected.of(TURNS)


def perfect(expected):
    """Return a life that did everything as it should."""
    took = {what: [0.1] for what in app.HOW} | {app_program.REPORTED: [0.1]}
    said = {"took": took, "answers": copy.deepcopy(expected.answers), "stale": 0, "loaded": ["tables"]}
    rows = [(agent, app_work.memory(agent, turn)) for agent in app_work.AGENTS for turn in range(TURNS)]
    mails = Counter(app_work.mail_ids("m", TURNS))
    return Life("m", 0.0, 1.0, 2.0, [(0.5, 50_000_000)], said, copy.deepcopy(expected.state), rows, mails)


def one_update_less(life):
    next(iter(life.state["board"].values()))["updates"] -= 1


def another_state(life):
    life.state["mission"]["phase"] = "lost"


FAULTS = {
    "Updates lost": [one_update_less, another_state],
    "Own update missing from the next read": [lambda life: life.said.update(stale=1)],
    "Memories missing, or not as written": [
        lambda life: life.rows.pop(),
        lambda life: life.rows.append(life.rows[0]),
        lambda life: life.rows.__setitem__(0, ("nobody", life.rows[0][1])),
    ],
    "Mails that did not arrive once": [
        lambda life: life.mails.popitem(),
        lambda life: life.mails.update(list(life.mails)[:1]),
    ],
    "Wrong answers": [
        lambda life: life.said["answers"]["scout 1"].__setitem__(0, 0),
        lambda life: life.said["answers"]["scout 1"].pop(),
        lambda life: life.said["answers"].update(report=[0]),
    ],
    "Heavy packages loaded in vain": [lambda life: life.said["loaded"].append("models")],
    "Moments above the soft limit": [lambda life: life.usage.append((0.6, MEMORY + 1))],
}


def failed(before, after, expected):
    section = app.section({"before": [before], "after": [after]}, expected)
    assert [check.what for check in section.checks] == list(FAULTS)
    return [check.what for check in section.checks if not check.passed]


def test_what_is_perfect_passes(expected):
    assert failed(perfect(expected), perfect(expected), expected) == []


@pytest.mark.parametrize(("what", "fault"), [(what, fault) for what, faults in FAULTS.items() for fault in faults])
def test_a_fault_with_perfkit_fails(what, fault, expected):
    after = perfect(expected)
    fault(after)
    assert failed(perfect(expected), after, expected) == [what]


@pytest.mark.parametrize("what", list(FAULTS))
def test_what_the_ordinary_way_may_do_is_its_memory_alone(what, expected):
    before = perfect(expected)
    FAULTS[what][0](before)
    its_own = {"Heavy packages loaded in vain", "Moments above the soft limit"}
    assert failed(before, perfect(expected), expected) == ([] if what in its_own else [what])


def test_a_program_that_fails_is_no_result():
    with Site.opened() as site, pytest.raises(DemoError, match="status"):
        site.live("sideways", "m", 1)


def test_a_program_ends_with_whoever_started_it():
    with Site.opened() as site, site.started("before", "orphan", 1000) as program:
        assert program.stdout.readline().strip() == app_program.READY
        program.stdin.close()
        assert program.stdout.read() == ""
        assert program.wait(60) == 1


def test_the_chart_shows_both_and_the_limit():
    points = [(n / 10, n * 20_000_000) for n in range(11)]
    lines = app_chart.drawn(Series("Memory", 100_000_000, points, [(at, used // 4) for at, used in points]))
    assert max(map(len, lines)) <= 80
    assert "x" in lines[0]
    assert "#" not in lines[0]
    assert "#" in lines[-2]
    assert [line for line in lines if line.endswith("limit")] == [lines[app_chart.ROWS // 2]]
