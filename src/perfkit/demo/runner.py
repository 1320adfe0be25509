"""Finds the demo's parts, runs them one after the other, and writes what they found for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perfkit.demo.results import Options, PartResult, Progress

__all__ = ["PARTS", "SCHEMA", "failures", "machine", "machine_report", "run_parts", "write_json", "write_text"]

# name -> (module, what --help says of it), in the order they run: being named here is being in the demo
PARTS = {
    "statefile": ("perfkit.demo.statefile", "JSON state files: five agents update one, a dashboard polls it"),
    "caching": ("perfkit.demo.caching", "a search front asked the same things again, and by a crowd"),
    "resilience": ("perfkit.demo.resilience", "a service that goes down and comes back, and a crowd of callers"),
    "pooling": ("perfkit.demo.pooling", "pools: a server behind a login, and it restarts under its callers"),
    "memory": ("perfkit.demo.memory", "a program that would be killed at its limit lives"),
    "lazyload": ("perfkit.demo.lazyload", "lazy imports: a tool with seven packages, started again and again"),
    "smtp": ("perfkit.demo.smtp", "mail: a server 20 ms away, and one that ends connections"),
    "sqlite": ("perfkit.demo.sqlite", "a hundred agents remember, others recall, and some give up"),
    "app": ("perfkit.demo.app", "a whole application, both ways; ten seconds or so, only if named"),
}
_ONLY_IF_NAMED = {"app"}  # it uses the parts that the others show one by one

# The version of the layout of machine_report(): raised when a field goes away or changes its meaning.
SCHEMA = 1


def run_parts(names: Sequence[str], options: Options, progress: Progress) -> Iterator[PartResult]:
    """Run each part of ``names`` once and yield its result as soon as it is there; all but `app` if empty.

    A part is imported when its turn comes. Raises what the part raises (DemoError, InputError, OSError), and KeyError
    for a name that is not in PARTS.
    """
    from importlib import import_module

    chosen = dict.fromkeys(names or [name for name in PARTS if name not in _ONLY_IF_NAMED])
    for number, name in enumerate(chosen, 1):
        module, _ = PARTS[name]
        yield import_module(module).run(options, _numbered(progress, number, len(chosen)))


def _numbered(progress: Progress, number: int, count: int) -> Progress:
    """Say which of several parts it is before what is being done."""
    if count == 1:
        return progress
    return lambda doing: progress(f"part {number} of {count}, {doing}")


def failures(results: Sequence[PartResult]) -> list[str]:
    """Name each check that did not pass, a line each, with what was counted."""
    return [
        f"check failed: {result.name}: {check.what}: with perfkit {check.after.bad} of {check.after.of}, "
        f"the ordinary way {check.before.bad} of {check.before.of}"
        for result in results
        for check in result.failed
    ]


def machine() -> dict[str, Any]:
    """Return what the figures were measured with and on."""
    import os
    import platform

    from perfkit._version import __version__

    return {
        "perfkit": __version__,
        "python": {"implementation": platform.python_implementation(), "version": platform.python_version()},
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def machine_report(results: Sequence[PartResult], options: Options) -> dict[str, Any]:
    """Return the whole run as a JSON document: durations in seconds, sizes in bytes, speed-ups as ratios of medians."""
    return {
        "schema": SCHEMA,
        **machine(),
        "quick": options.quick,
        "passed": not any(result.failed for result in results),
        "parts": [result.as_json() for result in results],
    }


def write_json(path: str, report: dict[str, Any]) -> None:
    """Write ``report`` to ``path`` as `write_text` does."""
    import json

    write_text(path, json.dumps(report, indent=2) + "\n")


def write_text(path: str, text: str) -> None:
    """Write ``text`` to ``path``, or to stdout if that is ``-``.

    A file is replaced at once or not at all; a pipe or a device is written into. Raises OSError, and then a file that
    was there is as it was.
    """
    import os

    from perfkit._base import atomic

    if path == "-":
        print(text, end="", flush=True)
        return
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):  # /dev/null must stay a device
        with open(target, "w", encoding="utf-8") as sink:
            sink.write(text)
        return
    directory, name = os.path.split(target)
    temp = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    atomic.replace(target, text.encode(), temp=temp, durability="process")
