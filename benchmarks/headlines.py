"""The tables of figures in README.md and the performance guide, made of a run's JSON like the page of benchmarks.

A page has ``<!-- figures: NAME -->`` before a table and ``<!-- end of figures -->`` behind it; what is between them is
written here, and a test holds it equal to the stored run.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Result = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "PERFORMANCE-GUIDE.md")

_PLACE = re.compile(r"(<!-- figures: (?P<name>[\w-]+) -->\n).*?(?=<!-- end of figures -->)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Row:
    """One line: some work, and the two contenders that are compared, by the benchmark's key and size."""

    work: str
    key: str
    size: str
    before: str
    after: str


README = (
    Row(
        "read one key of a 200 KB state file",
        "statefile-read-unchanged",
        "200 KB",
        "open + json.load",
        "StateFile.view()",
    ),
    Row(
        "change one key from 64 threads, flushed to the disk",
        "statefile-change-in-threads",
        "200 KB",
        "load + change + json.dump, flushed",
        "StateFile.update()",
    ),
    Row(
        "call a function whose value is cached",
        "caching-hit-of-a-function",
        "f(k)",
        "cachetools LRU, lock",
        "@perfkit.cached",
    ),
    Row(
        "call through a closed circuit breaker",
        "resilience-closed-breaker-around-a-function",
        "f(k)",
        "pybreaker",
        "perfkit.CircuitBreaker",
    ),
    Row("borrow a connection and give it back", "pooling-one-thread", "1 thread", "psycopg_pool", "Pool, with"),
    Row("send a mail", "smtp-sending", "20 ms away", "smtplib, a connection a mail", "SMTPPool.send()"),
    Row(
        "send a mail, among many", "smtp-sending", "20 ms away", "smtplib, a connection a mail", "SMTPPool.send_many()"
    ),
    Row(
        "insert a row, from 100 tasks",
        "sqlite-insert-in-tasks",
        "100 tasks, process",
        "aiosqlite, execute + commit under a lock",
        "AsyncDatabase.execute()",
    ),
    Row("start, with seven packages imported", "lazyload-start-up", "7 packages", "import", "perfkit.lazy_imports"),
    Row("measure a function's calls", "timing-a-measured-function", "f(k)", "prometheus_client", "perfkit.timed"),
)

GUIDE = (
    Row(
        "a state file parsed at every look, 17 KB",
        "statefile-read-unchanged",
        "17 KB",
        "open + json.load",
        "StateFile.view()",
    ),
    Row("… 1 MB", "statefile-read-unchanged", "1 MB", "open + json.load", "StateFile.view()"),
    Row(
        "a state file written for every change, to survive a power cut",
        "statefile-change-in-threads",
        "17 KB",
        "load + change + json.dump, flushed",
        "StateFile.update()",
    ),
    Row(
        "a cache that takes a lock to be read",
        "caching-four-threads-reading",
        "100 reads",
        "cachetools LRU, lock",
        "FrequencyBoostLRU",
    ),
    Row(
        "a connection and a login for every mail",
        "smtp-sending",
        "20 ms away",
        "smtplib, a connection a mail",
        "SMTPPool.send()",
    ),
    Row("… sent many at a time", "smtp-sending", "20 ms away", "smtplib, a connection a mail", "SMTPPool.send_many()"),
    Row(
        "a commit for every row",
        "sqlite-insert-in-tasks",
        "100 tasks, process",
        "aiosqlite, autocommit",
        "AsyncDatabase.execute()",
    ),
    Row(
        "… that survives a power cut",
        "sqlite-insert-in-tasks",
        "100 tasks, power",
        "aiosqlite, autocommit",
        "AsyncDatabase.execute()",
    ),
    Row(
        "reads that stand in line behind writes",
        "sqlite-read-beside-writers",
        "16 readers, 20 writers",
        "aiosqlite, one shared connection",
        "AsyncDatabase.fetch_one()",
    ),
    Row("imports that this run doesn't need", "lazyload-start-up", "7 packages", "import", "perfkit.lazy_imports"),
    Row("metrics on a hot function", "timing-a-measured-function", "f(k)", "prometheus_client", "perfkit.timed"),
)

TABLES = {
    "readme": (README, ("to", "the ordinary way", "takes", "with perfkit", "takes", "times as fast")),
    "symptoms": (GUIDE, ("symptom", "as it is", "costs", "with perfkit", "costs", "times as fast")),
}


def write(results: Sequence[Result], figures: Callable[[float], str], duration: Callable[[float], str]) -> None:
    """Write the tables of all pages anew."""
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8"), results, figures, duration), "utf-8")


def filled(
    text: str, results: Sequence[Result], figures: Callable[[float], str], duration: Callable[[float], str]
) -> str:
    """Return a page with its tables as the results have them. Raises KeyError, naming what a run doesn't have."""

    def table(place: re.Match[str]) -> str:
        rows, head = TABLES[place["name"]]
        lines = [
            head,
            (":--", ":--", "--:", ":--", "--:", "--:"),
            *(_cells(row, results, figures, duration) for row in rows),
        ]
        return place[1] + "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + "\n"

    return _PLACE.sub(table, text)


def _cells(
    row: Row, results: Sequence[Result], figures: Callable[[float], str], duration: Callable[[float], str]
) -> tuple[str, ...]:
    medians = _medians(row, results)
    before, after = medians[row.before], medians[row.after]
    return row.work, row.before, duration(before), row.after, duration(after), f"**{figures(before / after)}**"


def _medians(row: Row, results: Sequence[Result]) -> Mapping[str, float]:
    for result in results:
        if (result["key"], result["size"]) == (row.key, row.size):
            return {contender["name"]: contender["median"] for contender in result["contenders"]}
    raise KeyError(f"the run has no {row.key}, {row.size}: measure all with --run")
