"""The charts of docs/benchmarks.md: how many times as fast as the baseline each contender is, a panel for each size.

The scale is logarithmic. Colours are to be read on white and on black; the background is the page's; text stays text.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

INK, OURS_COLOUR, _PEERS, _CLAIM = "#7b7b7b", "#2b87d1", "#9a9a9a", "#d9822b"
STYLE = {
    "svg.fonttype": "none",  # text as text, not as paths
    "svg.hashsalt": "perfkit",  # the same ids every time
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


def draw(path: Path, results: Sequence[dict[str, Any]], figures: Callable[[float], str]) -> None:
    """Write the chart of one kind of work, measured at several sizes; ``figures`` writes a ratio.

    The same results give the same bytes.
    """
    names = list(dict.fromkeys(row["name"] for result in results for row in result["contenders"]))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 0.75 + 0.27 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(results), sharex=True, sharey=True, squeeze=False)[0]
        for panel, result in zip(panels, results, strict=True):
            _fill(panel, result, names, figures)
        low, high = panels[0].get_xlim()
        panels[0].set_xlim(low, high * (high / low) ** 0.25)  # room for the figures at the bars' ends
        panels[0].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
        panels[0].xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        what = f"times as fast as {results[0]['contenders'][0]['name']}"
        claimed = any(result["claims"] for result in results)
        figure.supxlabel(f"{what}; the mark is what is claimed" if claimed else what, fontsize=9)
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    # matplotlib ends some lines in spaces, which tools that check for that would complain of at every run
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _fill(panel: Any, result: dict[str, Any], names: list[str], figures: Callable[[float], str]) -> None:
    place = {name: -number for number, name in enumerate(names)}
    baseline = result["contenders"][0]["name"]
    claimed = {claim["contender"]: claim["at_least"] for claim in result["claims"] if claim["peer"] == baseline}
    for row in result["contenders"]:
        colour = OURS_COLOUR if row["ours"] else _PEERS
        panel.barh(place[row["name"]], row["ratio"] - 1, left=1, height=0.66, color=colour)
        panel.annotate(
            figures(row["ratio"]),
            (max(row["ratio"], claimed.get(row["name"], 1), 1), place[row["name"]]),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    for name, least in claimed.items():
        panel.plot([least, least], [place[name] - 0.42, place[name] + 0.42], color=_CLAIM, linewidth=2)
    panel.set_xscale("log")
    panel.axvline(1, color=INK, linewidth=0.8)
    panel.set_title(result["size"], fontsize=10)
    panel.set_yticks(list(place.values()), list(place))
    panel.tick_params(axis="y", length=0)
    panel.minorticks_off()
    panel.spines[["top", "right", "left"]].set_visible(False)
