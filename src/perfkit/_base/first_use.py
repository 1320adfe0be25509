"""Names of a package that are loaded when they are first asked for (PEP 562)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["on_first_use"]


def on_first_use(namespace: "dict[str, Any]", homes: "Mapping[str, str | None]") -> "Callable[[str], object]":
    """Return a module's ``__getattr__``, which loads a name from its home and keeps it in ``namespace``.

    ``homes`` tells which module has each name, with "." before one of the same package; None: the name is a module.
    """

    def __getattr__(name: str) -> object:  # noqa: N807 (what the module's own is called, in tracebacks too)
        from importlib import import_module

        package = namespace["__name__"]
        try:
            home = homes[name]
        except KeyError:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(
                message, name=name, obj=import_module(package)
            ) from None  # Python suggests others then
        value = import_module(f".{name}", package) if home is None else getattr(import_module(home, package), name)
        namespace[name] = value
        return value

    return __getattr__
