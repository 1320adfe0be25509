"""Raising one error to several callers."""

from __future__ import annotations

import copy
from types import FunctionType

__all__ = ["without_frames"]


def without_frames(error: Exception) -> Exception:
    """Return a copy, which doesn't keep alive what the frames it passed through refer to; itself if there is none."""
    try:
        twin = _twin(error)
    except Exception:  # noqa: BLE001 (a class with ways of its own; it is kept as it is, for as long as it is kept)
        return error
    twin.__cause__, twin.__suppress_context__ = error.__cause__, error.__suppress_context__
    return twin


def _twin(error: Exception) -> Exception:
    """Return a copy; where the class has an ``__init__`` of its own, without calling that again."""
    cls = type(error)
    if not isinstance(cls.__init__, FunctionType):
        return copy.copy(error)
    twin = cls.__new__(cls, *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
