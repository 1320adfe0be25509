"""Is there such a module? Found as an import would, but without executing anything."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

__all__ = ["exists", "is_module"]


def exists(name: str) -> bool | None:
    """Tell whether a module can be found; None if only importing what is above it would tell."""
    return _found(name)[0]


def is_module(package: str, name: str) -> bool:
    """Tell whether ``from package import name`` is a module: there is one, and the package says nothing else."""
    found, specs = _found(f"{package}.{name}")
    if not found:
        return False
    spec = specs[-2]
    if spec is None:  # it is loaded, and doesn't have the name; but it may find it
        loaded = sys.modules[package]
        spec = getattr(loaded, "__spec__", None) if hasattr(loaded, "__getattr__") else None
    return not _is_named_otherwise(spec, package, name)


def _found(name: str) -> tuple[bool | None, list[ModuleSpec | None]]:
    """Return that, and for each part of the name its spec, None for what is loaded."""
    path: Sequence[str] | None = None
    specs: list[ModuleSpec | None] = []
    so_far = ""
    for part in name.split("."):
        so_far = f"{so_far}.{part}" if so_far else part
        if so_far in sys.modules:
            module: object = sys.modules[so_far]
            if module is None:  # how an import is forbidden
                return False, specs
            path = getattr(module, "__path__", None)
            specs.append(None)
            continue
        if specs and path is None:  # what is above it is no package, or makes itself one when it is executed
            return False if specs[-1] is None else None, specs
        try:
            spec = _spec(so_far, path)
        except KeyError:  # the path of a namespace package in a package that isn't loaded
            return None, specs
        if spec is None:
            return False, specs
        specs.append(spec)
        path = spec.submodule_search_locations
    return True, specs


def _spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Ask the finders in turn, as importlib does."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find and find(name, path, None)
        if spec is not None:
            return spec
    return None


def _is_named_otherwise(spec: ModuleSpec | None, package: str, name: str) -> bool:
    """Tell whether a package's source, or the stub that it goes by, gives a name to something else than its module."""
    loader: Any = spec and spec.loader
    if not spec or not spec.origin or not hasattr(loader, "get_data"):
        return False
    try:
        source = loader.get_data(spec.origin)
        if b"attach_stub" in source:
            from perfkit.lazyload.listing import Listing

            stub = f"{spec.origin.rpartition('.')[0]}.pyi"
            return Listing(loader.get_data(stub), package, stub).names_otherwise(name)
        if not _mentions(source, name.encode()):
            return False
        from perfkit.lazyload.sources import binds_otherwise

        return binds_otherwise(source, package, name)
    except (OSError, SyntaxError, ValueError, RecursionError):  # the import itself will tell
        return False


def _mentions(source: bytes, name: bytes) -> bool:
    """Tell whether a source has the name as a word that begins no string; if not, it need not be parsed."""
    at = source.find(name)
    while at >= 0:
        before, after = source[max(at - 1, 0) : at], source[at + len(name) : at + len(name) + 1]
        if not (before.isalnum() or before in {b"_", b".", b"'", b'"'} or after.isalnum() or after == b"_"):
            return True
        at = source.find(name, at + 1)
    return False
