"""The drawings of the HTML report: bars, before and after, and sizes over time. Each says in words what it shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from perfkit.demo.html_elements import Markup, element
from perfkit.demo.report import human_bytes, human_ratio, human_seconds

if TYPE_CHECKING:
    from perfkit.demo.results import Comparison, Latency, Series

__all__ = ["bars", "figure", "lines", "verdict"]

_LEAST = 0.6  # percent: a bar that can still be seen
_COLUMNS = 300  # points of a line at most
_STEPS = (1, 2, 2.5, 5, 10)


def figure(value: float, text: str) -> Markup:
    """Return a figure as people read it, with its exact value for machines."""
    return element("data", text, value=value)


def verdict(ratio: float) -> Markup:
    """Return a speed-up, marked as good or bad."""
    return element("b", figure(ratio, human_ratio(ratio)), class_="good" if ratio >= 1 else "slow")


# -- before and after


def bars(comparisons: Sequence[Comparison]) -> Markup:
    """Return a pair of bars for each piece of work, each pair with a scale of its own."""
    caption = "The time that half of the turns were done in: shorter is better. Each pair has a scale of its own."
    pairs = (element("li", *_pair(each)) for each in comparisons)
    keys = element("ul", _key("before"), _key("after"), class_="keys")
    return element("figure", element("figcaption", caption), keys, element("ul", *pairs, class_="pairs"))


def _pair(comparison: Comparison) -> Iterator[Markup]:
    longest = max(latency.p50 for latency in (comparison.before, *comparison.after))
    yield element("div", comparison.what)
    yield _bar("before", comparison.before, longest, "")
    for after in comparison.after:
        yield _bar("after", after, longest, verdict(comparison.speedup(after)))


def _bar(way: str, latency: Latency, longest: float, ratio: str) -> Markup:
    width = max(_LEAST, 100 * latency.p50 / longest)
    drawn = element("rect", class_=way, width=f"{width:.2f}", height="1")
    said = f"{way}, {latency.how}: {human_seconds(latency.p50)}"
    svg = element("svg", drawn, viewBox="0 0 100 1", preserveAspectRatio="none", role="img", aria_label=said)
    return element("div", svg, figure(latency.p50, human_seconds(latency.p50)), ratio, class_="bar")


def _key(way: str) -> Markup:
    drawn = element("rect", class_=way, width="100", height="1")
    svg = element("svg", drawn, viewBox="0 0 100 1", preserveAspectRatio="none", aria_hidden="true")
    return element("li", svg, {"before": "before: the ordinary way", "after": "after: with perfkit"}[way], class_="key")


# -- over time


def lines(series: Series) -> Markup:
    """Return both ways' sizes over time, and the limit."""
    span = max([1e-9, *(at for at, _ in (*series.before, *series.after))])
    ticks = _ticks(max([series.limit, *(size for _, size in (*series.before, *series.after))]))
    top = ticks[-1]
    grid = [element("line", class_="grid", x1="0", x2="100", y1=_y(at, top), y2=_y(at, top)) for at in ticks]
    limit = element("line", class_="limit", x1="0", x2="100", y1=_y(series.limit, top), y2=_y(series.limit, top))
    drawn = [
        element("path", class_=f"line {way}-line", d=_path(points, span, top))
        for way, points in (("before", series.before), ("after", series.after))
    ]
    said = _said(series)
    svg = element(
        "svg", *grid, limit, *drawn, viewBox="0 0 100 100", preserveAspectRatio="none", role="img", aria_label=said
    )
    scale = element("div", *(_tick(at, top) for at in ticks), class_="scale", aria_hidden="true")
    times = element("div", element("span", "0 s"), element("span", human_seconds(span)), class_="times")
    keys = element("ul", *_keys(series), class_="keys")
    plot = element("div", scale, svg, times, class_="plot")
    return element("figure", element("figcaption", said), keys, plot)


def _said(series: Series) -> str:
    """Return in words what the lines show."""
    before, after = (max((size for _, size in points), default=0) for points in (series.before, series.after))
    return (
        f"{series.what} over time: {human_bytes(before)} at most before, {human_bytes(after)} after; "
        f"the limit is {human_bytes(series.limit)}."
    )


def _keys(series: Series) -> Iterator[Markup]:
    for style, text in (
        ("line before-line", "before: the ordinary way"),
        ("line after-line", "after: with perfkit"),
        ("limit", f"soft limit, {human_bytes(series.limit)}"),
    ):
        drawn = element("path", class_=style, d="M0 50 H100")
        svg = element("svg", drawn, viewBox="0 0 100 100", preserveAspectRatio="none", aria_hidden="true")
        yield element("li", svg, text, class_="key")


def _ticks(most: float) -> list[float]:
    """Return the marks of a scale from 0 to what is above the most: three to six of them, round numbers."""
    rough = most / 5
    power = 10.0 ** (len(str(int(rough))) - 1)
    step = next(step * power for step in _STEPS if step * power >= rough)
    return [step * number for number in range(int(-(-most // step)) + 1)]


def _tick(at: float, top: float) -> Markup:
    number, unit = human_bytes(int(at)).split(" ")
    return element("span", f"{float(number):g} {unit}" if at else "0", style=f"bottom:{100 * at / top:.2f}%")


def _y(size: float, top: float) -> str:
    return f"{100 - 100 * size / top:.2f}"


def _path(points: Sequence[tuple[float, int]], span: float, top: float) -> str:
    """Return a line through the highest point of each stretch of time."""
    highest: dict[int, tuple[float, int]] = {}
    for at, size in points:
        column = int(at / span * _COLUMNS)
        highest[column] = max(highest.get(column, (at, 0)), (at, size), key=lambda point: point[1])
    steps = " L".join(f"{100 * at / span:.2f} {_y(size, top)}" for at, size in highest.values())
    return f"M{steps}" if steps else ""
