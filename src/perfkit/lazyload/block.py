"""`perfkit.lazy_imports`: ordinary import statements in a block, which wait for their first use.

Before Python 3.15 there is one way to see an ``import`` statement: `builtins.__import__`. While blocks are open it is
ours, and goes by the frame that imports; what isn't in a block goes on to the one there was.
"""

from __future__ import annotations

import _thread
import builtins
import os
import sys

from perfkit.lazyload import native, proxy
from perfkit.lazyload.finding import exists
from perfkit.lazyload.ledger import Record, ledger
from perfkit.lazyload.loading import is_eager, is_partial
from perfkit.lazyload.names import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any

__all__ = ["lazy_imports"]


class lazy_imports:  # noqa: N801 (it is used as a function)
    """A block whose imports are lazy: ``with perfkit.lazy_imports():``, at the top level of a module.

    ``import a``, ``import a.b``, ``import a.b as c`` and ``from a import module`` (also relative) bind what
    `perfkit.lazy` returns. Type checkers and editors see ordinary imports. What is loaded already is bound as it is.

    ``from a import b`` is an ordinary import where b is not a module of package a; so is ``from a import *``. Before
    Python 3.15 nothing can stand in for any object. From there on the interpreter's own lazy imports do the work, and
    these wait as well.

    Only the statements of the block itself are concerned: no import in a function or class body, in modules that are
    imported meanwhile, in other threads. After the block, however it is left, `builtins.__import__` is what it was.
    With ``PERFKIT_EAGER=1`` in the environment the block does nothing.

    Raises RuntimeError in a function or class: a local variable could not become the module.

    Thread-safe. Cost: some microseconds an import; for ``from a import b`` what it takes to look for the file a/b.
    """

    def __enter__(self) -> None:
        frame = sys._getframe(1)
        if frame.f_locals is not frame.f_globals:
            raise RuntimeError(
                "lazy_imports() is for the top level of a module; in a function, import where the module is needed, "
                "or write `name = perfkit.lazy('name')`"
            )
        self._names = frame.f_globals
        self._frame: FrameType | None = frame
        self._thread = _thread.get_ident()
        self._tops: list[proxy.LazyModule] = []
        self._natively = native.Natively(self._names) if native.is_there and not is_eager() else None
        if native.is_there or is_eager():
            return
        try:
            _open(self)
        except BaseException:  # an interrupt
            _close(self)
            raise

    def __exit__(self, *_: object) -> None:  # a bool would have type checkers doubt that the names are bound
        if self._natively:
            self._natively.end()
            return
        try:
            _close(self)
        except BaseException:  # an interrupt
            _close(self)
            raise
        finally:
            self._frame = None
            for top in self._tops:  # from now on `a.b` is a use of a
                proxy.state_of(top).children = {}

    def _is_over(self) -> bool:
        """Tell whether the module has left the block without telling: an interrupt struck where `__exit__` began."""
        try:
            if self._frame is not None:
                self._frame.clear()
        except RuntimeError:  # it is being executed
            return False
        return True

    def _declare(self, name: str, fromlist: Sequence[str], level: int, frame: FrameType) -> Any:
        """Return what a statement is to bind from, None if it is to be an ordinary import."""
        full = absolute(name, level, _package(self._names)) if level else name
        if fromlist:
            return _members(full, fromlist, self._names, frame)
        if full in sys.modules:
            return None
        top = _branch(full, _record(full, frame), self._names)
        self._tops.append(top)
        return top


class _Hook:
    """`builtins.__import__` for as long as blocks are open, and the one that was there before."""

    def __init__(self, before: Callable[..., Any]) -> None:
        self.before = before

    def __call__(
        self,
        name: str,
        globals: dict[str, Any] | None = None,  # noqa: A002 (the names that `__import__` has)
        locals: dict[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if globals is not None and locals is globals:
            frame = sys._getframe(1)
            block = next((block for block in _blocks if block._frame is frame), None)
            found = block and block._declare(name, fromlist or (), level, frame)
            if found is not None:
                return found
        return self.before(name, globals, locals, fromlist, level)


# The blocks that are open, each tuple made anew: the hook reads it without the lock. That is held while the hook comes
# or goes, never while anything is imported; it is re-entrant, for a signal handler may open a block, too.
_blocks: tuple[lazy_imports, ...] = ()
_lock = _thread.RLock()
_hook: Any = None


def _open(block: lazy_imports) -> None:
    global _blocks, _hook  # noqa: PLW0603 (as there is one `builtins.__import__`)
    with _lock:
        _blocks = (block, *_blocks)
        if _hook is None or builtins.__import__ is not _hook:
            # Another one each time: one that somebody else has wrapped in the meantime must go on to where it did.
            _hook = _Hook(builtins.__import__)
            builtins.__import__ = _hook


def _close(block: lazy_imports) -> None:
    with _lock:
        _keep([other for other in _blocks if other is not block and not other._is_over()])


def _keep(blocks: Sequence[lazy_imports]) -> None:
    global _blocks, _hook  # noqa: PLW0603
    _blocks = tuple(blocks)
    if _blocks or _hook is None:
        return
    hook, _hook = _hook, None
    before = hook.before
    if builtins.__import__ is hook:
        builtins.__import__ = before


def _after_fork_in_child() -> None:
    """Forget the blocks of threads that the child doesn't have, and a lock that one of them may have held."""
    global _lock  # noqa: PLW0603
    _lock = _thread.RLock()
    _keep([block for block in _blocks if block._thread == _thread.get_ident()])


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _package(names: dict[str, Any]) -> str:
    """Return the package that a module's relative imports start from."""
    package = names.get("__package__")
    if package is None:
        package = names["__name__"] if "__path__" in names else names["__name__"].rpartition(".")[0]
    return str(package)


def _record(name: str, frame: FrameType) -> Record:
    return ledger.record(name, frame.f_code.co_filename, frame.f_lineno)


def _branch(full: str, record: Record, names: dict[str, Any]) -> proxy.LazyModule:
    """Return the proxy of a for ``import a.b.c``, which has one for b, which has one for c."""
    root, *below = full.split(".")
    top = _declared_before(root, record, names) or proxy.make(root, record, names)
    at, so_far = top, root
    for part in below:
        so_far = f"{so_far}.{part}"
        children = proxy.state_of(at).children
        if part not in children:
            children[part] = proxy.make(so_far, record, names)
        at = children[part]
    return top


def _declared_before(root: str, record: Record, names: dict[str, Any]) -> proxy.LazyModule | None:
    """Return the proxy that the module has under that name, which then stands for this declaration too."""
    found = names.get(root)
    if not proxy.is_lazy(found):
        return None
    state = proxy.state_of(found)
    if state.module is not None or state.name != root:
        return None
    state.records.append(record)
    return found


class _Members:
    """What ``from a import b, c`` takes its names from."""


def _members(package: str, wanted: Sequence[str], names: dict[str, Any], frame: FrameType) -> _Members | None:
    """Return the modules of a package, each lazy unless it is there, None if one of the names is no module."""
    found = _Members()
    there = vars(sys.modules[package]) if package in sys.modules else {}
    for name in wanted:
        full = f"{package}.{name}"
        if name in there and not proxy.is_lazy(there[name]) and not is_partial(there[name]):
            setattr(found, name, there[name])
        elif name != "*" and exists(full):
            record = _record(full, frame)
            record.is_from = True
            setattr(found, name, proxy.make(full, record, names))
        else:
            return None
    return found
