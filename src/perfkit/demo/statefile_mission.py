"""The document of the state file demo: a mission-control dashboard, and what an agent changes in it.

Everything is deterministic: the document comes from a seeded generator, and a change depends only on how many of the
same agent came before it. So the document after any number of changes is known beforehand, whatever their order.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from typing import Any

from perfkit.demo.results import InputError

__all__ = [
    "AGENTS",
    "as_text",
    "check_in",
    "counters",
    "expected",
    "has_nan",
    "mission_state",
    "read_input",
    "with_board",
]

AGENTS = ("scout", "planner", "builder", "tester", "herald")

_KINDS = ("survey", "draft", "build", "verify", "publish", "migrate", "measure")
_AREAS = ("telemetry", "navigation", "billing", "search index", "ground link", "archive", "power budget")
_EVENTS = ("took", "finished", "handed over", "paused", "retried", "is waiting for review of")


def mission_state() -> dict[str, Any]:
    """Return the generated document: agents, tasks, queue, metrics, log; about 17 kB as ``json.dump`` indents it."""
    dice = random.Random(1969)
    tasks = [_task(dice, number) for number in range(32)]
    return {
        "mission": {"name": "Long Haul", "phase": "cruise", "day": 112, "controller": "Zoë Ångström", "dry_run": False},
        "agents": {name: _agent(dice, name) for name in AGENTS},
        "tasks": tasks,
        "queue": [task["id"] for task in tasks if task["state"] == "queued"],
        "metrics": {area: _metric(dice) for area in _AREAS},
        "log": [_log_entry(dice, number) for number in range(38)],
    }


def _task(dice: random.Random, number: int) -> dict[str, Any]:
    kind, area = dice.choice(_KINDS), dice.choice(_AREAS)
    return {
        "id": f"task-{number:03}",
        "title": f"{kind.capitalize()} {area}",
        "state": dice.choice(("queued", "running", "review", "done")),
        "owner": dice.choice((*AGENTS, None)),
        "priority": dice.randint(1, 5),
        "estimate_hours": round(dice.uniform(0.5, 40), 1),
        "needs": [f"task-{dice.randrange(number):03}" for _ in range(dice.randint(0, 2)) if number],
    }


def _agent(dice: random.Random, name: str) -> dict[str, Any]:
    return {
        "model": f"{name}-{dice.randint(2, 9)}",
        "status": dice.choice(("working", "idle", "waiting")),
        "skills": dice.sample(_KINDS, 3),
        "battery": round(dice.uniform(0.2, 1), 3),
        "budget": {"tokens": dice.randrange(10_000_000), "spent": dice.randrange(4_000_000)},
    }


def _metric(dice: random.Random) -> dict[str, Any]:
    series = [round(dice.gauss(50, 12), 2) for _ in range(16)]
    return {"unit": dice.choice(("ms", "%", "kB/s")), "last": series[-1], "alarm_above": 90.0, "series": series}


def _log_entry(dice: random.Random, number: int) -> dict[str, Any]:
    agent = dice.choice(AGENTS)
    return {
        "at": f"2031-04-22T{8 + number // 6:02}:{number * 10 % 60:02}:{dice.randrange(60):02}Z",
        "level": dice.choice(("info", "info", "info", "warning")),
        "agent": agent,
        "text": f"{agent} {dice.choice(_EVENTS)} task-{dice.randrange(32):03}",
    }


def read_input(path: str) -> Any:
    """Return the document of the user's file, which is only read. InputError says what is wrong."""
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read())
        as_text(document)  # so that what json can read but not write is refused here
    except OSError as error:
        raise InputError(f"--input {path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"--input {path} is not JSON: {where}: {error.msg}") from error
    except ValueError as error:  # not UTF-8, or an integer of more digits than Python converts
        raise InputError(f"--input {path} cannot be read as JSON: {error}") from error
    except RecursionError as error:
        raise InputError(f"--input {path} is nested too deeply for the json module") from error
    return document


def with_board(document: Any) -> tuple[dict[str, Any], str]:
    """Return the document with a board of the agents' check-ins, and the board's key in it.

    A dict gets the board under a key it does not have; any other document is put beside the board in a new dict.
    """
    whole = dict(document) if isinstance(document, dict) else {"document": document}
    key = "check_ins"
    while key in whole:
        key = f"_{key}"
    whole[key] = {agent: {"updates": 0, "task": None, "progress": 0.0} for agent in AGENTS}
    return whole, key


def check_in(document: Any, key: str, agent: str) -> None:
    """Change the document as ``agent`` does at each update: one more, the task it is at, how far it is."""
    entry = document[key][agent]
    entry["updates"] += 1
    entry["task"] = f"task-{entry['updates'] % 32:03}"
    entry["progress"] = entry["updates"] * 7 % 100 / 100


def counters(document: Any, key: str) -> list[int]:
    """Return how many updates of each agent the document shows, in the order of AGENTS."""
    board = document[key]
    return [board[agent]["updates"] for agent in AGENTS]


def expected(document: Any, key: str, updates: Mapping[str, int]) -> Any:
    """Return a copy of the document after that many updates of each agent; ``document`` stays as it is."""
    after = json.loads(json.dumps(document))
    for agent, count in updates.items():
        for _ in range(count):
            check_in(after, key, agent)
    return after


def as_text(document: Any) -> str:
    """Return the document as the ordinary way writes it; two with one text are equal: 1 is not 1.0, NaN is NaN."""
    return json.dumps(document, indent=2)


def has_nan(document: Any) -> bool:
    """Tell whether the document holds a NaN or an infinity, which strict JSON has no form for."""
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        return True
    return False
