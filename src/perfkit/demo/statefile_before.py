"""State files the ordinary way: what people write with the standard library alone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Ordinary", "TornFile", "load_state", "save_state"]

_TRIES, _WAIT = 5, 0.005  # the wait in seconds, several times what a save takes


class TornFile(ValueError):
    """The file was not the program's JSON at any of the tries."""


def load_state(path: str) -> Any:
    """Return the document of the file."""
    with open(path) as file:
        return json.load(file)


def save_state(path: str, state: Any) -> None:
    """Write the document over the file."""
    with open(path, "w") as file:
        json.dump(state, file, indent=2)


class Ordinary:
    """One process's use of the file: `poll` as a dashboard does, `update` as an agent does."""

    def __init__(self, path: str) -> None:
        self._path = path

    def poll(self) -> Any:
        """Return the document. Raises ValueError while somebody saves it."""
        return load_state(self._path)

    def update(self, change: Callable[[Any], None]) -> None:
        """Load, change and save. Raises TornFile after some tries.

        Where the file is torn it tries again a little later, as a program does that has met this before.
        """
        for _ in range(_TRIES):
            try:
                state = load_state(self._path)
                change(state)
            except (ValueError, LookupError, TypeError):  # half a file, or a mixture of two
                time.sleep(_WAIT)
            else:
                save_state(self._path, state)
                return
        raise TornFile(self._path)
