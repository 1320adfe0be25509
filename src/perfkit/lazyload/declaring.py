"""`perfkit.lazy`: one module, by its name."""

from __future__ import annotations

import sys

from perfkit.lazyload import native, proxy
from perfkit.lazyload.ledger import Record, ledger
from perfkit.lazyload.loading import explained, is_eager, is_partial, load
from perfkit.lazyload.names import check as check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["lazy"]


def lazy(name: str, *, hint: str | None = None, require: str | None = None, check: bool = False) -> Any:
    """Return a module that is loaded by its first use: ``np = perfkit.lazy("numpy", hint="pip install numpy")``.

    The first use imports it, as an ``import`` there and then would, and puts the module itself under every name that
    the declaring module has for it. From there on it costs what an ordinary import costs: nothing. Copies made before,
    in attributes and lists, look their attributes up in the module too, a little slower. A module that is loaded
    already is returned as it is.

    Args:
        name: the module, absolute, such as ``"scipy.stats"``; that one is returned, not ``scipy``.
        hint: what to do if it is missing; the error says it.
        require: a package, as pip names it, and its versions, such as ``"numpy>=2,<3"``. Compared with the metadata of
            what is installed, before anything is imported, at the first use. One whose marker doesn't hold here
            (``"; python_version < '3.12'"``) asks for nothing.
        check: look now whether there is such a module, and what ``require`` asks for, without importing it. What only
            the import of a module above it would tell is left to the first use.

    Returns:
        Type checkers take it for ``Any``; ``with perfkit.lazy_imports():`` keeps types.

    Raises:
        TypeError, ValueError: the name can't be a module's, or ``require`` is no requirement.
        perfkit.errors.LazyModuleNotFound: with ``check``, there is no such module.
        perfkit.errors.LazyRequirementUnmet: with ``check``, another version is installed.

    A use raises LazyModuleNotFound, LazyRequirementUnmet or LazyImportError (all ImportErrors), with the line of the
    declaration. The next use tries again. What else the module raises while it is executed passes through, an
    ImportError of a class of its own, too.

    No use are: asking for its ``__name__``, ``repr()``, ``isinstance(np, ModuleType)``. It is not in ``sys.modules``.
    With ``PERFKIT_EAGER=1`` in the environment it is imported at once, and raises at once if it is missing. On Python
    3.15 the interpreter's own lazy imports do it, where there is no hint, no require, and the value goes to a name of a
    module.

    Thread-safe, without a lock of its own. Cost: some microseconds, and a tenth of a millisecond at the first use.
    """
    check_name(name)
    _check_texts(hint, require)
    frame = sys._getframe(1)
    module = sys.modules.get(name)
    if module is not None and require is None and not is_partial(module):
        return module
    record = ledger.record(name, frame.f_code.co_filename, frame.f_lineno, hint or "", require or "")
    if is_eager():
        return load(record)
    if check:
        _look(record)
    if not hint and not require and native.does(frame):
        return native.declare(record, frame)
    return proxy.make(name, record, frame.f_globals)


def _check_texts(hint: object, require: object) -> None:
    if not isinstance(hint, str | None):
        raise TypeError(f"hint must be a str such as 'pip install numpy', not {type(hint).__name__}")
    if require is not None:
        from perfkit.lazyload.requirements import check

        check(require)


def _look(record: Record) -> None:
    """Raise what the first use would, as far as can be told without importing."""
    from perfkit.lazyload.finding import exists
    from perfkit.lazyload.loading import meet

    if exists(record.name) is False:
        raise explained(record, ModuleNotFoundError(f"No module named {record.name!r}", name=record.name))
    meet(record)
