"""The app demo's program, run in a process of its own: sixteen agents, each a thread, and one mission control.

``python -m perfkit.demo.app_program before|after MISSION TURNS PLACE`` prints a line when it is ready, and one of JSON
when all is done. It ends when its stdin does. What is imported here is imported either way; what one way needs it
imports itself.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from importlib import import_module
from time import perf_counter, sleep
from typing import Any, ParamSpec, TypeVar

from perfkit.demo import app_work as work

__all__ = ["HEAVY", "READ", "READY", "REMEMBERED", "RENDERED", "REPORTED", "SEARCHED", "SENT", "UPDATED", "main"]

READY = "ready"
HEAVY = ("arrays", "frames", "models", "tables")
UPDATED, READ, SEARCHED, RENDERED = "Update the state", "Read the state", "Search the notes", "Get a page"
REMEMBERED, SENT, REPORTED = "Write a memory", "Send a mail", "Make a report"

P = ParamSpec("P")
R = TypeVar("R")


class Log:
    """How long each thing took, by what it was; what was answered, by agent; and how often a state was old."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}
        self.answers: dict[str, list[int]] = {agent: [] for agent in work.AGENTS}
        self.stale = 0

    def timed(self, what: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function, and note how long that took."""
        began = perf_counter()
        result = function(*args, **kwargs)
        self.took.setdefault(what, []).append(perf_counter() - began)
        return result


def play(control: Any, log: Log, mission: str, turns: int, agent: str) -> None:
    """Do an agent's turns."""
    change = partial(work.check_in, agent=agent)
    for turn in work.turns_of(agent, turns):
        sleep(turn.thinking)
        found = log.timed(SEARCHED, control.search, turn.words)
        pages = [log.timed(RENDERED, control.page, number) for number in turn.pages]
        log.answers[agent].append(work.answers(found, pages))
        log.timed(REMEMBERED, control.remember, agent, work.memory(agent, turn.number))
        log.timed(UPDATED, control.update_state, change)
        state = log.timed(READ, control.read_state)
        log.stale += work.updates(state)[agent] != turn.number + 1
        if turn.has_mail:
            log.timed(SENT, control.send, work.mail(mission, agent, turn.number))


def main(way: str, mission: str, turns: int, place: work.Place) -> None:
    """Have the agents do their turns, one way."""
    module = import_module(f"perfkit.demo.app_{way}")
    with closing(module.MissionControl(place)) as control:
        print(READY, flush=True)
        log = Log()
        with ThreadPoolExecutor(len(work.AGENTS)) as crew:
            list(crew.map(partial(play, control, log, mission, turns), work.AGENTS))
        log.answers["report"] = [log.timed(REPORTED, control.report, "table")]
    loaded = [name for name in HEAVY if name in sys.modules]
    print(json.dumps({"took": log.took, "answers": log.answers, "stale": log.stale, "loaded": loaded}), flush=True)


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), work.Place(*json.loads(sys.argv[4])))
