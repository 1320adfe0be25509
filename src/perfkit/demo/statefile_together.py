"""The state file demo's second half: five agents and a dashboard, each a process of its own, work on one file."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from functools import partial
from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

from perfkit.demo.crew import Crew
from perfkit.demo.results import Comparison, Latency, Progress, Section
from perfkit.demo.statefile_after import WithPerfkit
from perfkit.demo.statefile_alone import Way
from perfkit.demo.statefile_before import Ordinary, TornFile, load_state, save_state
from perfkit.demo.statefile_checks import Together, together_checks
from perfkit.demo.statefile_mission import AGENTS, check_in, counters, has_nan

__all__ = ["AgentReport", "DashboardReport", "agent", "comparisons", "dashboard", "six_processes", "updates_for"]

_THINKING = 0.004  # seconds between an agent's updates, on average
_REFRESH = 0.002  # seconds between the dashboard's polls: an impatient one, to see whatever there is to see


class AgentReport(NamedTuple):
    """How long each update took that was saved, in seconds, and how many were given up."""

    durations: list[float]
    given_up: int


class DashboardReport(NamedTuple):
    """How long each readable poll took, in seconds; how many failed, or missed an update; what the last one showed."""

    durations: list[float]
    unreadable: int
    missed: int
    last: list[int] | None


def updates_for(typical: float, quick: bool) -> int:
    """Return how many updates each agent sends, if one takes ``typical`` seconds the ordinary way."""
    most, seconds = (40, 1.0) if quick else (100, 2.0)
    return max(5, min(most, int(seconds / (typical * len(AGENTS)))))


def six_processes(folder: str, start: Any, key: str, updates: int, progress: Progress) -> Section:
    """Measure and verify first the ordinary way, then perfkit, each on a file of its own that begins as ``start``."""
    runs = []
    for name, make in (("ordinary", Ordinary), ("perfkit", _perfkit(has_nan(start)))):
        path = os.path.join(folder, f"together-{name}.json")
        save_state(path, start)
        say = partial(_say, progress, f"state files, six processes, {name}", updates * len(AGENTS))
        agents, poller = _work_together(partial(make, path), key, updates, say)
        runs.append((agents, poller, _outcome(path, agents, poller)))
    (agents, poller, before), (agents_after, poller_after, after) = runs
    return Section(
        title=f"Six processes: {len(AGENTS)} agents send {updates} updates each, a dashboard polls",
        note='perfkit with durability="process" here: like the ordinary way, it does not sync. '
        "A poll that finds a change has to read it, either way.",
        comparisons=comparisons(agents, poller, agents_after, poller_after),
        checks=together_checks(start, key, before, after),
    )


def _perfkit(allow_nan: bool) -> Callable[[str], Way]:
    return partial(WithPerfkit, durability="process", allow_nan=allow_nan)


def _say(progress: Progress, doing: str, total: int, saved: MutableSequence[int]) -> None:
    progress(f"{doing}: {sum(saved)} of {total} updates")


def _work_together(
    make: Callable[[], Way], key: str, updates: int, say: Callable[[MutableSequence[int]], None]
) -> tuple[list[AgentReport], DashboardReport]:
    saved: MutableSequence[int] = RawArray("q", len(AGENTS))
    say(saved)
    with Crew() as crew:
        agents = [crew.hire(name, agent, make, key, name, updates, saved) for name in AGENTS]
        poller = crew.hire("dashboard", dashboard, make, key, saved)
        crew.begin()
        reports = crew.gather(agents, timeout=120, meanwhile=partial(say, saved))
        poller.tell("stop")
        return reports, poller.hear()


def agent(
    is_over: Callable[[], bool], make: Callable[[], Way], key: str, name: str, updates: int, saved: MutableSequence[int]
) -> AgentReport:
    """Send ``updates``, a pause before each, and count in ``saved`` those that returned. For a process of its own."""
    way = make()
    slot, dice = AGENTS.index(name), random.Random(name)
    change = partial(check_in, key=key, agent=name)
    durations, given_up = [], 0
    for _ in range(updates):
        time.sleep(dice.uniform(0, 2 * _THINKING))
        if is_over():
            break
        begun = time.perf_counter()
        try:
            way.update(change)
        except TornFile:
            given_up += 1
        else:
            durations.append(time.perf_counter() - begun)
            saved[slot] += 1
    return AgentReport(durations, given_up)


def dashboard(
    is_over: Callable[[], bool], make: Callable[[], Way], key: str, saved: MutableSequence[int]
) -> DashboardReport:
    """Poll until told that it is over, then once more. For a process of its own.

    A poll must show every update that was saved before it began, and every one that an earlier poll has shown.
    """
    way = make()
    durations: list[float] = []
    unreadable = missed = 0
    least = [0] * len(AGENTS)
    last: list[int] | None = None
    final = False
    while not final:
        final = is_over()
        least = list(map(max, least, saved))
        begun = time.perf_counter()
        try:
            last = counters(way.poll(), key)
        except (ValueError, LookupError, TypeError):  # half a file, or a mixture of two
            unreadable, last = unreadable + 1, None
        else:
            durations.append(time.perf_counter() - begun)
            missed += any(map(int.__lt__, last, least))
            least = list(map(max, least, last))
        time.sleep(_REFRESH)
    return DashboardReport(durations, unreadable, missed, last)


def _outcome(path: str, agents: list[AgentReport], poller: DashboardReport) -> Together:
    try:
        final, is_valid = load_state(path), True
    except ValueError:
        final, is_valid = None, False
    return Together(
        saved=[len(report.durations) for report in agents],
        given_up=sum(report.given_up for report in agents),
        polls=len(poller.durations) + poller.unreadable,
        unreadable=poller.unreadable,
        missed=poller.missed,
        last=poller.last,
        is_valid=is_valid,
        final=final,
    )


def comparisons(
    agents: Sequence[AgentReport],
    poller: DashboardReport,
    agents_after: Sequence[AgentReport],
    poller_after: DashboardReport,
) -> tuple[Comparison, ...]:
    """Return what took how long, if it was done both ways: a file that stays torn allows nothing."""
    return (
        *_compare(
            "update: load, change one agent's entry, save",
            ("json.load, json.dump(indent=2)", [seconds for report in agents for seconds in report.durations]),
            ('edit(), durability="process"', [seconds for report in agents_after for seconds in report.durations]),
        ),
        *_compare(
            "poll: read the agents' entries, while they change",
            ("open, json.load", poller.durations),
            ("view()", poller_after.durations),
        ),
    )


def _compare(what: str, before: tuple[str, list[float]], after: tuple[str, list[float]]) -> Iterator[Comparison]:
    if before[1] and after[1]:
        yield Comparison(what, Latency.of(*before), (Latency.of(*after),))
