"""What figures mean, whatever part they are of: the dataclasses that ``stats()`` of each live object returns.

A class of figures may say of its fields, in plain class attributes: ``GAUGES``, which go up and down, where the other
numbers only ever grow; ``STATES``, the words that fields may hold which hold one; ``COLUMNS``, what a table shows of
them; ``UNIT``, what all of its numbers are counted in; and ``KIND``, what they are of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from math import isfinite

from perfkit._base.latency_summary import LatencySummary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

__all__ = [
    "dictionary",
    "is_figures",
    "is_summary",
    "items",
    "kind_of",
    "one_line",
    "plain",
    "sound",
    "told_apart",
    "unused",
]

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def kind_of(figures: object) -> str:
    """Return what the figures are of: their ``KIND``, or the name of their class: "state file" of StateFileStats."""
    kind: str | None = getattr(figures, "KIND", None)
    return kind or _WORDS.sub(" ", type(figures).__name__.removesuffix("Stats")).lower()


def is_figures(value: object) -> bool:
    """Tell whether these are figures that have figures in them: a dataclass, or a named tuple."""
    return (is_dataclass(value) and not isinstance(value, type)) or hasattr(value, "_fields")


def items(figures: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each figure."""
    names = figures._fields if hasattr(figures, "_fields") else [field.name for field in fields(figures)]
    return ((name, getattr(figures, name)) for name in names)


def plain(value: Any) -> Any:
    """Return figures as JSON can hold them: dictionaries, lists, texts, finite numbers, True, False and None."""
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None  # infinity is no limit; there is no word for it in JSON
    if is_figures(value):
        return {name: plain(inner) for name, inner in items(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return sound(value)


def dictionary(snapshots: Iterable[Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of all objects by part: for each a dictionary with its kind, its name, and its figures."""
    found: dict[str, list[dict[str, Any]]] = {}
    for part, name, figures in snapshots:
        found.setdefault(part, []).append({"kind": kind_of(figures), "name": sound(name)} | _plain_items(figures))
    return found


def _plain_items(figures: Any) -> dict[str, Any]:
    told = plain(figures)
    return told if isinstance(told, dict) else {"figures": told}


def told_apart(snapshots: Iterable[Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield kind, name and figures of each; a name that two of a kind have is numbered, as in "db (2)"."""
    met: set[tuple[str, str]] = set()
    for _, name, figures in snapshots:
        kind = kind_of(figures)
        yield kind, unused(sound(name), met, kind), figures


def unused(name: str, met: set[tuple[str, str]], kind: str) -> str:
    """Return a name that none of its kind has had, and note it."""
    numbered, number = name, 1
    while (kind, numbered) in met:
        number += 1
        numbered = f"{name} ({number})"
    met.add((kind, numbered))
    return numbered


def sound(text: object) -> str:
    """Return a text that can be encoded: a file's name that is no UTF-8 has surrogates in it."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Return a text as one line of a table, with what can't be printed escaped."""
    return text if text.isprintable() else repr(text)[1:-1]


def is_summary(value: object) -> bool:
    """Tell whether these are the figures of durations."""
    return isinstance(value, LatencySummary)
