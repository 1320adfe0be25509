"""`perfkit.attach_stub`: the names of a package, each loaded by its first use, as the stub beside it lists them."""

from __future__ import annotations

import sys

from perfkit.lazyload.ledger import ledger
from perfkit.lazyload.listing import Listing
from perfkit.lazyload.loading import is_eager, is_partial, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from perfkit.lazyload.ledger import Record
    from perfkit.lazyload.listing import Origin

__all__ = ["attach_stub"]


def attach_stub(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Have a package load its names by their first use, as a stub lists them.

    In the package's ``__init__.py``: ``__getattr__, __dir__, __all__ = perfkit.attach_stub(__name__, __file__)``.
    Beside it, ``__init__.pyi`` has the imports that the package would have had. Type checkers and editors read it::

        from . import io
        from .filters import blur, sharpen as sharpen

    Relative imports are names of the package. Absolute ones are, if they are written ``from a import b as b`` or
    ``import a as a``, or are in the stub's ``__all__``; else they are there for the stub's own annotations. If there is
    an ``__all__``, it is what you get back; if not, all names. An ``if`` may ask for ``sys.version_info``,
    ``sys.platform`` and ``TYPE_CHECKING``.

    The first use of a name binds it in the package. ``from package import *`` is a use of all names. A function and its
    module may have the same name: after ``from .rank import rank`` it means the function, whoever imports the module.

    Args:
        package: the package's ``__name__``.
        file: its ``__file__``. The stub has to be installed with it.

    Returns:
        ``(__getattr__, __dir__, __all__)``.

    Raises:
        OSError: the stub is not there, or can't be read.
        SyntaxError: it is not Python.
        ValueError: it imports ``*``, asks or does something else, or lists what it neither imports nor declares.

    With ``PERFKIT_EAGER=1`` in the environment all names are loaded at once; what modules of the package take from it
    besides has to stand above the call then. Thread-safe, without a lock of its own. Cost: the stub is read and parsed
    each time the package is imported, as a module without a ``.pyc`` file is; once a name, its import.
    """
    path = f"{file.rpartition('.')[0]}.pyi"
    listing = Listing(_read(package, path), package, path)
    records = {name: _record(origin, path) for name, origin in listing.origins.items()}
    _keep(package, {name for name, record in records.items() if record.name.startswith(f"{package}.{name}.")})

    def __getattr__(name: str) -> Any:  # noqa: N807 (it becomes the package's)
        if name not in records:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = load(records[name])
        if not is_partial(value):
            setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:  # noqa: N807 (likewise)
        return sorted({*vars(sys.modules[package]), *records})

    if is_eager():
        vars(sys.modules[package])["__getattr__"] = __getattr__  # they may take names from the package, in a circle
        for name in records:
            __getattr__(name)
    return __getattr__, __dir__, listing.public


def _read(package: str, path: str) -> bytes:
    """Read a file of a package, wherever that is: in a directory, or an archive."""
    loader: Any = getattr(getattr(sys.modules.get(package), "__spec__", None), "loader", None)
    try:
        if hasattr(loader, "get_data"):
            return bytes(loader.get_data(path))
        with open(path, "rb") as opened:
            return opened.read()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            error.errno, "attach_stub() reads the names from a stub beside __init__.py, and installed with it", path
        ) from None


def _record(origin: Origin, path: str) -> Record:
    record = ledger.record(origin.name, path, origin.line)
    record.is_from = not origin.is_module
    return record


def _keep(package: str, names: set[str]) -> None:
    """Have the package keep names for functions and classes that are in modules of the same names.

    An import binds a module in its package as soon as that is loaded, and other threads would see it there.
    """
    if not names:
        return
    module = sys.modules[package]

    class Package(type(module)):  # type: ignore[misc]  # (of its own class, whatever that is by now)
        def __setattr__(self, name: str, value: Any) -> None:
            if name not in names or value is not sys.modules.get(f"{package}.{name}"):
                super().__setattr__(name, value)

    module.__class__ = Package
