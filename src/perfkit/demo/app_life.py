"""One run of the app demo's program: where it lives, what is seen of it from outside, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import perfkit
from perfkit.demo import app_program, lazyload
from perfkit.demo import app_work as work
from perfkit.demo.memory import rss_of
from perfkit.demo.results import DemoError
from perfkit.demo.smtp_server import PASSWORD, USERNAME, Authority, MailServer

__all__ = ["MEMORY", "MODULES", "ROUND_TRIP", "START", "START_AND_REPORT", "WHOLE", "Expected", "Life", "Site"]

MEMORY = 120_000_000  # bytes
MODULES = 30  # of a heavy package
ROUND_TRIP = 0.01  # seconds to the mail server and back
_EVERY = 0.01  # seconds between looks at a program's memory
_PATIENCE = 120.0  # seconds until a program is given up

START, START_AND_REPORT = "Start, until the first turn", "Start, and one report of four"
WHOLE = "The whole, from start to end"


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
        with_report = start + took[app_program.REPORTED][0]
        return took | {START: [start], START_AND_REPORT: [with_report], WHOLE: [self.ended - self.began]}

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


@contextmanager
def _interrupts_noted() -> Iterator[list[int]]:
    """Note Ctrl-C in a list instead of raising it, in the main thread; in others nothing is raised anyway."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)


class Site:
    """A folder with what the programs need, and a mail server: ``with Site.opened() as site: …``."""

    def __init__(self, folder: str, server: MailServer) -> None:
        self._folder = folder
        self._server = server

    @classmethod
    @contextmanager
    def opened(cls) -> Iterator[Site]:
        """Make both."""
        authority = Authority()
        with tempfile.TemporaryDirectory(prefix="perfkit-demo-", ignore_cleanup_errors=True) as folder:
            lazyload.write_packages(folder, MODULES)
            Path(folder, "authority.pem").write_bytes(authority.pem())
            with MailServer(authority, round_trip=ROUND_TRIP) as server:
                yield cls(folder, server)

    def place(self, mission: str) -> work.Place:
        """Return what a mission has."""
        return work.Place(
            os.path.join(self._folder, f"{mission}.json"),
            os.path.join(self._folder, f"{mission}.db"),
            ("localhost", self._server.port, USERNAME, PASSWORD),
            os.path.join(self._folder, "authority.pem"),
            MEMORY,
        )

    def started(self, way: str, mission: str, turns: int) -> subprocess.Popen[str]:
        """Start the program one way, on a state of its own; it ends when its stdin is closed."""
        place = self.place(mission)
        Path(place.state).write_text(json.dumps(work.initial_state(), indent=2))
        command = [sys.executable, "-m", app_program.__name__, way, mission, str(turns), json.dumps(place)]
        with _interrupts_noted() as noted:  # or one could leave a program behind that nobody knows of
            process = subprocess.Popen(  # noqa: S603 (ours)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        if noted:
            process.kill()
            process.wait()
            raise KeyboardInterrupt
        return process

    def _environment(self) -> dict[str, str]:
        """Return one in which what is compiled once is kept, but in our folder."""
        home = str(Path(perfkit.__file__).parents[1])
        path = os.pathsep.join(filter(None, [self._folder, home, os.environ.get("PYTHONPATH")]))
        compiled = os.path.join(self._folder, "compiled")
        environment = os.environ | {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": compiled}
        for name in ("PYTHONDONTWRITEBYTECODE", "PERFKIT_EAGER"):
            environment.pop(name, None)
        return environment

    def live(self, way: str, mission: str, turns: int) -> Life:
        """Run the program one way to its end, and look at what it leaves."""
        before = len(self._server.box.mails)
        life = self._watched(way, mission, turns)
        place = self.place(mission)
        life.state = json.loads(Path(place.state).read_bytes())
        with closing(sqlite3.connect(place.database)) as connection:
            life.rows = connection.execute("SELECT agent, text FROM memories").fetchall()
        mails = self._server.box.mails[before:]
        life.mails = Counter(str(message_from_bytes(mail.content)["Message-ID"]) for mail in mails)
        return life

    def _watched(self, way: str, mission: str, turns: int) -> Life:
        life = Life(mission, time.monotonic())
        with self.started(way, mission, turns) as process:
            listening = threading.Thread(target=_listen, args=(process, life), daemon=True)
            try:
                listening.start()
                _supervise(process, life)
            finally:  # its stdout is not closed while somebody listens
                process.kill()
                process.wait()
                if listening.is_alive():
                    listening.join(_PATIENCE)
        return life


def _supervise(process: subprocess.Popen[str], life: Life) -> None:
    rss = rss_of(process.pid)
    while process.poll() is None:
        now, used = time.monotonic(), rss()
        if used:
            life.usage.append((now - life.began, used))
        if now - life.began > _PATIENCE:
            raise DemoError(f"app: it took longer than {_PATIENCE:g} s")
        time.sleep(_EVERY)
    life.ended = time.monotonic()
    if process.returncode:
        raise DemoError(f"app: the program ended with status {process.returncode}")


def _listen(process: subprocess.Popen[str], life: Life) -> None:
    for line in process.stdout or ():
        if line.strip() == app_program.READY:
            life.ready = time.monotonic()
        else:
            life.said = json.loads(line)
