"""Is there such a module? Found as an import would, but without executing anything."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

__all__ = ["exists"]


def exists(name: str) -> bool | None:
    """Tell whether a module can be found; None if only importing a package above it would tell."""
    path: Sequence[str] | None = None
    so_far = ""
    for part in name.split("."):
        so_far = f"{so_far}.{part}" if so_far else part
        if so_far in sys.modules:
            module: object = sys.modules[so_far]
            if module is None:  # how an import is forbidden
                return False
            path = getattr(module, "__path__", None)
            continue
        if so_far != part and path is None:
            return False  # what is above it is no package
        try:
            spec = _spec(so_far, path)
        except KeyError:  # the path of a namespace package in a package that isn't loaded
            return None
        if spec is None:
            return False
        path = spec.submodule_search_locations
    return True


def _spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Ask the finders in turn, as importlib does."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec = find and find(name, path)
        if spec is not None:
            return spec  # type: ignore[no-any-return]
    return None
