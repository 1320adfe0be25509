"""docs/benchmarks.md and its charts, and the tables of figures on other pages, written from the JSON of a run.

No number in them is typed by hand: ``python benchmarks/report.py`` writes them anew from the stored run. ``--run``
measures first: some minutes, in which the machine should have nothing else to do. ``--check`` exits with 1 if a claim
falls short. Charts need matplotlib; without it those that are there stay.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Result = dict[str, Any]

HERE = Path(__file__).resolve().parent
STORED = HERE / "results" / "latest.json"
PAGE = HERE.parent / "docs" / "benchmarks.md"
CHARTS = "_static/benchmarks"

_INTRODUCTION = """\
# Benchmarks

Written by `python benchmarks/report.py` from the JSON of one run; with `--run` it measures anew.

A ratio says how many times as fast as the first line of its table something is, by the medians of {rounds} rounds; in
brackets is the 95 % interval of that (a paired bootstrap over the rounds). In each round every contender has a turn, in
an order shuffled anew, with Python's garbage collector off. What is **bold** is perfkit's.

{facts}
"""


_CLAIMS = """\
A claim is a floor, set in the benchmark before it is measured: "at least" is what perfkit promises, "measured" is what
this run found. Below 1 the promise is to be no slower than that."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _options(arguments)
    if options.run and (status := measure(options.json, options.where)):
        return status
    run = json.loads(options.json.read_text(encoding="utf-8"))
    results = [bench["extra_info"] for bench in run["benchmarks"]]
    if any(result["smoke"] for result in results):
        print("This was a smoke run, which says nothing of speed: no page is made of it.", file=sys.stderr)
        return 2
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page(run), encoding="utf-8")
    with _modules_beside_this():
        _draw(results, options.page.parent / CHARTS)
        if options.page == PAGE:
            from headlines import write

            write(results, figures, duration)
    short = [text for result in results for text, holds in _claims(result) if not holds]
    for text in short:
        print(f"falls short: {text}")
    return 1 if short and options.check else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="report.py", description=about, epilog=more.replace("``", ""))
    parser.add_argument("--run", action="store_true", help="measure first, and store the result")
    parser.add_argument(
        "--where", metavar="DIR", help="measure on DIR's file system (default: a temporary directory's)"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 if a claim falls short")
    parser.add_argument("--json", type=Path, default=STORED, help="the run's JSON (default: %(default)s)")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    return parser.parse_args(arguments)


def measure(target: Path, where: str | None) -> int:
    """Run every bench_*.py; its JSON goes to ``target`` if all went well, and what went wrong to standard error."""
    fresh = target.with_suffix(".new")
    files = [str(path) for path in sorted(HERE.glob("bench_*.py"))]
    command = [sys.executable, "-m", "pytest", "-v", "--color=no", f"--benchmark-json={fresh}", *files]
    target.parent.mkdir(parents=True, exist_ok=True)
    status, printed = _watched([*command, *(["--where", where] if where else [])])
    if status:
        print(printed, file=sys.stderr)
        fresh.unlink(missing_ok=True)
    else:
        os.replace(fresh, target)
    return status


def _watched(command: list[str]) -> tuple[int, str]:
    """Run pytest; on a terminal, show how far it is. Return its status and all it printed."""
    printed = []
    process = subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with process:
        for line in process.stdout or ():
            printed.append(line)
            done = re.search(r"::(\S.*?) (?:PASSED|FAILED|ERROR).*\[ *(\d+%)\]", line)
            if done and sys.stderr.isatty():
                print(f"\r\033[K{done[2]:>4}  {done[1]}", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    return process.returncode, "".join(printed)


def page(run: dict[str, Any]) -> str:
    """Return the page for a run: its facts, the claims, then a chart and a table for each kind of work."""
    results = [bench["extra_info"] for bench in run["benchmarks"]]
    facts = "\n".join(f"- {name}: {value}" for name, value in _facts(run, results))
    rounds = sorted({result["rounds"] for result in results})
    blocks = [_INTRODUCTION.format(rounds=" to ".join(str(n) for n in {rounds[0]: 0, rounds[-1]: 0}), facts=facts)]
    blocks.append(_claims_section(results))
    for part, of_part in _grouped(results, "part").items():
        blocks.append(f"## {part}\n\n{of_part[0]['part_about']}\n")
        blocks += [_section(of_kind) for of_kind in _grouped(of_part, "key").values()]
    return "\n".join(blocks)


def _facts(run: dict[str, Any], results: Sequence[Result]) -> Iterator[tuple[str, str]]:
    machine, commit = run["machine_info"], run["commit_info"]["id"]
    packages = {name: version for name, version in machine["packages"].items() if version}
    known = re.fullmatch("[0-9a-f]{40}", commit)
    yield "date", run["datetime"][:10]
    yield "processor", f"{machine['cpu']['brand_raw']}, {machine['cpu']['count']} logical"
    yield "system", f"{machine['system']} {machine['release']}"
    yield "file system", " and ".join(_grouped(results, "file_system"))
    yield "Python", f"{machine['python_implementation']} {machine['python_version']}"
    yield "perfkit", packages.pop("perfkit") + (f" ({commit[:12]})" if known else "")
    yield "beside it", ", ".join(f"{name} {version}" for name, version in packages.items())


def _grouped(results: Sequence[Result], key: str) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result[key], []).append(result)
    return groups


def _claims_section(results: Sequence[Result]) -> str:
    head = ["claim", "size", "at least", "measured", ""]
    rows = [
        [
            f"{result['title']}: {claim['contender']} beside {claim['peer']}",
            result["size"],
            figures(claim["at_least"]),
            f"{figures(claim['ratio'])} ({_interval(claim)})",
            "holds" if claim["ratio"] >= claim["at_least"] else "**falls short**",
        ]
        for result in results
        for claim in result["claims"]
    ]
    return f"## Claims\n\n{_CLAIMS}\n\n{_table(head, rows, left=1)}\n"


def _claims(result: Result) -> Iterator[tuple[str, bool]]:
    """Yield each claim in a sentence, and whether it holds."""
    for claim in result["claims"]:
        what = f"{claim['contender']} is {figures(claim['ratio'])} times as fast as {claim['peer']}"
        yield (
            f"{result['title']}, {result['size']}: {what}, at least {figures(claim['at_least'])}",
            claim["ratio"] >= claim["at_least"],
        )


def _section(results: Sequence[Result]) -> str:
    """Return one kind of work: what it is, its chart, a table with two columns a size, and the notes on contenders."""
    title, baseline = results[0]["title"], results[0]["contenders"][0]["name"]
    alternative = f"{title}: times as fast as {baseline}, by size"
    head = ["", *(cell for result in results for cell in (result["size"], "ratio"))]
    first = {row["name"]: row for result in results for row in result["contenders"]}
    rows = [[_name(row), *(cell for result in results for cell in _cells(result, name))] for name, row in first.items()]
    notes = "".join(f"- {name}: {row['note']}\n" for name, row in first.items() if row["note"])
    return "\n".join(
        [
            f"### {title}\n",
            f"{results[0]['about']}\n",
            f"![{alternative}]({CHARTS}/{results[0]['key']}.svg)\n",
            f"{_table(head, rows, left=1)}\n",
            *([notes] if notes else []),
        ]
    )


def _name(row: dict[str, Any]) -> str:
    return f"**{row['name']}**" if row["ours"] else str(row["name"])


def _cells(result: Result, name: str) -> tuple[str, str]:
    """Return a contender's median time and ratio at one size; nothing where it was not measured."""
    row = next((row for row in result["contenders"] if row["name"] == name), None)
    if row is None:
        return "", ""
    is_baseline = row is result["contenders"][0]
    return duration(row["median"]), figures(1) if is_baseline else f"{figures(row['ratio'])} ({_interval(row)})"


def _interval(ratio: dict[str, float]) -> str:
    return f"{figures(ratio['low'])}\N{EN DASH}{figures(ratio['high'])}"


def _table(head: list[str], rows: list[list[str]], left: int) -> str:
    """Return a Markdown table, its first ``left`` columns set left and the others right."""
    rule = [":--" if column < left else "--:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def figures(number: float) -> str:
    """Return a number as people read one: three digits, or as many as it has before the point."""
    if number >= 99.95:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def duration(seconds: float) -> str:
    """Return a time in the unit that leaves one to three digits before the point."""
    for unit, scale in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 0.9995:
            return f"{figures(seconds * scale)} {unit}"
    return f"{figures(seconds * 1e9)} ns"


@contextmanager
def _modules_beside_this() -> Iterator[None]:
    sys.path.insert(0, str(HERE))
    try:
        yield
    finally:
        sys.path.remove(str(HERE))


def _draw(results: Sequence[Result], folder: Path) -> None:
    """Write a chart for each kind of work, and remove those of what is measured no more."""
    try:
        from charts import draw
    except ImportError as missing:
        print(f"{missing}: the charts stay as they are", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {folder / f"{key}.svg": of_kind for key, of_kind in _grouped(results, "key").items()}
    for path, of_kind in wanted.items():
        draw(path, of_kind, figures)
    for path in set(folder.glob("*.svg")) - set(wanted):
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
