"""The app demo: one small application, mission control, the ordinary way and with perfkit, each a process of its own.

`app_before` and `app_after` are the two, with the same functions; `app_program` has sixteen agents use one of them.
They update a state file and read it, search notes, look at pages of a log book, write memories to SQLite, and send
mail; at the end a report is made with one of four heavy packages, which are written on the spot. Memory has a soft
limit: nobody is killed above it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import perfkit
from perfkit.demo import app_chart, app_program, lazyload
from perfkit.demo import app_work as work
from perfkit.demo.memory import rss_of
from perfkit.demo.results import (
    Check,
    Comparison,
    Count,
    DemoError,
    Latency,
    Options,
    PartResult,
    Progress,
    Section,
    Series,
    Size,
)
from perfkit.demo.smtp_server import PASSWORD, USERNAME, Authority, MailServer

__all__ = ["Expected", "Life", "live", "run", "section"]

MEMORY = 120_000_000  # bytes
MODULES = 30  # of a heavy package
ROUND_TRIP = 0.01  # seconds to the mail server and back
EVERY = 0.01  # seconds between looks at a program's memory
PATIENCE = 120.0  # seconds until a program is given up
WAYS = ("before", "after")
HOW = {
    app_program.UPDATED: ("json, fsync, os.replace", "StateFile.update()"),
    app_program.READ: ("open, json.load", "StateFile.view()"),
    app_program.SEARCHED: ("computed again", "@cached"),
    app_program.RENDERED: ("a dict that grows", "@cached, MemoryWatchdog"),
    app_program.REMEMBERED: ("sqlite3, a commit each", "Database.execute()"),
    app_program.SENT: ("smtplib, connecting", "SMTPPool.send()"),
    "Start, until the first turn": ("import at the top", "lazy_imports"),
    "Start, and one report of four": ("import at the top", "lazy_imports, a first use"),
    "The whole, from start to end": ("all of that", "all of that"),
}
START, START_AND_REPORT, WHOLE = list(HOW)[-3:]


class Expected(NamedTuple):
    """What must come of so many turns of each agent."""

    turns: int
    state: Any
    answers: dict[str, list[int]]

    @classmethod
    def of(cls, turns: int) -> Expected:
        """Work it out."""
        answers = work.expected_answers(turns)
        answers["report"] = [lazyload.answer(lazyload.PACKAGES.index("tables"), 7)]
        return cls(turns, work.expected_state(turns), answers)


@dataclass
class Life:
    """One run of the program: what was seen from outside, what it said, and what it left."""

    mission: str
    began: float
    ready: float = 0.0
    ended: float = 0.0
    usage: list[tuple[float, int]] = field(default_factory=list)
    said: dict[str, Any] = field(default_factory=dict)
    state: Any = None
    rows: list[tuple[str, str]] = field(default_factory=list)
    mails: Counter[str] = field(default_factory=Counter)

    @property
    def took(self) -> dict[str, list[float]]:
        """How long each thing took, by what it was."""
        took: dict[str, list[float]] = self.said["took"]
        start = self.ready - self.began
        ours = {START: [start], START_AND_REPORT: [start + took[app_program.REPORTED][0]]}
        return took | ours | {WHOLE: [self.ended - self.began]}

    @property
    def peak(self) -> int:
        """The most memory that was seen."""
        return max((used for _, used in self.usage), default=0)

    def lost(self, expected: Expected) -> int:
        """Count updates that are not in the state; 1 if the state is wrong in another way."""
        if self.state == expected.state:
            return 0
        found, sent = (sum(work.updates(state).values()) for state in (self.state, expected.state))
        return max(1, sent - found)

    def missing_rows(self, expected: Expected) -> int:
        """Count memories that are not there as they were written, or are there beside them."""
        written = Counter((agent, work.memory(agent, turn)) for agent in work.AGENTS for turn in range(expected.turns))
        found = Counter(self.rows)
        return ((written - found) + (found - written)).total()

    def missing_mails(self, expected: Expected) -> int:
        """Count mails that did not arrive once."""
        return sum(self.mails[mail] != 1 for mail in work.mail_ids(self.mission, expected.turns))

    def wrong_answers(self, expected: Expected) -> int:
        """Count turns whose answers are wrong, and reports that are."""
        pairs = ((self.said["answers"][who], right) for who, right in expected.answers.items())
        return sum(given != right for said, rights in pairs for given, right in zip_longest(said, rights))


def run(options: Options, progress: Progress) -> PartResult:
    """Run the application both ways, in turns. ``options.input`` is for other parts."""
    rounds, turns = (1, 4) if options.quick else (2, 18)
    progress("app: what must come of it")
    expected = Expected.of(turns)
    lives: dict[str, list[Life]] = {way: [] for way in WAYS}
    with _site() as (folder, server):
        for way in WAYS:
            progress(f"app: compiling, {way}")
            live(folder, server, way, f"{way}-compiled", 1)
        for number in range(rounds):
            for way in WAYS:
                progress(f"app: round {number + 1} of {rounds}, {way}")
                lives[way].append(live(folder, server, way, f"{way}-{number}", turns))
    size = len(json.dumps(work.initial_state(), indent=2))
    return PartResult("app", "A whole application: mission control", size, (section(lives, expected),))


@contextmanager
def _site() -> Iterator[tuple[str, MailServer]]:
    """Give a folder with what the programs need, and a mail server."""
    authority = Authority()
    with tempfile.TemporaryDirectory(prefix="perfkit-demo-") as folder:
        lazyload.write_packages(folder, MODULES)
        Path(folder, "authority.pem").write_bytes(authority.pem())
        with MailServer(authority, round_trip=ROUND_TRIP) as server:
            yield folder, server


def live(folder: str, server: MailServer, way: str, mission: str, turns: int) -> Life:
    """Run the program one way, and look at what it leaves."""
    place = work.Place(
        os.path.join(folder, f"{mission}.json"),
        os.path.join(folder, f"{mission}.db"),
        ("localhost", server.port, USERNAME, PASSWORD),
        os.path.join(folder, "authority.pem"),
        MEMORY,
    )
    with open(place.state, "w") as file:
        json.dump(work.initial_state(), file, indent=2)
    before = len(server.box.mails)
    life = _watched(folder, [way, mission, str(turns), json.dumps(place)], mission)
    with open(place.state) as file:
        life.state = json.load(file)
    with closing(sqlite3.connect(place.database)) as connection:
        life.rows = connection.execute("SELECT agent, text FROM memories").fetchall()
    life.mails = Counter(str(message_from_bytes(mail.content)["Message-ID"]) for mail in server.box.mails[before:])
    return life


def _watched(folder: str, arguments: list[str], mission: str) -> Life:
    """Run the program to its end, and note how much memory it has."""
    home = str(Path(perfkit.__file__).parents[1])
    path = os.pathsep.join(filter(None, [folder, home, os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": os.path.join(folder, "compiled")}
    for name in ("PYTHONDONTWRITEBYTECODE", "PERFKIT_EAGER"):
        environment.pop(name, None)
    command = [sys.executable, "-m", app_program.__name__, *arguments]
    life = Life(mission, time.monotonic())
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603 (ours)
        listening = threading.Thread(target=_listen, args=(process, life), daemon=True)
        listening.start()
        try:
            _supervise(process, life)
        finally:
            process.kill()
            process.wait()
            listening.join(PATIENCE)
    return life


def _supervise(process: subprocess.Popen[str], life: Life) -> None:
    rss = rss_of(process.pid)
    while process.poll() is None:
        now, used = time.monotonic(), rss()
        if used:
            life.usage.append((now - life.began, used))
        if now - life.began > PATIENCE:
            raise DemoError(f"app: it took longer than {PATIENCE:g} s")
        time.sleep(EVERY)
    life.ended = time.monotonic()
    if process.returncode:
        raise DemoError(f"app: the program ended with status {process.returncode}")


def _listen(process: subprocess.Popen[str], life: Life) -> None:
    for line in process.stdout or ():
        if line.strip() == app_program.READY:
            life.ready = time.monotonic()
        else:
            life.said = json.loads(line)


def section(lives: dict[str, list[Life]], expected: Expected) -> Section:
    """Compare the two ways."""
    before, after = (lives[way] for way in WAYS)
    series = Series("Memory in use", MEMORY, before[0].usage, after[0].usage)
    sizes = (Size("Memory in use at most", *(max(life.peak for life in way) for way in (before, after))),)
    title = f"{len(work.AGENTS)} agents, {expected.turns} turns each"
    note = (
        "What either way has written survives a power cut (fsync; SQLite with synchronous=FULL), and what a turn "
        f"reads has just been changed. The mail server is {ROUND_TRIP * 1000:.0f} ms away, with TLS and a login. A "
        f"heavy package has {MODULES} modules. Of memory {MEMORY / 1e6:.0f} MB are to be enough; nobody is killed "
        "above that."
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
        check("Own updates not seen", lambda life: int(life.said["stale"]), all_turns),
        check("Memories missing, or not as written", lambda life: life.missing_rows(expected), all_turns),
        check("Mails that did not arrive once", lambda life: life.missing_mails(expected), mails),
        check("Wrong answers", lambda life: life.wrong_answers(expected), answers),
        check("Heavy packages loaded in vain", lambda life: len(life.said["loaded"]) - 1, 3 * rounds, both=False),
        Check("Moments above the soft limit", _above(before), _above(after)),
    )


def _above(lives: list[Life]) -> Count:
    seen = [used for life in lives for _, used in life.usage]
    return Count(sum(used > MEMORY for used in seen), len(seen))
