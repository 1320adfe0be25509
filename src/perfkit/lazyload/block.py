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
from perfkit.lazyload.finding import exists, is_module
from perfkit.lazyload.ledger import Record, ledger
from perfkit.lazyload.loading import carry_out, is_eager, is_partial
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

    ``from a import b`` is an ordinary import where b is not a module of package a, or where ``a/__init__.py`` gives the
    name to something else, too; so is ``from a import *``. Before Python 3.15 nothing can stand in for any object. From
    there on the interpreter's own lazy imports do the work, and these wait as well. `lazy_report` lists what has not
    waited as ``"eager"``.

    Only the statements of the block itself are concerned: no import in a function or class body, in modules that are
    imported meanwhile, in other threads. After the block, however it is left, `builtins.__import__` is what it was.
    With ``PERFKIT_EAGER=1`` in the environment the block does nothing.

    Raises RuntimeError in a function or class, where a local variable could not become the module, and if this very
    block is open already.

    Thread-safe. Cost: some microseconds an import; for ``from a import b`` what it takes to look for the file a/b, and
    to read ``a/__init__.py`` where that has the name b in it.
    """

    _frame: FrameType | None = None

    if not TYPE_CHECKING:  # type checkers know what a class without arguments is

        def __init__(self, *decorated: object) -> None:
            if decorated:
                raise TypeError("lazy_imports is a block, no decorator: write `with perfkit.lazy_imports():`")

    def __enter__(self) -> None:
        if self._frame is not None:
            raise RuntimeError("this block is open already: write `with perfkit.lazy_imports():` for another one")
        frame = sys._getframe(1)
        if frame.f_locals is not frame.f_globals:
            raise RuntimeError(
                "lazy_imports() is for the top level of a module; in a function, import where the module is needed, "
                "or write `name = perfkit.lazy('name')`"
            )
        self._names = frame.f_globals
        self._frame = frame
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
            if self._frame is not None and not _is_suspended(self._frame):
                self._frame.clear()
                return True
        except RuntimeError:  # it is being executed
            return False
        return self._frame is None

    def _declare(self, name: str, fromlist: Sequence[str], level: int, frame: FrameType) -> Any:
        """Return what a statement is to bind from, None if it is to be an ordinary import."""
        full = absolute(name, level, _package(self._names)) if level else name
        if fromlist:
            return _members(full, fromlist, self._names, frame)
        if full in sys.modules or _is_surely_missing(full):
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
        locals: dict[str, Any] | None = None,  # noqa: A002 (likewise)
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if globals is not None and locals is globals:
            frame = sys._getframe(1)
            block = next((block for block in _blocks if block._frame is frame), None)
            found = block and block._declare(name, fromlist or (), level, frame)
            if found is not None:
                return found
            if block and fromlist:
                return _at_once(name, level, frame, lambda: self.before(name, globals, locals, fromlist, level))
        return self.before(name, globals, locals, fromlist, level)


# The blocks that are open, each tuple made anew: the hook reads it without the lock. That is held while the hook comes
# or goes, never while anything is imported; it is re-entrant, for a signal handler may open a block, too.
_blocks: tuple[lazy_imports, ...] = ()
_lock = _thread.RLock()


def _open(block: lazy_imports) -> None:
    global _blocks  # noqa: PLW0603 (as there is one `builtins.__import__`)
    with _lock:
        _blocks = (block, *_blocks)
        if type(builtins.__import__) is not _Hook:
            # Another one each time: one that somebody else has wrapped in the meantime must go on to where it did.
            hook: Any = _Hook(builtins.__import__)
            builtins.__import__ = hook


def _close(block: lazy_imports) -> None:
    with _lock:
        _keep([other for other in _blocks if other is not block and not other._is_over()])


def _keep(blocks: Sequence[lazy_imports]) -> None:
    global _blocks  # noqa: PLW0603 (likewise)
    _blocks = tuple(blocks)
    while not _blocks and isinstance(hook := builtins.__import__, _Hook):  # several, if one was wrapped for a while
        builtins.__import__ = hook.before


def _after_fork_in_child() -> None:
    """Forget the blocks of threads that the child doesn't have, and a lock that one of them may have held."""
    global _lock  # noqa: PLW0603 (the one that a thread of the parent may hold must not be used again)
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


def _is_suspended(frame: FrameType) -> bool:
    """Tell whether a frame waits for being resumed, as a cell of a notebook does that awaits at its top level.

    Clearing it would close it, before Python 3.13.
    """
    from opcode import opmap

    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == opmap["YIELD_VALUE"]


def _record(name: str, frame: FrameType) -> Record:
    return ledger.record(name, frame.f_code.co_filename, frame.f_lineno)


def _at_once(name: str, level: int, frame: FrameType, importing: Callable[[], Any]) -> Any:
    """Carry out a statement of a block that can't wait, and note that, unless the module is there already."""
    full = absolute(name, level, _package(frame.f_globals)) if level else name
    if full in sys.modules:
        return importing()
    record = _record(full, frame)
    record.is_eager = True
    return carry_out(record, lambda _: importing())


def _is_surely_missing(full: str) -> bool:
    """Tell whether a package that is loaded has no such module, so that importing it fails at once."""
    return full.partition(".")[0] in sys.modules and exists(full) is False


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
    """Return the proxy that the module itself has made under that name, which then stands for this declaration too."""
    found = names.get(root)
    if not proxy.is_lazy(found):
        return None
    state = proxy.state_of(found)
    if state.names is not names or state.name != root:  # it was made elsewhere, or is loaded
        return None
    state.records.append(record)
    return found


class _Members:
    """What ``from a import b, c`` takes its names from."""


def _members(package: str, wanted: Sequence[str], names: dict[str, Any], frame: FrameType) -> _Members | None:
    """Return the modules of a package, each lazy unless it is there, None if one of the names is no module."""
    found = _Members()
    there = getattr(sys.modules.get(package), "__dict__", {})
    for name in wanted:
        full = f"{package}.{name}"
        if name in there and not proxy.is_lazy(there[name]) and not is_partial(there[name]):
            setattr(found, name, there[name])
        elif name != "*" and is_module(package, name):
            record = _record(full, frame)
            record.is_from = True
            setattr(found, name, proxy.make(full, record, names))
        else:
            return None
    return found
