"""Module names: which can exist, what a relative one stands for, and whose absence an error tells of. Pure."""

from __future__ import annotations

__all__ = ["absolute", "check", "is_absence_of"]


def check(name: object) -> None:
    """Raise TypeError or ValueError for what no module can be called."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a str such as 'numpy' or 'scipy.stats', not {type(name).__name__}")
    if not all(part.isidentifier() for part in name.split(".")):
        relative = "; for a relative one write `from . import name` in a `with perfkit.lazy_imports():` block"
        raise ValueError(
            f"name must be an absolute module name such as 'numpy' or 'scipy.stats', not {name!r}"
            + (relative if name.startswith(".") else "")
        )


def absolute(name: str, level: int, package: str) -> str:
    """Return the absolute name that ``from <level dots><name> import ...`` means in a package.

    Raises ImportError if there are more dots than packages, as the import does.
    """
    if not level:
        return name
    above = package.rsplit(".", level - 1)
    if not package or len(above) < level:
        raise ImportError("attempted relative import beyond top-level package")
    return f"{above[0]}.{name}" if name else above[0]


def is_absence_of(name: str, missing: str | None) -> bool:
    """Tell whether ``missing``, which was not found, is that module or a package that it is in."""
    return missing is not None and f"{name}.".startswith(f"{missing}.")
