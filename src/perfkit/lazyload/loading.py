"""The load itself: an ordinary import, measured, whose failures say where the module was declared and what to do.

No lock of ours: importlib's own have each module executed once and see through circles of threads; any other would be
one more to wait for. So this goes through `__import__`, as a statement does, and waits where that would.
"""

from __future__ import annotations

import builtins
import sys
from os import environ
from time import perf_counter, time

from perfkit._base.resident import resident
from perfkit.lazyload.ledger import Attempt, Record, ledger
from perfkit.lazyload.names import is_absence_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

    from perfkit.lazyload.errors import LazyImportError

__all__ = ["carry_out", "explained", "is_eager", "is_partial", "load", "meet", "says_more"]

_SWITCH = "PERFKIT_EAGER"


def is_eager() -> bool:
    """Tell whether the environment asks for ordinary imports."""
    return environ.get(_SWITCH, "0") not in {"", "0"}


def load(record: Record) -> Any:
    """Import what the record names, and note how that went.

    Raises LazyImportError in place of an ImportError; what else a module raises passes, with a note.
    """
    return carry_out(record, _imported)


def carry_out(record: Record, importing: Callable[[Record], Any]) -> Any:
    """Import something for a record, and note how that went."""
    attempt = Attempt(perf_counter(), time(), _occupied(), _user())
    if not record.is_done:
        record.attempts.append(attempt)
    try:
        module = importing(record)
    except BaseException as error:
        _forget(record, attempt)
        record.failed = attempt
        record.error = f"{type(error).__name__}: {_said(error)}"
        raise
    if is_partial(module):  # a circle: this load is not over
        _forget(record, attempt)
    else:
        _note(record)
    return module


def _forget(record: Record, attempt: Attempt) -> None:
    if attempt in record.attempts:
        record.attempts.remove(attempt)


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:  # noqa: BLE001 (an error's own __str__ may raise anything)
        return f"({type(another).__name__} when it was asked what it says)"


def _occupied() -> int | None:
    return resident() if resident else None


def is_partial(module: object) -> bool:
    """Tell whether a module is still being executed, as in a circle of imports."""
    return getattr(getattr(module, "__spec__", None), "_initializing", False) is True


def meet(record: Record) -> None:
    """Raise LazyRequirementUnmet if the package that is installed is not the one that is asked for."""
    if not record.require:
        return
    from perfkit.lazyload import requirements
    from perfkit.lazyload.errors import LazyRequirementUnmet

    objection = requirements.objection(record.require)
    if objection:
        raise _error(LazyRequirementUnmet, record, objection, hint=record.hint, name=record.name)


def _imported(record: Record) -> Any:
    if not record.is_done:
        meet(record)
    try:
        return _from(record.name) if record.is_from else _module(record.name, "__name__")
    except Exception as error:
        if not isinstance(error, ImportError) or type(error) not in {ImportError, ModuleNotFoundError}:
            _remark(error, f"{record.name!r} was declared lazily at {record.declared_at}")
            raise  # also an ImportError of a class of its own, which is what callers catch
        cause = error if says_more(error.__traceback__) else None
        raise explained(record, error) from cause


def _remark(error: Exception, note: str) -> None:
    """Add a note, once: some raise the same error each time."""
    if note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _module(name: str, wanted: str) -> Any:
    """Import a module, and what is wanted from it if that is a module.

    Who has waited for another thread's load is given that module even if the load has failed, and nobody else is: then
    it is not in ``sys.modules``, and is asked for again. What somebody else's `__import__` returns is taken as it is.
    """
    for _ in range(100):  # each time another thread has failed; who fails himself raises
        module = builtins.__import__(name, None, None, (wanted,))
        if sys.modules.get(name) is module or getattr(getattr(module, "__spec__", None), "name", None) != name:
            break
    return module


def _from(name: str) -> Any:
    """Do what ``from package import name`` does: an attribute goes before a module."""
    home, _, leaf = name.rpartition(".")
    package = _module(home, leaf)
    nothing = object()
    value = getattr(package, leaf, nothing)
    if value is not nothing:
        return _itself(value, name)
    try:
        return sys.modules[name]  # in a circle: it isn't the package's attribute yet
    except KeyError:
        path = getattr(package, "__file__", None)
        raise ImportError(f"cannot import name {leaf!r} from {home!r} ({path})", name=home, path=path) from None


def _itself(value: Any, name: str) -> Any:
    """Return what a package has, or what it has declared lazily, maybe as the very module that is wanted."""
    from perfkit.lazyload import proxy

    if not proxy.is_lazy(value):
        return value
    return _module(name, "__name__") if proxy.state_of(value).name == name else proxy.resolve(value)


def _note(record: Record) -> None:
    """Write down how long the load took, and how much memory, since the first who wanted it asked for it."""
    record.error = ""
    if record.is_done:
        return
    first = record.attempts[0]
    now = _occupied()
    record.rss = None if now is None or first.rss is None else now - first.rss
    record.seconds = perf_counter() - first.started
    ledger.show()


def _user() -> FrameType:
    """Return the frame of the code that made us load: the first that is neither ours nor importlib's."""
    frame = sys._getframe(2)
    while frame.f_back and _is_ours(frame):
        frame = frame.f_back
    return frame


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(("perfkit.lazyload", "importlib."))


def says_more(traceback: TracebackType | None) -> bool:
    """Tell whether a traceback leads through other code than ours and importlib's."""
    while traceback and _is_ours(traceback.tb_frame):
        traceback = traceback.tb_next
    return traceback is not None


def explained(record: Record, error: ImportError) -> LazyImportError:
    """Return the error to raise: what the import said, where it was declared, and the hint if it is what is missing."""
    from perfkit.lazyload.errors import LazyImportError, LazyModuleNotFound

    kind = LazyModuleNotFound if isinstance(error, ModuleNotFoundError) else LazyImportError
    hint = record.hint if is_absence_of(record.name, error.name) and kind is LazyModuleNotFound else ""
    said = f"{error}{_attribute(record)}" if error.name == record.name else str(error)
    return _error(kind, record, said, hint=hint, name=error.name, path=error.path)


def _attribute(record: Record) -> str:
    """Say how to get an attribute of a module that was taken for a module."""
    home, _, leaf = record.name.rpartition(".")
    if leaf not in getattr(sys.modules.get(home), "__dict__", {}):
        return ""
    return f"; {home!r} has an attribute {leaf!r}: perfkit.lazy({home!r}).{leaf}"


def _error(kind: type[LazyImportError], record: Record, said: str, *, hint: str, **facts: object) -> LazyImportError:
    message = f"{said} ({record.name!r} was declared lazily at {record.declared_at})"
    return kind(
        f"{message}; {hint}" if hint else message,
        module=record.name,
        declared_at=record.declared_at,
        hint=record.hint,
        **facts,
    )
