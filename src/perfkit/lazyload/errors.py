"""What a lazy import raises when its module can't be had. ``perfkit.errors`` has the whole tree."""

from perfkit.errors import PerfkitError

__all__ = ["LazyImportError", "LazyModuleNotFound", "LazyRequirementUnmet"]


class LazyImportError(PerfkitError, ImportError):
    """The module could not be imported; the next use tries again.

    What the import itself raised is the ``__cause__`` if some module raised it, so that its traceback says more.

    ``module`` is the module that was declared, ``declared_at`` the file and line where, ``hint`` what was said to do
    (``""`` for nothing). ``name`` and ``path`` are the import's, as in any ImportError: ``name`` may be another module
    that this one needs.
    """

    module: str
    declared_at: str
    hint: str
    # ImportError keeps these two where neither PerfkitError's constructor nor its pickling would find them.
    name = None
    path = None

    @property
    def msg(self) -> str:  # type: ignore[override]  # read only here
        """The message, as in any ImportError."""
        return str(self)


class LazyModuleNotFound(LazyImportError, ModuleNotFoundError):
    """The module, or one that it needs (``name``), is not installed."""


class LazyRequirementUnmet(LazyImportError):
    """The package that is installed is not the one that ``require=`` asks for. It was not imported."""
