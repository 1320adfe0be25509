"""State files with perfkit: the same operations, through its public names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import perfkit

__all__ = ["WithPerfkit"]


class WithPerfkit:
    """One process's use of the file: `poll` as a dashboard does, `update` as an agent does."""

    def __init__(self, path: str, durability: Literal["process", "power"], allow_nan: bool) -> None:
        self._state = perfkit.StateFile(path, durability=durability, allow_nan=allow_nan)

    def poll(self) -> Any:
        """Return the document, frozen."""
        return self._state.view()

    def update(self, change: Callable[[Any], None]) -> None:
        """Load, change and save, alone with the file."""
        with self._state.edit() as document:
            change(document)
