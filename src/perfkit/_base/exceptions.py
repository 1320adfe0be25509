"""Raising one error to several callers."""

from __future__ import annotations

from types import MemberDescriptorType

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
    """Return a faithful copy, made without calling an ``__init__`` again; raise if there is none."""
    cls = type(error)
    twin = cls.__new__(cls, *error.args)
    twin.args = error.args
    for name in _places(cls):
        _copy(name, error, twin)
    twin.__dict__.update(error.__dict__)
    return twin


def _places(cls: type) -> list[str]:
    """Return what instances have beside their ``__dict__``: slots, and what built-in exceptions keep (``errno``)."""
    bases = cls.__mro__[: cls.__mro__.index(BaseException)]
    return [name for base in bases for name, thing in vars(base).items() if isinstance(thing, MemberDescriptorType)]


def _copy(name: str, error: Exception, twin: Exception) -> None:
    missing = object()
    value = getattr(error, name, missing)
    if value is missing or getattr(twin, name, missing) is value:
        return
    setattr(twin, name, value)  # of what is read-only and differs there is no faithful copy
