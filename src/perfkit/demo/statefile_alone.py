"""The state file demo's first half: one process, the same updates and polls each way, in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from perfkit.demo.results import Comparison, Latency, Progress, Section
from perfkit.demo.statefile_after import WithPerfkit
from perfkit.demo.statefile_before import Ordinary, load_state, save_state
from perfkit.demo.statefile_checks import Alone, alone_checks
from perfkit.demo.statefile_mission import AGENTS, check_in, counters, has_nan

__all__ = ["Rounds", "Way", "one_process", "rounds_for"]

# A dashboard polls seconds apart. Without a pause every poll would fall into the moments after a write, where no stamp
# of the file can be trusted and perfkit reads it again each time (20 ms on most file systems).
_PAUSE = 0.03
_MIN_ROUNDS = 2


class Way(Protocol):
    """A way to keep the state in a file."""

    def poll(self) -> Any:
        """Return the document, to be read only."""

    def update(self, change: Callable[[Any], None]) -> None:
        """Load the document, call ``change`` with it, save it."""


class Rounds(NamedTuple):
    """At most ``most`` rounds of so many updates and polls each way, and no new one after ``seconds``."""

    most: int
    updates: int
    polls: int
    seconds: float


def rounds_for(size: int, quick: bool) -> Rounds:
    """Suit the rounds to a document of ``size`` bytes: a large one takes no longer and gives fewer figures."""
    updates = max(1, min(10, 500_000 // size))
    polls = max(2, min(100, 5_000_000 // size))
    return Rounds(6, updates, polls, 1.0) if quick else Rounds(40, updates, polls, 3.0)


def one_process(folder: str, start: Any, key: str, rounds: Rounds, progress: Progress) -> Section:
    """Measure and verify the ways in turns, each on a file of its own in ``folder`` that begins as ``start``."""
    lanes = []
    for number, (how, make) in enumerate(_ways(has_nan(start))):
        path = os.path.join(folder, f"alone-{number}.json")
        save_state(path, start)
        lanes.append(_Lane(how, make(path), path, key))
    _run(lanes, rounds, progress)
    before, *after = lanes
    return Section(
        title=f"One process: {len(before.updates)} updates and {before.polls} polls each way",
        note='The ordinary way never syncs; durability="power" does, and survives a power cut.',
        comparisons=_comparisons(before, after),
        checks=alone_checks(start, key, before.sent, before.outcome(), [lane.outcome() for lane in after]),
    )


def _ways(allow_nan: bool) -> list[tuple[str, Callable[[str], Way]]]:
    return [
        ("json.load, json.dump(indent=2)", Ordinary),
        ('edit(), durability="process"', partial(WithPerfkit, durability="process", allow_nan=allow_nan)),
        ('edit(), durability="power"', partial(WithPerfkit, durability="power", allow_nan=allow_nan)),
    ]


class _Lane:
    """One way with a file of its own, and what was measured there."""

    def __init__(self, how: str, way: Way, path: str, key: str) -> None:
        self.how = how
        self.updates: list[float] = []
        self.first_polls: list[float] = []
        self.later_polls: list[float] = []
        self.sent = dict.fromkeys(AGENTS, 0)
        self._missed = 0
        self._way = way
        self._path = path
        self._key = key

    @property
    def polls(self) -> int:
        return len(self.first_polls) + len(self.later_polls)

    def update(self) -> None:
        agent = AGENTS[len(self.updates) % len(AGENTS)]
        change = partial(check_in, key=self._key, agent=agent)
        begun = time.perf_counter()
        self._way.update(change)
        self.updates.append(time.perf_counter() - begun)
        self.sent[agent] += 1

    def poll(self, durations: list[float]) -> None:
        begun = time.perf_counter()
        document = self._way.poll()
        document[self._key]
        durations.append(time.perf_counter() - begun)
        self._missed += counters(document, self._key) != list(self.sent.values())

    def outcome(self) -> Alone:
        return Alone(self.polls, self._missed, load_state(self._path))


def _run(lanes: Sequence[_Lane], rounds: Rounds, progress: Progress) -> None:
    """Do the rounds; who goes first changes from one to the next."""
    end = time.monotonic() + rounds.seconds
    for number in range(rounds.most):
        if number >= _MIN_ROUNDS and time.monotonic() > end:
            return
        progress(f"state files, one process: round {number + 1} of {rounds.most}")
        first = number % len(lanes)
        _round([*lanes[first:], *lanes[:first]], rounds)


def _round(lanes: Sequence[_Lane], rounds: Rounds) -> None:
    for lane in lanes:
        for _ in range(rounds.updates):
            lane.update()
            lane.poll(lane.first_polls)
    time.sleep(_PAUSE)
    for lane in lanes:
        for _ in range(rounds.polls):
            lane.poll(lane.later_polls)


def _comparisons(before: _Lane, after: Sequence[_Lane]) -> tuple[Comparison, ...]:
    update = Comparison(
        "update: load, change one agent's entry, save",
        Latency.of(before.how, before.updates),
        tuple(Latency.of(lane.how, lane.updates) for lane in after),
    )
    return (
        _polls("poll: read one key, nothing changed since", before.later_polls, after[0].later_polls),
        _polls("poll: read one key, the first after an update", before.first_polls, after[0].first_polls),
        update,
    )


def _polls(what: str, before: Sequence[float], after: Sequence[float]) -> Comparison:
    return Comparison(what, Latency.of("open, json.load", before), (Latency.of("view()", after),))
