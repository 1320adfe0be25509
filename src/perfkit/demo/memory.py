"""The memory demo: a program that keeps what it renders, under a supervisor that kills it above a limit.

As a container does, but without asking for any privilege: the supervisor looks at the process every few milliseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import perfkit
from perfkit.demo import memory_program
from perfkit.demo.results import Check, Count, DemoError, Options, PartResult, Progress, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Life", "chart", "live", "rss_of", "run"]

LIMIT = 300_000_000
EVERY = 0.005  # seconds
PATIENCE = 120.0  # seconds until the demo is given up
COLUMNS, ROWS = 66, 10


@dataclass
class Life:
    """One run of the program: what was seen from outside, and what it said."""

    began: float
    usage: list[tuple[float, int]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    was_killed: bool = False

    @property
    def peak(self) -> int:
        """The most that was seen."""
        return max((used for _, used in self.usage), default=0)

    @property
    def seconds(self) -> float:
        """How long it was looked at."""
        return self.usage[-1][0] - self.began if self.usage else 0.0

    @property
    def total(self) -> int | None:
        """What it came to, if it came to its end."""
        return self._last.get("total")

    @property
    def freed(self) -> int:
        """The bytes that the watchdog had given back."""
        return int(self._last.get("freed", 0))

    @property
    def _last(self) -> dict[str, Any]:
        """What it said at its end; a change of level may have been told after that."""
        return next((each for each in self.said if "total" in each), {})


def run(options: Options, progress: Progress) -> PartResult:
    """Run the program both ways. ``options.input`` is for other parts."""
    pages = 4_500 if options.quick else 9_000
    progress("memory: what is right")
    expected = memory_program.checksums(memory_program.render, pages)
    lives = []
    for way in ("before", "after"):
        progress(f"memory: {way}")
        lives.append(live(way, pages))
    before, after = lives
    checks = (
        Check("Killed above the limit", Count(int(before.was_killed), 1), Count(int(after.was_killed), 1)),
        Check("Not done, or not right", _wrong(before, expected), _wrong(after, expected)),
    )
    note = (
        f"{pages:,} pages of {memory_program.PAGE // 1000} kB are rendered and kept, and the process is killed above"
        f" {LIMIT // 10**6} MB. Before: functools.lru_cache without a bound; after: perfkit.cached without a bound"
        f" under perfkit.MemoryWatchdog, which had {after.freed / 10**6:,.0f} MB given back and stayed within"
        f" {after.peak / LIMIT:.0%}. In the chart x is before and # after; below it is the level: . ok, h high,"
        " C critical."
    )
    section = Section("Both under a limit", (), checks, note, chart(before, after))
    return PartResult("memory", "Memory: a cache without a bound", pages * memory_program.PAGE, (section,))


def _wrong(life: Life, expected: int) -> Count:
    return Count(int(life.total != expected), 1)


def live(way: str, pages: int) -> Life:
    """Run the program one way, and kill it if it is above the limit."""
    found = str(Path(perfkit.__file__).parents[1])
    command = [sys.executable, "-m", memory_program.__name__, way, str(LIMIT), str(pages)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([found, os.environ.get("PYTHONPATH", "")])}
    life = Life(time.monotonic())
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
            life.usage.append((now, used))
        if used > LIMIT:
            life.was_killed = True
            return
        if now - life.began > PATIENCE:
            raise DemoError(f"memory: it took longer than {PATIENCE:g} s")
        time.sleep(EVERY)
    if process.returncode:
        raise DemoError(f"memory: the program ended with status {process.returncode}")


def _listen(process: subprocess.Popen[str], life: Life) -> None:
    for line in process.stdout or ():
        life.said.append(json.loads(line))


def rss_of(pid: int) -> Callable[[], int]:
    """Return what measures another process; 0 once it is gone."""
    if not sys.platform.startswith("linux"):
        return _by_psutil(pid)
    page = os.sysconf("SC_PAGE_SIZE")

    def rss() -> int:
        try:
            with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * page
        except (OSError, IndexError):
            return 0

    return rss


def _by_psutil(pid: int) -> Callable[[], int]:
    import psutil

    def rss() -> int:
        try:
            return int(psutil.Process(pid).memory_info().rss)
        except psutil.Error:
            return 0

    return rss


def chart(before: Life, after: Life) -> tuple[str, ...]:
    """Draw usage over time: a column each a stretch of time, with the most that was in use in it."""
    span = max(before.seconds, after.seconds, 1e-9)
    theirs, ours = (_columns(life, span) for life in (before, after))
    lines = []
    for row in range(ROWS, 0, -1):
        mark = LIMIT * row / ROWS
        line = "".join(_sign(mark, a, b) for a, b in zip(theirs, ours, strict=True))
        lines.append(f"  {row / ROWS:>5.0%} |{line}")
    return (*lines, f"  level  {_levels(after, span)}", f"         0 s{f'{span:.1f} s':>{COLUMNS - 3}}")


def _sign(mark: float, theirs: int, ours: int) -> str:
    """Return the sign where a column crosses a row; the upper edge of theirs is seen in front of ours."""
    step = LIMIT / ROWS
    if mark - step < theirs - step / 2 <= mark:
        return "x"
    return "#" if ours >= mark - step / 2 else " "


def _columns(life: Life, span: float) -> list[int]:
    most = [0] * COLUMNS
    for at, used in life.usage:
        column = min(COLUMNS - 1, int((at - life.began) / span * COLUMNS))
        most[column] = max(most[column], used)
    return most


def _levels(life: Life, span: float) -> str:
    """Return the worst level of each column."""
    changes: Sequence[tuple[float, str]] = [(each["at"], each["level"]) for each in life.said if "level" in each]
    signs, level, rest = [], "ok", list(changes)
    for column in range(COLUMNS):
        until = life.began + (column + 1) * span / COLUMNS
        seen = [level]
        while rest and rest[0][0] <= until:
            level = rest.pop(0)[1]
            seen.append(level)
        signs.append(max(seen, key=["ok", "high", "critical"].index))
    return "".join({"ok": ".", "high": "h", "critical": "C"}[sign] for sign in signs)
