"""`perfkit.attach_stub`: the names of a package, each loaded by its first use, as the stub beside it lists them."""

from __future__ import annotations

import _ast
import sys

from perfkit.lazyload.ledger import ledger
from perfkit.lazyload.loading import is_eager, is_partial, load
from perfkit.lazyload.names import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from perfkit.lazyload.ledger import Record

__all__ = ["attach_stub"]


def attach_stub(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Have a package load its names by their first use, as a stub lists them.

    In the package's ``__init__.py``: ``__getattr__, __dir__, __all__ = perfkit.attach_stub(__name__, __file__)``.
    Beside it, ``__init__.pyi`` has the imports that the package would have had. Type checkers and editors read it::

        from . import io
        from .filters import blur, sharpen as sharpen

    Relative imports are names of the package. Absolute ones are, if they are written ``from a import b as b`` or are in
    the stub's ``__all__``; else they are there for the stub's own annotations. If there is an ``__all__``, it is what
    you get back; if not, all names. The first use of a name binds it in the package.

    Args:
        package: the package's ``__name__``.
        file: its ``__file__``. The stub has to be installed with it.

    Returns:
        ``(__getattr__, __dir__, __all__)``.

    Raises:
        OSError: the stub is not there, or can't be read.
        SyntaxError: it is not Python.
        ValueError: it imports ``*``.

    With ``PERFKIT_EAGER=1`` in the environment all names are loaded at once. Thread-safe, without a lock of its own.
    Cost: reading the stub, some tenths of a millisecond; once a name, its import.
    """
    path = f"{file.rpartition('.')[0]}.pyi"
    body = _body(_read(package, path), path)
    listed = _listed(body)
    sources = {name: _record(source, package, path) for name, source in _names(body, package, listed or [])}
    public = sorted(sources) if listed is None else listed

    def __getattr__(name: str) -> Any:  # noqa: N807 (it becomes the package's)
        if name not in sources:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = load(sources[name])
        if not is_partial(value):
            setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807
        return sorted({*vars(sys.modules[package]), *sources})

    if is_eager():
        for name in sources:
            __getattr__(name)
    return __getattr__, __dir__, list(public)


def _read(package: str, path: str) -> bytes:
    """Read a file of a package, wherever that is: in a directory, or an archive."""
    loader = getattr(getattr(sys.modules.get(package), "__spec__", None), "loader", None)
    try:
        if hasattr(loader, "get_data"):
            return loader.get_data(path)  # type: ignore[union-attr, no-any-return]
        with open(path, "rb") as opened:
            return opened.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, "attach_stub() reads the names from a stub beside __init__.py, and installed with it", path
        ) from None


def _body(source: bytes, path: str) -> list[_ast.stmt]:
    """Parse a stub; the module `ast` takes longer to import than that."""
    tree: Any = compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    return tree.body  # type: ignore[no-any-return]


def _listed(body: list[_ast.stmt]) -> list[str] | None:
    """Return what the stub's ``__all__`` lists, None if it has none."""
    for node in body:
        if not isinstance(node, _ast.Assign) or not isinstance(node.value, _ast.List | _ast.Tuple):
            continue
        if getattr(node.targets[0], "id", None) == "__all__":
            return [item.value for item in node.value.elts if isinstance(item, _ast.Constant)]  # type: ignore[misc]
    return None


def _names(body: list[_ast.stmt], package: str, listed: list[str]) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield each name of the package, and where it comes from: the absolute name, and the line in the stub."""
    for node in body:
        if not isinstance(node, _ast.ImportFrom):
            continue
        home = absolute(node.module or "", node.level, package)
        for alias in node.names:
            if alias.name == "*":
                raise ValueError(f"the stub of {package!r} says `import *` in line {node.lineno}: list the names")
            name = alias.asname or alias.name
            if node.level or name == alias.asname == alias.name or name in listed:
                yield name, (f"{home}.{alias.name}", node.lineno)


def _record(source: tuple[str, int], package: str, path: str) -> Record:
    name, line = source
    record = ledger.record(name, path, line)
    record.is_from = name.rpartition(".")[0] != package  # what a package takes from itself are its modules
    return record
