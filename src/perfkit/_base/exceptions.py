"""Raising one error to several callers: copies, and tracebacks that keep nothing alive; and what is said of errors."""

from __future__ import annotations

from types import FunctionType, MemberDescriptorType, TracebackType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeVar

    E = TypeVar("E", bound=BaseException)

__all__ = ["annotate", "described", "outlined", "to_raise", "without_frames"]

_LONGEST = 20  # errors that led to one another
_WIDE = 200  # characters of one that is described


def without_frames(error: E) -> E:
    """Return a copy, which doesn't keep alive what the frames it passed through refer to; itself if there is none."""
    try:
        twin = _twin(error)
    except Exception:  # noqa: BLE001 (a class with ways of its own; it is kept as it is, for as long as it is kept)
        return error
    twin.__cause__, twin.__suppress_context__ = error.__cause__, error.__suppress_context__
    return twin


def outlined(error: E) -> E:
    """Return a copy to be kept: its traceback shows the lines it came by, and keeps neither frames nor callers alive.

    So it is with what led to it. An error that can't be copied is given such a traceback itself.
    """
    return _outlined(error, [])


def to_raise(error: E) -> E:
    """Return a copy of what `outlined` returned, to be raised: the frames it passes through are added to the copy.

    An error that can't be copied loses its traceback, or it would grow with every raise.
    """
    twin = without_frames(error)
    if twin is error:
        return error.with_traceback(None)
    twin.__context__ = error.__context__
    return twin.with_traceback(error.__traceback__)


def annotate(error: BaseException, heading: str, note: str) -> None:
    """Put a note on an error, instead of those with that heading: errors are raised again and again."""
    earlier = getattr(error, "__notes__", None)
    if earlier:
        error.__notes__ = [other for other in earlier if not other.startswith(heading)]
    error.add_note(note)


def described(error: BaseException) -> str:
    """Return an error in one line that is not too long."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 (its own error is of no interest here)
        text = ""
    line = " ".join(f"{type(error).__name__}: {text}".split()).removesuffix(":")
    return line if len(line) <= _WIDE else f"{line[: _WIDE - 1]}…"


def _twin(error: E) -> E:
    """Return a faithful copy, made without calling an ``__init__`` again; raise if there is none."""
    cls = type(error)
    twin = cls.__new__(cls, *error.args)
    twin.args = error.args
    for name in _places(cls):
        _copy(name, error, twin)
    twin.__dict__.update(error.__dict__)
    if isinstance(notes := twin.__dict__.get("__notes__"), list):
        twin.__notes__ = notes.copy()  # what is noted on one is nothing to the other
    return twin


def _places(cls: type) -> list[str]:
    """Return what instances have beside their ``__dict__``: slots, and what built-in exceptions keep (``errno``)."""
    bases = cls.__mro__[: cls.__mro__.index(BaseException)]
    return [name for base in bases for name, thing in vars(base).items() if isinstance(thing, MemberDescriptorType)]


def _copy(name: str, error: BaseException, twin: BaseException) -> None:
    missing = object()
    value = getattr(error, name, missing)
    if value is missing or getattr(twin, name, missing) is value:
        return
    setattr(twin, name, value)  # of what is read-only and differs there is no faithful copy


def _outlined(error: E, seen: list[BaseException]) -> E:
    seen.append(error)  # for chains may be circles
    twin = without_frames(error)
    is_suppressed = error.__suppress_context__
    twin.__cause__ = _led_by(error.__cause__, seen)
    twin.__context__ = _led_by(error.__context__, seen)
    twin.__suppress_context__ = is_suppressed  # which a cause had set
    return twin.with_traceback(_outline(error.__traceback__))


def _led_by(error: BaseException | None, seen: list[BaseException]) -> BaseException | None:
    if error is None or len(seen) >= _LONGEST or any(error is other for other in seen):
        return None
    return _outlined(error, seen)


def _outline(traceback: TracebackType | None) -> TracebackType | None:
    """Return a traceback of the same lines.

    Its frames are those of generators that were never started: they have neither variables nor a caller.
    """
    outline = None
    for entry in reversed(list(_entries(traceback))):
        code, names = entry.tb_frame.f_code, entry.tb_frame.f_globals
        line = entry.tb_lineno or code.co_firstlineno  # not every instruction has one
        blank = _blank.__code__.replace(
            co_filename=code.co_filename,
            co_name=code.co_name,
            co_qualname=code.co_qualname,
            co_firstlineno=line,
            co_linetable=_ONE_LINE,
        )
        globals_ = {name: names.get(name) for name in ("__name__", "__loader__", "__spec__")}  # the source is found by
        outline = TracebackType(outline, FunctionType(blank, globals_)().gi_frame, 0, line)
    return outline


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _blank() -> Iterator[None]:
    yield


# One entry of a table of lines: 8 instructions, without columns, on the first line (CPython's Objects/locations.md).
_ONE_LINE = bytes([0x80 | 13 << 3 | 7, 0])
