"""What can go wrong with a cache's dump. ``perfkit.errors`` has the whole tree."""

from perfkit.errors import PerfkitError

__all__ = ["CacheDumpCorrupt", "CacheDumpError", "CacheDumpRefused"]


class CacheDumpError(PerfkitError):
    """The root of the errors of ``dump`` and ``warm``. ``path`` is the file (str)."""

    path: str


class CacheDumpCorrupt(CacheDumpError, ValueError):
    """The file is no dump of a cache, not a whole one, or not to be read here. The cache is as it was."""


class CacheDumpRefused(CacheDumpError, TypeError):
    """An entry holds something that a dump has no form for; nothing was written. ``key`` is its key (its repr)."""

    key: str
