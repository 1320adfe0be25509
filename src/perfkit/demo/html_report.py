"""The demo's results as one HTML page that needs nothing else: no network, no other file, no script.

The page has every figure of the JSON report, in tables and exactly, in the ``value`` of ``<data>``; the drawings beside
them have their words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from perfkit.demo.html_chart import bars, figure, lines, verdict
from perfkit.demo.html_elements import Markup, element
from perfkit.demo.html_style import STYLE
from perfkit.demo.report import human_bytes, human_seconds

if TYPE_CHECKING:
    from perfkit.demo.results import Check, Comparison, Count, Latency, PartResult, Section, Size

__all__ = ["page"]

_HEAD = Markup(
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
)
_LEGEND = (
    "Each piece of work is done the ordinary way (before) and with perfkit (after). Every figure was measured in this "
    "run, on this machine. The speed-up is the ratio of what half of the turns were done in; below 1 perfkit is slower."
)


def page(results: Sequence[PartResult], machine: dict[str, Any], *, quick: bool) -> str:
    """Return the page; ``machine`` is that of `perfkit.demo.runner.machine`."""
    head = element("head", _HEAD, element("title", "perfkit demo"), element("style", Markup(STYLE)))
    parts = element("main", *map(_part, results))
    body = element("body", *_heading(results, machine, quick), parts)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _heading(results: Sequence[PartResult], machine: dict[str, Any], quick: bool) -> Iterator[Markup]:
    checks = [check for result in results for check in result.checks]
    failed = sum(not check.passed for check in checks)
    told = f"Checks passed: {len(checks) - failed} of {len(checks)}"
    yield element(
        "header",
        element("h1", "perfkit demo"),
        element("p", told, class_="bad" if failed else "good"),
        element("p", _facts(machine), class_="faint"),
        element("p", "A quick run: fewer rounds, rougher figures.", class_="faint") if quick else Markup(),
        element("p", _LEGEND),
    )
    if len(results) > 1:
        parts = (element("li", _link(result), " ", _passed(not result.failed)) for result in results)
        yield element("nav", element("ul", *parts), aria_label="Parts")


def _facts(machine: dict[str, Any]) -> str:
    python, computer = machine["python"], machine["machine"]
    return " · ".join(
        (
            f"perfkit {machine['perfkit']}",
            f"{python['implementation']} {python['version']}",
            f"{computer['system']} {computer['release']} {computer['architecture']}",
            f"{computer['cores']} cores",
        )
    )


def _link(result: PartResult) -> Markup:
    return element("a", result.title, href=f"#{result.name}")


def _passed(passed: bool) -> Markup:
    return element("span", "ok" if passed else "FAILED", class_="good" if passed else "bad")


def _part(result: PartResult) -> Markup:
    size = element(
        "p", "Worked on: ", figure(result.document_bytes, human_bytes(result.document_bytes)), class_="faint"
    )
    return element("article", element("h2", result.title), size, *map(_section, result.sections), id=result.name)


def _section(section: Section) -> Markup:
    return element("section", element("h3", section.title), *_content(section))


def _content(section: Section) -> Iterator[Markup]:
    if section.note:
        yield element("p", section.note, class_="faint")
    if section.comparisons:
        yield bars(section.comparisons)
    if section.series:
        yield lines(section.series)
    elif section.chart:
        drawn = element("pre", "\n".join(section.chart), role="img", aria_label="A drawing of what is told above")
        yield element("figure", drawn)
    if section.comparisons:
        yield _table(
            "How long it took", ("", "half in", "95 % in", "99 % in", "speed-up"), *map(_times, section.comparisons)
        )
    if section.sizes:
        yield _table(
            "How large it was", ("", "before", "after", "times smaller"), element("tbody", *map(_size, section.sizes))
        )
    checks = element("tbody", *map(_check, section.checks), class_="checks")
    yield _table("What must not happen", ("", "before", "after", "verdict"), checks)


def _table(caption: str, columns: Sequence[str], *bodies: Markup) -> Markup:
    heads = (element("th", column, scope="col") if column else element("td") for column in columns)
    head = element("thead", element("tr", *heads))
    table = element("table", element("caption", caption), head, *bodies)
    return element("div", table, class_="table", role="region", aria_label=caption, tabindex="0")


def _times(comparison: Comparison) -> Markup:
    what = element("th", comparison.what, scope="rowgroup", colspan="5", class_="work")
    before = _row("before", comparison.before, element("td"))
    after = (_row("after", each, element("td", verdict(comparison.speedup(each)))) for each in comparison.after)
    return element("tbody", element("tr", what), before, *after)


def _row(way: str, latency: Latency, ratio: Markup) -> Markup:
    often = figure(latency.count, f"{latency.count:,}")
    label = element("th", f"{way}: {latency.how}, n = ", often, scope="row", class_="way")
    figures = (element("td", figure(each, human_seconds(each))) for each in (latency.p50, latency.p95, latency.p99))
    return element("tr", label, *figures, ratio)


def _size(size: Size) -> Markup:
    sizes = (element("td", figure(each, human_bytes(each))) for each in (size.before, size.after))
    ratio = element("td", verdict(size.ratio))
    return element("tr", element("th", size.what, scope="row"), *sizes, ratio)


def _check(check: Check) -> Markup:
    what = element("th", check.what, scope="row")
    return element("tr", what, _count(check.before), _count(check.after), element("td", _passed(check.passed)))


def _count(count: Count) -> Markup:
    return element("td", figure(count.bad, f"{count.bad:,}"), " of ", figure(count.of, f"{count.of:,}"))
