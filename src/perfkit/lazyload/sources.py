"""What sources say without being executed. Pure; by `_ast`, for the module `ast` takes longer to import than that."""

from __future__ import annotations

import _ast

from perfkit.lazyload.names import absolute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["binds_otherwise", "parse", "walk"]


def parse(source: bytes, path: str) -> list[_ast.stmt]:
    """Return the statements of a source."""
    tree: Any = compile(source, path, "exec", _ast.PyCF_ONLY_AST, dont_inherit=True)
    body: list[_ast.stmt] = tree.body
    return body


def binds_otherwise(source: bytes, package: str, name: str) -> bool:
    """Tell whether a package's ``__init__.py`` binds a name to something else than its module of that name.

    What ``import *`` brings isn't known, and doesn't count.
    """
    return any(_binds(node, package, name) for node in walk(parse(source, package)))


def walk(nodes: list[_ast.stmt]) -> Iterator[Any]:
    """Yield the nodes and what is in them, but for the inside of functions and classes."""
    waiting: list[Any] = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, _ast.FunctionDef | _ast.AsyncFunctionDef | _ast.ClassDef | _ast.Lambda):
            waiting += _below(node)


def _binds(node: Any, package: str, name: str) -> bool:
    if isinstance(node, _ast.Name):
        return node.id == name and isinstance(node.ctx, _ast.Store)
    if isinstance(node, _ast.FunctionDef | _ast.AsyncFunctionDef | _ast.ClassDef):
        return node.name == name
    if isinstance(node, _ast.Import):
        return any(_bound(alias) == name and alias.name != f"{package}.{name}" for alias in node.names)
    if isinstance(node, _ast.ImportFrom):
        home = absolute(node.module or "", node.level, package)
        return any(_bound(alias) == name and (home, alias.name) != (package, name) for alias in node.names)
    return False


def _bound(alias: _ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _below(node: Any) -> list[Any]:
    """Return the nodes that a node has."""
    below: list[Any] = []
    for field in node._fields:
        value = getattr(node, field, None)
        below += value if isinstance(value, list) else [value]
    return [each for each in below if isinstance(each, _ast.AST)]
