"""The app demo: one small application, mission control, the ordinary way and with perfkit, each a process of its own.

`app_before` and `app_after` are the two, with the same functions; `app_program` has sixteen agents use one of them.
They update a state file and read it, search notes, look at pages of a log book, write memories to SQLite, and send
mail; at the end a report is made with one of four heavy packages, which are written on the spot. Memory has a soft
limit: nobody is killed above it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from perfkit.demo import app_chart, app_program
from perfkit.demo import app_work as work
from perfkit.demo.app_life import MEMORY, MODULES, ROUND_TRIP, START, START_AND_REPORT, WHOLE, Expected, Life, Site
from perfkit.demo.results import Check, Comparison, Count, Latency, Options, PartResult, Progress, Section, Series, Size

__all__ = ["HOW", "run", "section"]

WAYS = ("before", "after")
HOW = {
    app_program.UPDATED: ("json, fsync, os.replace", "StateFile.update()"),
    app_program.READ: ("open, json.load", "StateFile.view()"),
    app_program.SEARCHED: ("computed again", "@cached"),
    app_program.RENDERED: ("a dict that grows", "@cached, MemoryWatchdog"),
    app_program.REMEMBERED: ("sqlite3, a commit each", "Database.execute()"),
    app_program.SENT: ("smtplib, connecting", "SMTPPool.send()"),
    START: ("import at the top", "lazy_imports"),
    START_AND_REPORT: ("import at the top", "lazy_imports, a first use"),
    WHOLE: ("all of that", "all of that"),
}


def run(options: Options, progress: Progress) -> PartResult:
    """Run the application both ways, in turns. ``options.input`` is for other parts."""
    rounds, turns = (1, 4) if options.quick else (2, 18)
    progress("app: what must come of it")
    expected = Expected.of(turns)
    lives: dict[str, list[Life]] = {way: [] for way in WAYS}
    with Site.opened() as site:
        for way in WAYS:
            progress(f"app: compiling, {way}")
            site.live(way, f"{way}-compiled", 1)
        for number in range(rounds):
            for way in WAYS:
                progress(f"app: round {number + 1} of {rounds}, {way}")
                lives[way].append(site.live(way, f"{way}-{number}", turns))
    size = len(json.dumps(work.initial_state(), indent=2))
    return PartResult("app", "A whole application: mission control", size, (section(lives, expected),))


def section(lives: dict[str, list[Life]], expected: Expected) -> Section:
    """Compare the two ways."""
    before, after = (lives[way] for way in WAYS)
    series = Series("Memory in use", MEMORY, before[0].usage, after[0].usage)
    sizes = (Size("Memory in use at most", *(max(life.peak for life in way) for way in (before, after))),)
    title = f"{len(work.AGENTS)} agents, {expected.turns} turns each"
    note = (
        f"An agent thinks for {work.THINKING * 1000:.0f} ms or so in a turn, and reads what has just been changed. "
        "What is written, either way, survives a power cut (fsync; SQLite with synchronous=FULL). The mail server is "
        f"{ROUND_TRIP * 1000:.0f} ms away, with TLS and a login. A heavy package has {MODULES} modules. "
        f"{MEMORY / 1e6:.0f} MB of memory are to be enough; nobody is killed above that."
    )
    return Section(
        title,
        tuple(_comparisons(before, after)),
        _checks(before, after, expected),
        note,
        app_chart.drawn(series),
        sizes,
        series,
    )


def _comparisons(before: list[Life], after: list[Life]) -> Iterator[Comparison]:
    for what, ways in HOW.items():
        ordinary, ours = (
            Latency.of(how, [seconds for life in lives for seconds in life.took[what]])
            for how, lives in zip(ways, (before, after), strict=True)
        )
        yield Comparison(what, ordinary, (ours,))


def _checks(before: list[Life], after: list[Life], expected: Expected) -> tuple[Check, ...]:
    agents, turns, rounds = len(work.AGENTS), expected.turns, len(before)
    all_turns, mails = agents * turns * rounds, len(work.mail_ids("", turns)) * rounds
    answers = all_turns + rounds

    def check(what: str, bad: Callable[[Life], int], of: int, *, both: bool = True) -> Check:
        theirs, ours = (Count(sum(map(bad, lives)), of) for lives in (before, after))
        return Check(what, theirs, ours, both)

    return (
        check("Updates lost", lambda life: life.lost(expected), all_turns),
        check("Own update missing from the next read", lambda life: int(life.said["stale"]), all_turns),
        check("Memories missing, or not as written", lambda life: life.missing_rows(expected), all_turns),
        check("Mails that did not arrive once", lambda life: life.missing_mails(expected), mails),
        check("Wrong answers", lambda life: life.wrong_answers(expected), answers),
        check("Heavy packages loaded in vain", lambda life: len(life.said["loaded"]) - 1, 3 * rounds, both=False),
        Check("Moments above the soft limit", _above(before), _above(after)),
    )


def _above(lives: list[Life]) -> Count:
    seen = [used for life in lives for _, used in life.usage]
    return Count(sum(used > MEMORY for used in seen), len(seen))
