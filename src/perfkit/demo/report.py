"""The demo on a terminal: a table of 80 columns, and a line that says what is going on while it works.

Colour goes to a terminal only, and not where NO_COLOR is set (https://no-color.org) or TERM is ``dumb``. Nothing is
said by colour alone.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from perfkit.demo.results import Check, Comparison, Count, Latency, PartResult, Section, Size

__all__ = [
    "WIDTH",
    "ProgressLine",
    "heading",
    "human_bytes",
    "human_ratio",
    "human_seconds",
    "is_coloured",
    "render",
    "verdict",
    "write",
]

WIDTH = 80
_LABEL, _FIGURE, _LAST = 43, 9, 10  # a row: label, three figures, speed-up
_COUNT = (WIDTH - _LABEL - _LAST) // 2  # a check: label, two counts (wider ones take from the label), verdict
_CODES = {"title": "1;36", "strong": "1", "faint": "2", "good": "32", "bad": "1;31", "slow": "33"}
_TIMES = "\N{MULTIPLICATION SIGN}"
_LEGEND = """\
Each piece of work is done the ordinary way (before) and with perfkit (after).
"95 % in" is the time that 95 of 100 turns were done in. The speed-up compares
"half in"; below 1 perfkit is slower. "Must not happen" counts what went wrong.
"""
_PLAINER = str.maketrans({"µ": "u", _TIMES: "x", "·": "-", "…": "~"})

Paint = Callable[[str, str], str]


def human_seconds(seconds: float) -> str:
    """Write a duration with three significant digits and the unit that suits it: ``1.92 µs``, ``2.50 s``."""
    rounded = float(f"{seconds:.3g}")
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if rounded >= scale:
            return f"{_three_digits(rounded / scale)} {unit}"
    return f"{_three_digits(rounded / 1e-9)} ns"


def human_ratio(ratio: float) -> str:
    """Write a speed-up, with two digits where it is small: 1,234, 59, 3.8 or 0.72, and a multiplication sign."""
    rounded = float(f"{ratio:.2g}")
    if rounded < 10:
        return f"{ratio:.{1 if rounded >= 1 else 2}f}{_TIMES}"
    return f"{ratio:{',.0f' if ratio < 999_999.5 else '.0e'}}{_TIMES}"


def human_bytes(size: int) -> str:
    """Write a size in decimal units, as perfkit reads them: ``17.2 kB``."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{_three_digits(float(f'{size / scale:.3g}'))} {unit}"
    return f"{size} bytes"


def is_coloured(stream: TextIO) -> bool:
    """Tell whether colour may go to ``stream``."""
    return _is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def heading(machine: dict[str, Any]) -> str:
    """Say what was measured with and on, from `perfkit.demo.runner.machine`, and how the tables are to be read."""
    python, computer = machine["python"], machine["machine"]
    facts = (
        f"perfkit {machine['perfkit']}",
        f"{python['implementation']} {python['version']}",
        f"{computer['system']} {computer['architecture']}",
        f"{computer['cores']} cores",
    )
    return f"{_shortened(' · '.join(facts), WIDTH)}\n\n{_LEGEND}"


def render(result: PartResult, *, colour: bool = False) -> str:
    """Lay out one part: its latencies before and after with the speed-up of the median, and what went wrong.

    Returns lines of at most 80 columns, with a line break at the end.
    """
    paint = _painted if colour else _unpainted
    lines = ["", paint(_shortened(f"{result.title}, working on {human_bytes(result.document_bytes)}", WIDTH), "title")]
    for section in result.sections:
        lines += ["", *_section(section, paint)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def verdict(results: Sequence[PartResult]) -> str:
    """Say in a line how many checks of all parts passed."""
    count, failed = sum(len(each.checks) for each in results), sum(len(each.failed) for each in results)
    return f"\n{failed} of {count} checks failed\n" if failed else f"\nall {count} checks passed\n"


def write(stream: TextIO, text: str) -> None:
    """Write ``text``, with plainer signs where the stream's encoding lacks ours, and flush."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAINER).encode(encoding, "replace").decode(encoding)
    stream.write(text)
    stream.flush()


class ProgressLine:
    """One line on a terminal, written over as the work goes on; silent where ``stream`` is not a terminal.

    Call it with what is being done, such as ``"copying: 3 of 40"``, as often as you like. `clear` removes it.
    """

    def __init__(self, stream: TextIO | None, timer: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if stream is not None and _is_terminal(stream) else None
        self._timer = timer
        self._next_at = float("-inf")
        self._topic = ""  # of what is shown; empty if nothing is

    def __call__(self, doing: str) -> None:
        """Show ``doing`` in place of what is shown, at most each 0.1 s while only the part after the colon changes."""
        topic = doing.partition(":")[0]
        if self._stream is None or (topic == self._topic and self._timer() < self._next_at):
            return
        self._topic, self._next_at = topic, self._timer() + 0.1
        write(self._stream, f"\r{_shortened(doing, WIDTH - 1).ljust(WIDTH - 1)}")

    def clear(self) -> None:
        """Leave the line empty and the cursor at its start."""
        if self._stream is not None and self._topic:
            write(self._stream, f"\r{' ' * (WIDTH - 1)}\r")
            self._topic = ""


def _section(section: Section, paint: Paint) -> Iterator[str]:
    yield from _wrapped(section.title, paint, "strong")
    yield from _wrapped(section.note, paint, "faint")
    yield from section.chart
    if section.comparisons:
        yield paint(_row("", ("half in", "95 % in", "99 % in"), "speed-up"), "faint")
    for comparison in section.comparisons:
        yield from _comparison(comparison, paint)
    if section.sizes:
        yield paint(_verified("  size", "before", "after", "smaller"), "faint")
    for size in section.sizes:
        yield _size(size, paint)
    yield paint(_verified("  must not happen", "before", "after", ""), "faint")
    for check in section.checks:
        yield _check(check, paint)


def _comparison(comparison: Comparison, paint: Paint) -> Iterator[str]:
    counts = [each.count for each in (comparison.before, *comparison.after)]
    often = f" (n = {' and '.join(map(str, counts))})" if len(set(counts)) > 1 else ""
    yield "  " + _shortened(comparison.what, WIDTH - 2 - len(often)) + often
    yield _row(f"    before  {comparison.before.how}", _figures(comparison.before), "")
    for after in comparison.after:
        ratio = comparison.speedup(after)
        row = _row(f"    after   {after.how}", _figures(after), human_ratio(ratio))
        yield row[:-_LAST] + paint(row[-_LAST:], "good" if ratio >= 1 else "slow")


def _size(size: Size, paint: Paint) -> str:
    row = _verified(f"    {size.what}", human_bytes(size.before), human_bytes(size.after), human_ratio(size.ratio))
    return row[:-_LAST] + paint(row[-_LAST:], "good" if size.ratio >= 1 else "slow")


def _check(check: Check, paint: Paint) -> str:
    row = _verified(f"    {check.what}", _of(check.before), _of(check.after), "ok" if check.passed else "FAILED")
    return row[:-_LAST] + paint(row[-_LAST:], "good" if check.passed else "bad")


def _figures(latency: Latency) -> tuple[str, str, str]:
    return human_seconds(latency.p50), human_seconds(latency.p95), human_seconds(latency.p99)


def _row(label: str, figures: tuple[str, str, str], ratio: str) -> str:
    return _fit(label, _LABEL) + "".join(figure.rjust(_FIGURE) for figure in figures) + ratio.rjust(_LAST)


def _verified(label: str, before: str, after: str, verdict: str) -> str:
    counts = f"{before:>{_COUNT}} {after:>{_COUNT - 1}}{verdict:>{_LAST}}"
    return _fit(label, WIDTH - len(counts)) + counts


def _of(count: Count) -> str:
    return f"{count.bad} of {count.of}"


def _wrapped(text: str, paint: Paint, style: str) -> list[str]:
    return [paint(line, style) for line in textwrap.wrap(text, WIDTH)]


def _fit(text: str, width: int) -> str:
    return _shortened(text, width).ljust(width)


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _painted(text: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style in _CODES and text.strip() else text


def _unpainted(text: str, _style: str) -> str:
    return text


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
