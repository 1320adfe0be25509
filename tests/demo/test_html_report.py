"""The HTML report: whole, escaped, with every figure and nothing from elsewhere; what is drawn is said, too."""

import re

import pytest

from perfkit.demo import html_chart, runner
from perfkit.demo.html_elements import Markup, element
from perfkit.demo.html_report import page
from perfkit.demo.results import Check, Comparison, Count, Latency, Options, PartResult, Section, Series, Size

NASTY = "</style><script>alert(1)</script><!-- & \"q\" 'a' \N{SNOWMAN} <b"


@pytest.fixture(scope="module")
def report(whole_app, parsed):
    return parsed(page([whole_app], runner.machine(), quick=True))


def test_it_has_every_figure_of_the_json_report(report, whole_app, figures):
    wanted = figures(runner.machine_report([whole_app], Options(quick=True)))
    assert len(wanted) > 50
    assert wanted <= report.figures


def test_it_says_what_ran_on_what(report):
    machine = runner.machine()
    for fact in (machine["perfkit"], machine["python"]["version"], machine["machine"]["release"], "A quick run"):
        assert fact in report.text


def test_it_needs_nothing_from_elsewhere(report):
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use"} & set(report.tags)
    assert not {"src", "srcset", "xlink:href", "data", "action"} & {name for _, name, _ in report.attributes}
    assert [name for _, name, _ in report.attributes if name.startswith("on")] == []
    assert not re.search(r"url\(|@import|https?:", report.style + " ".join(report.values("style")))
    assert all(value.startswith("#") for value in report.values("href"))


def test_what_is_drawn_is_said_and_stands_in_a_table(report, whole_app):
    drawings = report.tags.count("svg")
    said, hidden = report.values("aria-label"), report.values("aria-hidden")
    assert drawings <= report.values("role").count("img") + hidden.count("true")
    assert any("at most before" in each and "the limit is" in each for each in said)
    for comparison in whole_app.sections[0].comparisons:
        assert any(comparison.before.how in each for each in said)
        assert comparison.before.how in report.text
        assert report.text.count(comparison.what) == 2  # beside its bars, and in the table


def nasty_result(name="part"):
    latency = Latency(NASTY, 3, 0.1, 0.2, 0.3)
    section = Section(
        NASTY,
        (Comparison(NASTY, latency, (latency, latency)),),
        (Check(NASTY, Count(1, 2), Count(0, 2)),),
        NASTY,
        (NASTY,),
        (Size(NASTY, 2, 1),),
    )
    return PartResult(name, NASTY, 1, (section,))


def test_nothing_gets_out_of_its_place(parsed):
    machine = runner.machine() | {"perfkit": NASTY}
    report = parsed(page([nasty_result("one"), nasty_result("two")], machine, quick=False))
    assert "script" not in report.tags
    assert report.text.count(NASTY) > 10
    assert sum(NASTY in value for value in report.values("aria-label")) == 2 * 3  # the bars
    assert report.values("id") == ["one", "two"]
    assert report.values("href") == ["#one", "#two"]


def test_an_attribute_is_escaped():
    assert element("p", "<", Markup("<i></i>"), title='"<') == '<p title="&quot;&lt;">&lt;<i></i></p>'


def test_a_failed_check_stands_out(parsed):
    lost = PartResult("part", "A part", 1, (Section("One", (), (Check("lost", Count(0, 9), Count(2, 9)),)),))
    report = parsed(page([lost], runner.machine(), quick=False))
    assert "Checks passed: 0 of 1" in report.text
    assert "FAILED" in report.text
    assert "quick" not in report.text


def test_a_slower_way_has_the_longer_bar(parsed):
    slow, quick = Latency("a", 1, 2.0, 2.0, 2.0), Latency("b", 1, 0.5, 0.5, 0.5)
    report = parsed(html_chart.bars([Comparison("x", quick, (slow,))]))
    widths = [value for tag, name, value in report.attributes if (tag, name) == ("rect", "width")]
    assert widths[-2:] == ["25.00", "100.00"]


@pytest.mark.parametrize("most", [0, 1, 999, 1_500, 7_600_000, 120_000_000, 286_000_000, 3_000_000_000])
def test_the_scale_of_a_line_has_round_marks_and_room(most, parsed):
    series = Series("Memory", 1, [(0.0, 0), (1.0, most)], [(0.5, most // 2)])
    report = parsed(html_chart.lines(series))
    heights = [float(value) for tag, name, value in report.attributes if (tag, name) == ("line", "y1")]
    assert 3 <= len(heights) <= 8
    assert min(heights) == 0
    assert max(heights) <= 100
    for path in report.values("d"):
        assert all(0 <= float(number) <= 100 for number in re.findall(r"[\d.]+", path))


def test_a_long_line_is_thinned_and_keeps_its_peaks(parsed):
    points = [(n / 1000, 10) for n in range(100_000)]
    points[54_321] = (54.321, 1000)
    report = parsed(html_chart.lines(Series("Memory", 1, points, [])))
    line, nothing = report.values("d")[-2:]
    assert len(line) < 6000
    assert line.startswith("M0.00 ")
    assert "L54.32 0.00" in line
    assert nothing == ""
