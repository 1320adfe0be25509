"""The table and the progress line: 80 columns, honest figures, colour where it belongs."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.demo import report
from perfkit.demo.results import Check, Comparison, Count, DemoError, Latency, PartResult, Section, Size

TIMES = "\N{MULTIPLICATION SIGN}"
CODES = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120)
durations = st.floats(1e-9, 1e5)
latencies = st.builds(Latency, words, st.integers(1, 10**6), durations, durations, durations)
counts = st.builds(Count, st.integers(0, 10**6), st.integers(0, 10**6))
checks = st.builds(Check, words, counts, counts, st.booleans())
comparisons = st.builds(Comparison, words, latencies, st.lists(latencies, max_size=3).map(tuple))
sizes = st.builds(Size, words, st.integers(1, 10**15), st.integers(1, 10**15))
sections = st.builds(
    Section,
    words,
    st.lists(comparisons, max_size=3).map(tuple),
    st.lists(checks, max_size=3).map(tuple),
    words,
    sizes=st.lists(sizes, max_size=2).map(tuple),
)
results = st.builds(PartResult, words, words, st.integers(0, 10**13), st.lists(sections, max_size=2).map(tuple))


@given(results)
def test_every_line_fits_80_columns(result):
    assert max(map(len, report.render(result).split("\n"))) <= 80


@given(results)
def test_colour_changes_nothing_but_colour(result):
    plain = report.render(result)
    assert "\x1b" not in plain
    coloured = CODES.sub("", report.render(result, colour=True))
    assert [line.rstrip() for line in coloured.split("\n")] == plain.split("\n")


def example(check):
    before = Latency("open, json.load", 10, 1e-4, 2e-4, 3e-4)
    after = (Latency("view()", 10, 2e-6, 3e-6, 4e-6), Latency("slowly()", 10, 2e-4, 3e-4, 4e-4))
    section = Section("One process", (Comparison("poll", before, after),), (check,), "A note.")
    return PartResult("part", "A part", 17_200, (section,))


def test_the_table_says_what_was_measured_and_verified():
    lost = Check("updates lost", Count(212, 500), Count(0, 500))
    assert report.render(example(lost)).replace(TIMES, "x").splitlines() == [
        "",
        "A part, working on 17.2 kB",
        "",
        "One process",
        "A note.",
        "                                             half in  95 % in  99 % in  speed-up",
        "  poll",
        "    before  open, json.load                   100 µs   200 µs   300 µs",
        "    after   view()                           2.00 µs  3.00 µs  4.00 µs       50x",
        "    after   slowly()                          200 µs   300 µs   400 µs     0.50x",
        "  must not happen                                  before        after",
        "    updates lost                               212 of 500     0 of 500        ok",
    ]


def test_sizes_are_shown_with_their_ratio():
    section = Section("One", (), (), sizes=(Size("memory at most", 286_000_000, 98_000_000), Size("a file", 1, 4)))
    lines = report.render(PartResult("part", "A part", 1, (section,))).replace(TIMES, "x").splitlines()
    assert lines[4:7] == [
        "  size                                             before        after   smaller",
        "    memory at most                                 286 MB      98.0 MB      2.9x",
        "    a file                                        1 bytes      4 bytes     0.25x",
    ]


def test_how_often_is_shown_where_it_differs():
    before, after = Latency("a", 10, 1.0, 1.0, 1.0), Latency("b", 750, 1.0, 1.0, 1.0)
    section = Section("One", (Comparison("poll", before, (after,)), Comparison("save", before, (before,))), ())
    lines = report.render(PartResult("part", "A part", 1, (section,))).splitlines()
    assert "  poll (n = 10 and 750)" in lines
    assert "  save" in lines


def test_a_failed_check_and_a_slow_down_stand_out():
    text = report.render(example(Check("updates lost", Count(0, 5), Count(1, 5))), colour=True)
    assert "\x1b[1;31m    FAILED\x1b[0m" in text
    assert f"\x1b[33m     0.50{TIMES}\x1b[0m" in text
    assert f"\x1b[32m       50{TIMES}\x1b[0m" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (9.4e-8, "94.0 ns"),
        (1.916e-6, "1.92 µs"),
        (1.13e-4, "113 µs"),
        (9.996e-4, "1.00 ms"),
        (9.994e-4, "999 µs"),
        (0.0123, "12.3 ms"),
        (2.5, "2.50 s"),
        (123.4, "123 s"),
    ],
)
def test_human_seconds(seconds, text):
    assert report.human_seconds(seconds) == text


@given(durations)
def test_human_seconds_are_within_half_a_percent(seconds):
    number, unit = report.human_seconds(seconds).split()
    scale = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1}[unit]
    assert float(number) * scale == pytest.approx(seconds, rel=0.0051)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (2.4e9, "2e+09"),
        (1234.4, "1,234"),
        (58.6, "59"),
        (9.96, "10"),
        (9.94, "9.9"),
        (3.84, "3.8"),
        (1.0, "1.0"),
        (0.716, "0.72"),
    ],
)
def test_human_ratio(ratio, text):
    assert report.human_ratio(ratio) == text + TIMES


@given(st.floats(0.01, 0.994))
def test_a_slow_down_never_reads_as_even(ratio):
    assert float(report.human_ratio(ratio)[:-1]) < 1


@pytest.mark.parametrize(
    ("size", "text"), [(42, "42 bytes"), (17_234, "17.2 kB"), (1_000_000, "1.00 MB"), (2_500_000_000, "2.50 GB")]
)
def test_human_bytes(size, text):
    assert report.human_bytes(size) == text


def test_the_heading_fits_80_columns():
    machine = {
        "perfkit": "1.2.3",
        "python": {"implementation": "CPython", "version": "3.11.9"},
        "machine": {"system": "Linux", "architecture": "x86_64", "cores": 2},
    }
    first, *legend = report.heading(machine).splitlines()
    assert first == "perfkit 1.2.3 · CPython 3.11.9 · Linux x86_64 · 2 cores"
    assert max(map(len, legend)) <= 80
    for word in ("before", "after", "95 % in", "half in", "speed-up", "must not happen"):
        assert word in "\n".join(legend).lower(), "what stands over a column is explained"
    machine["machine"]["system"] = "x" * 100
    assert len(report.heading(machine).splitlines()[0]) == 80


@pytest.mark.parametrize(
    ("stream", "environment", "coloured"),
    [
        (Terminal, {}, True),
        (Terminal, {"NO_COLOR": ""}, True),
        (Terminal, {"NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {}, False),
    ],
)
def test_colour_goes_to_a_willing_terminal_only(stream, environment, coloured, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert report.is_coloured(stream()) is coloured


def test_a_closed_stream_is_no_terminal():
    stream = io.StringIO()
    stream.close()
    assert report.is_coloured(stream) is False


def test_signs_that_the_stream_cannot_show_get_plainer():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    report.write(stream, f"1.92 µs · 59{TIMES} … Zoë\n")
    assert raw.getvalue() == b"1.92 us - 59x ~ Zo?\n"


def test_progress_is_written_over_and_cleared():
    now = [0.0]
    stream = Terminal()
    progress = report.ProgressLine(stream, timer=lambda: now[0])
    progress("copying: 1 of 3")
    progress("copying: 2 of 3")  # too soon
    now[0] = 0.2
    progress("copying: 3 of 3")
    progress("something else " * 40)  # soon, but about something else
    progress.clear()
    first, second, third, blank, end = stream.getvalue().split("\r")[1:]
    assert (first.rstrip(), second.rstrip()) == ("copying: 1 of 3", "copying: 3 of 3")
    assert third.startswith("something else something else")
    assert {len(first), len(second), len(third), len(blank)} == {79}
    assert (blank.strip(), end) == ("", "")


def test_clearing_twice_or_nothing_writes_nothing():
    stream = Terminal()
    progress = report.ProgressLine(stream, timer=lambda: 0.0)
    progress.clear()
    assert stream.getvalue() == ""
    progress("one")
    progress.clear()
    shown = stream.getvalue()
    progress.clear()
    assert stream.getvalue() == shown


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_progress_is_silent_off_a_terminal(stream):
    progress = report.ProgressLine(stream)
    progress("one")
    progress.clear()
    assert stream is None or stream.getvalue() == ""


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=300))
def test_percentiles_are_measured_durations_by_nearest_rank(seconds):
    latency = Latency.of("work", seconds)
    assert latency.count == len(seconds)
    for percent, value in ((50, latency.p50), (95, latency.p95), (99, latency.p99)):
        assert value in seconds
        assert sum(each <= value for each in seconds) * 100 >= percent * len(seconds)
        assert sum(each < value for each in seconds) * 100 < percent * len(seconds)


def test_nothing_measured_is_not_shown_as_something():
    with pytest.raises(DemoError, match="work: not one was measured"):
        Latency.of("work", [])


@pytest.mark.parametrize(
    ("before", "after", "both", "passed"),
    [
        (Count(3, 5), Count(0, 5), False, True),
        (Count(0, 5), Count(1, 5), False, False),
        (Count(3, 5), Count(0, 5), True, False),
        (Count(0, 5), Count(0, 5), True, True),
        (Count(0, 5), Count(0, 0), False, False),
        (Count(0, 0), Count(0, 5), True, False),
    ],
)
def test_a_check_passes_if_something_was_looked_at_and_nothing_was_bad(before, after, both, passed):
    assert Check("what", before, after, both).passed is passed
