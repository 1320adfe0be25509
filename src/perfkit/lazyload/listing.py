"""What a stub says the names of its package are, and where each comes from. Pure.

A stub is read as type checkers read it. What they would understand and this doesn't is refused, never passed over.
"""

from __future__ import annotations

import _ast
import sys

from perfkit.lazyload.names import absolute
from perfkit.lazyload.sources import parse, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["Listing", "Origin"]

_ALL = "__all__"
_IMPORTS = _ast.Import, _ast.ImportFrom
_DEFINITIONS = _ast.FunctionDef, _ast.AsyncFunctionDef, _ast.ClassDef
_SIMPLE = *_IMPORTS, *_DEFINITIONS, _ast.Assign, _ast.AnnAssign, _ast.AugAssign, _ast.Expr, _ast.Pass


class Origin:
    """Where a name comes from: the absolute name of a module, or of what is in one, and the line in the stub."""

    __slots__ = ("is_module", "line", "name")

    def __init__(self, name: str, line: int, *, is_module: bool) -> None:
        self.name = name
        self.line = line
        self.is_module = is_module


class Listing:
    """The names of a package: ``origins``, and what is to be its ``__all__``."""

    def __init__(self, source: bytes, package: str, path: str) -> None:
        self._package = package
        self._path = path
        body = list(self._statements(parse(source, path)))
        listed = self._listed(body)
        self.origins = dict(self._origins(body, set(listed or ())))
        self.public = sorted(self.origins) if listed is None else listed
        self._refuse_unknown(body)

    def names_otherwise(self, name: str) -> bool:
        """Tell whether a name is something else than the package's module of that name."""
        origin = self.origins.get(name)
        return origin is not None and origin.name != f"{self._package}.{name}"

    def _statements(self, body: list[_ast.stmt]) -> Iterator[_ast.stmt]:
        """Yield the statements that count on this Python and system."""
        for node in body:
            if isinstance(node, _ast.If):
                yield from self._statements(node.body if self._holds(node) else node.orelse)
            elif isinstance(node, _SIMPLE):
                yield node
            else:
                kind = type(node).__name__.lower()
                raise self._refusal(node, f"has a `{kind}`: write imports, declarations and `if`")

    def _holds(self, node: _ast.If) -> bool:
        test: Any = _ast.Expression(node.test)
        try:
            told = eval(compile(test, self._path, "eval"), {"sys": sys, "TYPE_CHECKING": True})  # noqa: S307 (the package's)
        except Exception as error:  # noqa: BLE001 (whatever an expression may raise)
            asked = "`if` may ask for sys.version_info, sys.platform and TYPE_CHECKING"
            raise self._refusal(node, f"has an `if` that can't be told ({error}): {asked}") from None
        return bool(told)

    def _listed(self, body: list[_ast.stmt]) -> list[str] | None:
        """Return what the stub's ``__all__`` lists, None if it has none."""
        listed: list[str] | None = None
        for node in body:
            if isinstance(node, _ast.Expr):
                if any(isinstance(each, _ast.Name) and each.id == _ALL for each in walk([node])):
                    raise self._refusal(node, "changes `__all__` by a call: write `__all__ += [...]`")
            elif _ALL in _targets(node):
                before = (listed or []) if isinstance(node, _ast.AugAssign) else []
                listed = before + self._strings(node)
        return listed

    def _strings(self, node: Any) -> list[str]:
        """Return the strings of a list or tuple that is assigned."""
        items = getattr(node.value, "elts", None)
        if items is None or not all(isinstance(getattr(item, "value", None), str) for item in items):
            raise self._refusal(node, "has an `__all__` that is no list of strings")
        return [item.value for item in items]

    def _origins(self, body: list[_ast.stmt], listed: set[str]) -> Iterator[tuple[str, Origin]]:
        for node in body:
            if isinstance(node, _ast.ImportFrom):
                yield from self._from(node, listed)
            elif isinstance(node, _ast.Import):
                yield from self._modules(node, listed)

    def _from(self, node: _ast.ImportFrom, listed: set[str]) -> Iterator[tuple[str, Origin]]:
        home = absolute(node.module or "", node.level, self._package)
        for alias in node.names:
            if alias.name == "*":
                raise self._refusal(node, "says `import *`: list the names")
            name = alias.asname or alias.name
            if node.level or name == alias.asname == alias.name or name in listed:
                # what a package takes from itself are its modules
                yield name, Origin(f"{home}.{alias.name}", node.lineno, is_module=home == self._package)

    def _modules(self, node: _ast.Import, listed: set[str]) -> Iterator[tuple[str, Origin]]:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            if name == alias.asname == alias.name or name in listed:
                yield name, Origin(alias.name if alias.asname else name, node.lineno, is_module=True)

    def _refuse_unknown(self, body: list[_ast.stmt]) -> None:
        declared = {name for node in body for name in _targets(node)}
        unknown = [name for name in self.public if name not in self.origins and name not in declared]
        if unknown:
            raise ValueError(
                f"the stub of {self._package!r} lists {', '.join(map(repr, unknown))} in `__all__`, "
                "and neither imports nor declares it"
            )

    def _refusal(self, node: _ast.stmt, what: str) -> ValueError:
        return ValueError(f"the stub of {self._package!r}, line {node.lineno}, {what}")


def _targets(node: Any) -> list[str]:
    """Return the names that a statement declares."""
    if isinstance(node, _DEFINITIONS):
        return [node.name]
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, _ast.Name)]
