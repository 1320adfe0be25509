"""What callers hand in, checked the same way for threads and for asyncio."""

import errno
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["absolute", "check_mutator", "check_version", "missing_directory"]


def absolute(path: object) -> str:
    """Return an absolute path as str, or say what a path may be."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or a path-like object such as pathlib.Path, not {path!r}")
    name = os.fsdecode(path)
    if not name:
        raise ValueError("path must name a file; it is empty")
    return os.path.abspath(name)


def check_mutator(fn: object) -> None:
    """Refuse what can't be run under the lock."""
    if not callable(fn):
        raise TypeError(f"update() takes a function of the document, such as lambda doc: doc.update(n=1), not {fn!r}")
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(
            f"update() takes an ordinary function, and {getattr(fn, '__name__', fn)!r} is a coroutine or generator "
            "function, which would hold the lock while it waits. Await what you need first, then update()"
        )


def check_version(base: object) -> None:
    """Refuse what no snapshot() gave."""
    if base is not None and not isinstance(base, str):
        raise TypeError(f"base must be a version from snapshot() or save(), or None to overwrite, not {base!r}")


@contextmanager
def missing_directory(target: str) -> Iterator[None]:
    """Say that the directory is missing, where the lock file could not be made because of that."""
    try:
        yield
    except FileNotFoundError as error:
        directory = os.path.dirname(target)
        if error.filename != target + ".lock" or os.path.isdir(directory):
            raise
        raise FileNotFoundError(
            errno.ENOENT,
            "No such directory; create it first, for example with os.makedirs(…, exist_ok=True)",
            directory,
        ) from error
