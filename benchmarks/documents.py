"""The documents the benchmarks work on: the state of a mission-control dashboard, the same bytes on every machine."""

import bisect
import json
import random
from typing import Any

SIZES = {"17 KB": 17_000, "200 KB": 200_000, "1 MB": 1_000_000}

_AGENTS = ("orbit", "relay", "survey", "archive", "watch")
_STATES = ("queued", "running", "blocked", "done", "failed")
_WORDS = ("calibrate", "antenna", "burn", "window", "telemetry", "frame", "uplink", "thermal", "margin", "battery")


def mission_state(size: int) -> dict[str, Any]:
    """Return a state whose ``json.dump(indent=2)`` takes ``size`` bytes, or less by up to 2 %.

    ``counter`` starts at 0: it is the one key that the benchmarks read and change.
    """
    rng = random.Random(size)
    tasks = [_task(rng, number) for number in range(size // 250)]
    samples = [[number * 5, *(rng.randrange(100) for _ in range(4))] for number in range(len(tasks))]
    frame = {
        "mission": "perseid-7",
        "updated_at": "2025-03-01T12:00:00Z",
        "counter": 0,
        "agents": {name: _agent(rng, name) for name in _AGENTS},
    }

    def grown(n: int) -> dict[str, Any]:
        return {
            **frame,
            "tasks": tasks[:n],
            "metrics": {"fields": ["at", "cpu", "disk", "link", "power"], "samples": samples[:n]},
        }

    return grown(bisect.bisect(range(len(tasks)), size, key=lambda n: len(as_bytes(grown(n)))) - 1)


def as_bytes(document: object) -> bytes:
    """Return what ``json.dump(document, file, indent=2)`` writes."""
    return json.dumps(document, indent=2).encode()


def _agent(rng: random.Random, name: str) -> dict[str, Any]:
    return {
        "status": rng.choice(("idle", "busy", "offline")),
        "host": f"{name}.mission.example",
        "last_seen": 1_740_830_400 + rng.random() * 3600,
        "load": [round(rng.random() * 4, 2) for _ in range(3)],
        "current_task": rng.randrange(1000),
        "errors": rng.randrange(5),
    }


def _task(rng: random.Random, number: int) -> dict[str, Any]:
    state = rng.choice(_STATES)
    return {
        "id": number,
        "title": " ".join(rng.choices(_WORDS, k=3)),
        "agent": rng.choice(_AGENTS),
        "state": state,
        "priority": rng.randrange(1, 6),
        "progress": round(rng.random(), 2),
        "done": state == "done",
        "attempts": rng.randrange(4),
        "depends_on": sorted(rng.sample(range(1000), k=rng.randrange(4))),
        "note": None if rng.random() < 0.5 else f"{rng.choice(_WORDS)} \u2013 ok",
    }
