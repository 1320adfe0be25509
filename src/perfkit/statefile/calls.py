"""What callers hand in, checked the same way for threads and for asyncio."""

import errno
import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager

from perfkit.statefile.reader import ABSENT, DIGEST_BYTES

__all__ = ["absolute", "check_default", "check_mutator", "check_version", "missing_directory", "named", "not_copied"]


def absolute(path: object) -> str:
    """Return an absolute path as str, or say what a path may be."""
    if not isinstance(path, (str, os.PathLike)):
        hint = "; os.fsdecode(path) makes a str of bytes" if isinstance(path, bytes) else ""
        raise TypeError(f"path must be a str or a path-like object such as pathlib.Path, not {path!r}{hint}")
    name = os.fsdecode(path)
    if not name or name[0] == "~" or name[-1] in _DIRECTORY_ENDS or "\0" in name:
        _check_name(name)
    if os.pardir in name and os.name != "nt":  # abspath() goes up from the link's name, open() from where it leads
        return os.path.join(os.getcwd(), name)
    return os.path.abspath(name)


_DIRECTORY_ENDS = {".", os.sep, os.altsep}


def _check_name(name: str) -> None:
    """Refuse what names no file, and a home directory that nobody has looked up."""
    if not name:
        raise ValueError("path must name a file; it is empty")
    if "\0" in name:
        raise ValueError(f"path must not have a NUL character in it: {name!r}")
    if os.path.basename(name) in {"", os.curdir, os.pardir}:
        raise ValueError(f"path must name a file, and {name!r} names a directory; add the file's name")
    if name.startswith(("~/", f"~{os.sep}")):
        raise ValueError(
            f"path {name!r} begins with ~, which only shells expand: use os.path.expanduser(path), "
            f"or ./{name} for a directory of that name"
        )


def not_copied(thing: object) -> TypeError:
    """Return the error for those who copy or pickle an object that stands for its file."""
    return TypeError(
        f"{thing!r} can't be copied or pickled: within a process use it as it is, or make another on its path; "
        "another process makes its own of the path"
    )


def named(name: object, path: str) -> str:
    """Return what an object on ``path`` is called: ``name``, or the file's name without one."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name must be a str, or None for the file's name, not {name!r}")
    return name or os.path.basename(path)


def check_default(default: object) -> None:
    """Refuse what makes no document when it is called."""
    if default is None:
        return
    if not callable(default):
        raise TypeError(
            f"default must be a callable that makes a new document, such as dict or lambda: {{…}}, not {default!r}"
        )
    if _is_no_ordinary_function(default):
        raise TypeError(
            f"default must be an ordinary function, and {_called(default)} is a coroutine or generator function. Await "
            "what it needs first, and give a function that returns it"
        )


def check_mutator(fn: object) -> None:
    """Refuse what can't be run under the lock."""
    if not callable(fn):
        raise TypeError(f"update() takes a function of the document, such as lambda doc: doc.update(n=1), not {fn!r}")
    if _is_no_ordinary_function(fn):
        raise TypeError(
            f"update() takes an ordinary function, and {_called(fn)} is a coroutine or generator function, which would "
            "hold the lock while it waits. Await what you need first, then update()"
        )


def _is_no_ordinary_function(fn: object) -> bool:
    kinds = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction
    return any(is_one(fn) for is_one in kinds)


def _called(fn: object) -> str:
    return repr(getattr(fn, "__name__", fn))


def check_version(base: object) -> None:
    """Refuse what no snapshot() gave."""
    if base is None:
        return
    if not isinstance(base, str):
        raise TypeError(f"base must be a version from snapshot() or save(), or None to overwrite, not {base!r}")
    if base != ABSENT and not _is_digest(base):
        raise ValueError(
            f"base must be a version as snapshot() or save() gave it, whole, or {ABSENT!r}; not {base!r:.80}"
        )


def _is_digest(version: str) -> bool:
    return len(version) == 2 * DIGEST_BYTES and set(version) <= set("0123456789abcdef")


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
