"""The load itself: an ordinary import, measured, whose failures say where the module was declared and what to do.

No lock of ours: importlib's own have each module executed once and see through circles of threads; any other would be
one more to wait for. So this goes through `__import__`, as a statement does, and waits where that would.
"""

from __future__ import annotations

import builtins
import sys
from os import environ
from time import perf_counter, time

from perfkit.lazyload.ledger import Attempt, Record, ledger
from perfkit.lazyload.names import is_absence_of
from perfkit.lazyload.resident import resident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from perfkit.lazyload.errors import LazyImportError

__all__ = ["explained", "is_eager", "is_partial", "load", "meet"]

_SWITCH = "PERFKIT_EAGER"


def is_eager() -> bool:
    """Tell whether the environment asks for ordinary imports."""
    return environ.get(_SWITCH, "0") not in {"", "0"}


def load(record: Record) -> Any:
    """Import what the record names, and note how that went.

    Raises LazyImportError in place of an ImportError; what else a module raises passes, with a note.
    """
    if record.is_done:
        return _imported(record)
    attempt = Attempt(perf_counter(), time(), resident(), _user())
    record.attempts.append(attempt)
    try:
        meet(record)
        module = _imported(record)
    except BaseException as error:
        record.attempts.remove(attempt)
        record.error = f"{type(error).__name__}: {error}"
        raise
    if is_partial(module):  # a circle: this load is not over
        record.attempts.remove(attempt)
    else:
        _note(record)
    return module


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
    try:
        return _from(record.name) if record.is_from else _module(record.name, "__name__")
    except ImportError as error:
        raise explained(record, error) from error
    except Exception as error:
        error.add_note(f"{record.name!r} was declared lazily at {record.declared_at}")
        raise


def _module(name: str, wanted: str) -> Any:
    """Import a module, and what is wanted from it if that is a module.

    Who has waited for another thread's load is given that module even if the load has failed, and nobody else is: then
    it is not in ``sys.modules``, and is asked for again.
    """
    for _ in range(100):  # each time another thread has failed; who fails himself raises
        module = builtins.__import__(name, None, None, (wanted,))
        if sys.modules.get(name) is module:
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
    first = record.attempts[0]
    now = resident()
    record.error = ""
    record.rss = None if now is None or first.rss is None else now - first.rss
    record.seconds = perf_counter() - first.started
    ledger.show()


def _user() -> FrameType:
    """Return the frame of the code that made us load: the first that is neither ours nor importlib's."""
    frame = sys._getframe(2)
    while frame.f_back and str(frame.f_globals.get("__name__")).startswith(("perfkit.lazyload", "importlib.")):
        frame = frame.f_back
    return frame


def explained(record: Record, error: ImportError) -> LazyImportError:
    """Return the error to raise: what the import said, where it was declared, and the hint if it is what is missing."""
    from perfkit.lazyload.errors import LazyImportError, LazyModuleNotFound

    kind = LazyModuleNotFound if isinstance(error, ModuleNotFoundError) else LazyImportError
    hint = record.hint if is_absence_of(record.name, error.name) and kind is LazyModuleNotFound else ""
    return _error(kind, record, str(error), hint=hint, name=error.name, path=error.path)


def _error(kind: type[LazyImportError], record: Record, said: str, *, hint: str, **facts: object) -> LazyImportError:
    message = f"{said} ({record.name!r} was declared lazily at {record.declared_at})"
    return kind(
        f"{message}; {hint}" if hint else message,
        module=record.name,
        declared_at=record.declared_at,
        hint=record.hint,
        **facts,
    )
