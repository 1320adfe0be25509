"""How often caches have what is asked for: perfkit's and others', driven over the same traces at the same sizes.

``python benchmarks/hit_ratio.py`` uses traces it makes itself (Zipf's law, a scan among loops, a hot set that moves);
``--traces DIR`` those of a folder: files ``NAME.i32.xz`` of little-endian 32-bit keys. Writes a page with a table and a
chart (``--page``), and exits with 1 under ``--check`` if a claim falls short.
"""

from __future__ import annotations

import argparse
import lzma
import random
import sys
from array import array
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean
from typing import Any

import cachebox
import cachetools
import moka_py
import theine

import perfkit

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "hit-ratios.md"
CHART = "_static/hit-ratios.svg"

SHARES = (0.01, 0.05, 0.2)  # of the distinct keys
LEAST = 32
MOST_REQUESTS = 500_000

OURS, BASE = "perfkit FrequencyBoostLRU", "LRU (cachetools)"
TICKS = (-50, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20)
MEAN_CLAIMED, WORST_CLAIMED = 3.4, -1.6  # points above LRU, on the real traces

Row = dict[str, Any]
Run = Callable[[Sequence[int], int], int]


def by_mapping(make: Callable[[int], Any]) -> Run:
    """Drive a cache that has ``get`` and item assignment; return its hits."""

    def run(trace: Sequence[int], size: int) -> int:
        cache = make(size)
        get, hits = cache.get, 0
        for key in trace:
            if get(key) is None:
                cache[key] = True
            else:
                hits += 1
        return hits

    return run


def by_set(make: Callable[[int], Any], found: Callable[[Any], bool] = lambda answer: answer is not None) -> Run:
    """Drive a cache that has ``get`` and ``set``; ``found`` tells of an answer of ``get`` whether it is a hit."""

    def run(trace: Sequence[int], size: int) -> int:
        cache = make(size)
        get, put, hits = cache.get, cache.set, 0
        for key in trace:
            if found(get(key)):
                hits += 1
            else:
                put(key, True)
        return hits

    return run


CONTENDERS: dict[str, Run] = {
    BASE: by_mapping(cachetools.LRUCache),
    OURS: by_mapping(perfkit.FrequencyBoostLRU),
    "LFU (cachetools)": by_mapping(cachetools.LFUCache),
    "FIFO (cachebox TTLCache)": by_mapping(lambda size: cachebox.TTLCache(size, 10**6)),
    "cachebox LFU": by_mapping(cachebox.LFUCache),
    "moka-py": by_set(moka_py.Moka),
    "theine": by_set(theine.Cache, found=lambda answer: answer[1]),
}


def zipf(dice: random.Random, *, keys: int = 20_000, requests: int = 200_000) -> array[int]:
    """Return requests of which the n-th most wanted key gets 1/n."""
    weights = list(accumulate(1 / rank for rank in range(1, keys + 1)))
    return array("i", [bisect(weights, dice.random() * weights[-1]) for _ in range(requests)])


def scans_and_loops(dice: random.Random, *, requests: int = 200_000) -> array[int]:
    """Return favourites that are in use all the time, with loops and scans of new keys between them."""
    favourites, fresh, trace = 1000, 10_000, array("i")
    while len(trace) < requests:
        trace.extend(int(favourites * dice.random() ** 2) for _ in range(5000))
        loop = range(2000, 2000 + dice.randrange(500, 3000))
        for _ in range(3):
            trace.extend(loop)
        trace.extend(range(fresh, fresh + 3000))
        fresh += 3000
    return trace[:requests]


def moving_hot_set(dice: random.Random, *, requests: int = 200_000) -> array[int]:
    """Return requests for keys near a place that moves slowly on, with some from anywhere."""
    return array(
        "i",
        [
            dice.randrange(40_000) if dice.random() < 0.2 else number // 20 + int(800 * dice.random() ** 3)
            for number in range(requests)
        ],
    )


def weak_spots() -> Iterator[tuple[str, array[int], int]]:
    """Yield what the policy is weak at: a trace, and the size at which it shows."""
    there, keys = list(range(1000)), 1000
    yield "zigzag over all keys", array("i", (there + there[::-1]) * 50), keys * 7 // 10
    yield "loop slightly larger than the cache", array("i", there * 100), keys * 95 // 100
    yield "loop of twenty capacities", array("i", there * 100), keys // 20


def synthetic() -> Iterator[tuple[str, array[int]]]:
    """Yield the traces that are made here, the same each time."""
    for name, make in {"zipf": zipf, "scans and loops": scans_and_loops, "moving hot set": moving_hot_set}.items():
        yield name, make(random.Random(name))


def stored(folder: Path) -> Iterator[tuple[str, array[int]]]:
    """Yield the traces of a folder, each as far as its first 500,000 requests."""
    paths = sorted(folder.glob("*.i32.xz"))
    if not paths:
        raise SystemExit(f"{folder} has no trace: files NAME.i32.xz, of little-endian 32-bit keys, are what is read")
    for path in paths:
        trace = array("i")
        trace.frombytes(lzma.decompress(path.read_bytes()))
        if sys.byteorder == "big":
            trace.byteswap()
        yield path.name.removesuffix(".i32.xz"), trace[:MOST_REQUESTS]


def sized(traces: Iterator[tuple[str, array[int]]]) -> Iterator[tuple[str, array[int], int]]:
    """Yield each trace with each size to measure it at."""
    for name, trace in traces:
        distinct = len(set(trace))
        for size in sorted({max(LEAST, int(distinct * share)) for share in SHARES}):
            yield name, trace, size


def measure(traces: Iterator[tuple[str, array[int], int]]) -> list[Row]:
    """Return a row for each trace and size: hit ratios in per cent, by contender."""
    rows = []
    for name, trace, size in traces:
        ratios = {}
        for contender, run in CONTENDERS.items():
            _show(f"{name}, {size:,} entries: {contender}")
            ratios[contender] = 100 * run(trace, size) / len(trace)
        rows.append({"trace": name, "size": size, "ratios": ratios})
    _show("")
    return rows


def _show(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


def gains(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Return, by contender, mean and worst of its points above LRU."""
    above = {name: [row["ratios"][name] - row["ratios"][BASE] for row in rows] for name in CONTENDERS}
    return {name: (mean(points), min(points)) for name, points in above.items()}


def claims(rows: Sequence[Row], *, real: bool) -> Iterator[tuple[str, bool]]:
    """Yield what is claimed, and whether it holds."""
    summary = gains(rows)
    mean_gain, worst = summary[OURS]
    if real:
        yield f"on average at least {MEAN_CLAIMED:+} points above LRU: {mean_gain:+.2f}", mean_gain >= MEAN_CLAIMED
        yield f"at worst {WORST_CLAIMED:+} points: {worst:+.2f}", worst >= WORST_CLAIMED
    better = [name for name, (points, low) in summary.items() if points > mean_gain and low > worst]
    yield f"nobody is better both on average and at worst{': ' if better else ''}{', '.join(better)}", not better


def page(rows: Sequence[Row], weak: Sequence[Row], source: str, *, real: bool) -> str:
    """Return the page: the summary, the claims, the chart, and all hit ratios."""
    head = ["", "on average", "at worst"]
    summary = [[name, f"{points:+.2f}", f"{low:+.2f}"] for name, (points, low) in gains(rows).items() if name != BASE]
    said = "\n".join(f"- {text}: {'holds' if holds else '**falls short**'}" for text, holds in claims(rows, real=real))
    return f"""\
# Hit ratios

Written by `python benchmarks/hit_ratio.py`. {source} Each cache was asked for each key in turn, and given it when it
did not have it, at 1, 5 and 20 % of the distinct keys (at least {LEAST} entries). How the policy works is told in
[what is evicted, and why](explanation/what-is-evicted.md).

Percentage points above LRU, over {len(rows)} traces and sizes:

{_table(head, summary)}

{said}

![Points above LRU, by trace and size]({CHART})

Hits in 100 requests:

{_hits(rows)}

## Where it is weak

Traces made to show it, each at one size:

{_hits(weak)}
"""


def _hits(rows: Sequence[Row]) -> str:
    every = [
        [f"{row['trace']}, {row['size']:,}", *(f"{row['ratios'][name]:.2f}" for name in CONTENDERS)] for row in rows
    ]
    return _table(["trace, entries", *CONTENDERS], every)


def _table(head: list[str], rows: list[list[str]]) -> str:
    rule = [":--", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def draw(rows: Sequence[Row], path: Path) -> None:
    """Write the chart: a line for each trace and size, a mark for each contender."""
    import matplotlib
    from matplotlib.figure import Figure

    from charts import INK, OURS_COLOUR, STYLE

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 1.2 + 0.2 * len(rows)), layout="constrained")
        panel = figure.subplots()
        places = [-number for number in range(len(rows))]
        marks = iter("sD^vPX*")
        for name in CONTENDERS:
            if name == BASE:
                continue
            points = [row["ratios"][name] - row["ratios"][BASE] for row in rows]
            look = (
                {"color": OURS_COLOUR, "s": 46, "zorder": 3} if name == OURS else {"color": INK, "s": 20, "alpha": 0.7}
            )
            panel.scatter(points, places, marker="o" if name == OURS else next(marks), label=name, **look)
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_yticks(places, [f"{row['trace']}, {row['size']:,}" for row in rows])
        panel.set_xscale("symlog", linthresh=2)
        panel.set_xticks(TICKS, [f"{points:+g}" if points else "0" for points in TICKS])
        panel.set_xlabel("percentage points above LRU")
        panel.grid(axis="y", linewidth=0.3)
        panel.spines[["top", "right", "left"]].set_visible(False)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="hit_ratio.py", description=about, epilog=more.replace("``", ""))
    parser.add_argument("--traces", type=Path, metavar="DIR", help="use the traces of a folder")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a claim falls short")
    options = parser.parse_args(arguments)
    real = options.traces is not None
    rows = measure(sized(stored(options.traces) if real else synthetic()))
    source = "The traces are of real systems." if real else "The traces are made by that program."
    options.page.write_text(page(rows, measure(weak_spots()), source, real=real), encoding="utf-8")
    draw(rows, options.page.parent / CHART)
    outcome = list(claims(rows, real=real))
    for text, holds in outcome:
        print(f"{'holds' if holds else 'FALLS SHORT'}: {text}")
    return 1 if options.check and not all(holds for _, holds in outcome) else 0


if __name__ == "__main__":
    sys.exit(main())
