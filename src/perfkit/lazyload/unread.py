"""Which imports of a program did no line that ran read? Its sources tell, with the lines that ran. Pure.

Where that is in doubt an import counts as read: a local variable of the same name, or an attribute of that name which
another file takes from a package.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from perfkit.lazyload.names import absolute

__all__ = ["Source", "Unread", "unread"]


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the program: what its module is called, the package it is in, its text, and the lines that ran.

    ``eager`` are the lines of statements in lazy blocks that were carried out at once.
    """

    module: str
    package: str
    text: str
    lines: frozenset[int]
    eager: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Unread:
    """An import that no line read: where, what it is as a statement by itself, and the module that it loads.

    ``is_module`` tells whether a module is bound, which can be lazy; an attribute can't, before Python 3.15.
    ``readers`` are the lines that would read it.
    """

    file: str
    line: int
    statement: str
    module: str
    is_module: bool
    readers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Binding:
    """A name that an import binds."""

    name: str
    line: int
    statement: str
    home: str  # the module it is taken from, "" for a plain import
    member: str  # what it is there
    module: str  # the module that is loaded for it
    is_module: bool
    waits: bool  # until it is read


def unread(sources: Mapping[str, Source], modules: Collection[str]) -> list[Unread]:
    """Return the imports that nothing read, of modules that nothing else in the program's own files reads.

    ``modules`` are the names of all modules that were loaded.
    """
    files = {name: _File(source, modules) for name, source in sources.items()}
    found: list[tuple[str, _Binding]] = []
    needed: set[str] = set()
    for name, file in files.items():
        others = [other for other in files.values() if other is not file]
        for binding in file.bindings:
            if file.reads(binding.name) or any(other.takes(binding.name, file) for other in others):
                needed.add(binding.module)
            elif not binding.waits:
                found.append((name, binding))
    return [_described(name, files[name], binding) for name, binding in found if binding.module not in needed]


def _described(name: str, file: _File, binding: _Binding) -> Unread:
    readers = tuple(sorted(file.names.get(binding.name, ())))
    return Unread(name, binding.line, binding.statement, binding.module, binding.is_module, readers)


class _File:
    """What a source imports at its top level, in lines that ran, and what it reads."""

    def __init__(self, source: Source, modules: Collection[str]) -> None:
        tree = ast.parse(source.text)
        self.source = source
        self.names: dict[str, set[int]] = {}  # name -> the lines that read it, whether they ran or not
        self.attributes: set[str] = set()  # those that lines which ran ask for
        bindings = [
            binding
            for node, is_lazy in _top_level(tree.body)
            for binding in self._bindings(node, modules, waits=is_lazy and node.lineno not in source.eager)
        ]
        self.bindings = [binding for binding in bindings if binding.name != "*"]
        self._taken = {
            (binding.home, binding.member)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for binding in self._bindings(node, modules)
        }
        for node in _evaluated(tree, annotations=not _defers_annotations(tree)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.names.setdefault(node.id, set()).add(node.lineno)
            elif isinstance(node, ast.Attribute) and self._ran(node):
                self.attributes.add(node.attr)

    def reads(self, name: str) -> bool:
        """Tell whether a line that ran reads the name."""
        return not self.source.lines.isdisjoint(self.names.get(name, ()))

    def takes(self, name: str, other: _File) -> bool:
        """Tell whether this file has, or may have, the name from another one."""
        home = other.source.module
        return (
            not self._taken.isdisjoint({(home, name), (home, "*")})
            or (home == other.source.package and name in self.attributes)  # a package lends what it has imported
        )

    def _ran(self, node: ast.expr | ast.stmt) -> bool:
        return node.lineno in self.source.lines

    def _bindings(self, node: ast.stmt, modules: Collection[str], *, waits: bool = False) -> Iterator[_Binding]:
        if not isinstance(node, ast.Import | ast.ImportFrom) or not self._ran(node):
            return
        for alias in node.names:
            single = type(node)(**{**vars(node), "names": [alias]})
            statement = ast.unparse(single)
            if isinstance(node, ast.Import):
                name = alias.asname or alias.name.partition(".")[0]
                yield _Binding(name, node.lineno, statement, "", "", alias.name, True, waits)
            elif node.module != "__future__":
                home = absolute(node.module or "", node.level, self.source.package)
                is_module = f"{home}.{alias.name}" in modules
                module = f"{home}.{alias.name}" if is_module else home
                name = alias.asname or alias.name
                yield _Binding(name, node.lineno, statement, home, alias.name, module, is_module, waits)


def _top_level(body: list[ast.stmt], *, is_lazy: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements of a module that are in no function or class, and whether they are in a lazy block."""
    for node in body:
        yield node, is_lazy
        inside = is_lazy or (isinstance(node, ast.With) and any(_names_a_block(item) for item in node.items))
        if isinstance(node, ast.If | ast.Try | ast.TryStar | ast.With | ast.For | ast.While):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, part, []), is_lazy=inside)
            for handler in getattr(node, "handlers", []):
                yield from _top_level(handler.body, is_lazy=inside)


def _names_a_block(item: ast.withitem) -> bool:
    called = getattr(item.context_expr, "func", None)
    return getattr(called, "attr", getattr(called, "id", "")) == "lazy_imports"


def _defers_annotations(tree: ast.Module) -> bool:
    if sys.version_info >= (3, 14):
        return True
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    return any(alias.name == "annotations" for node in futures for alias in node.names)


def _evaluated(tree: ast.AST, *, annotations: bool) -> Iterator[ast.AST]:
    """Walk a tree, without what a line that runs doesn't read: annotations that are not evaluated."""
    waiting = [tree]  # no recursion: expressions may be nested deeper than that goes
    while waiting:
        node = waiting.pop()
        yield node
        for field, value in ast.iter_fields(node):
            if annotations or field not in {"annotation", "returns"}:
                children = value if isinstance(value, list) else [value]
                waiting += [child for child in children if isinstance(child, ast.AST)]
