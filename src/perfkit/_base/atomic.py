"""Replacing a file so that a reader, a crash or a full disk finds the old content or the new, never a mixture.

The temporary file is written beside the target, made durable as asked, and renamed over it; see T. S. Pillai et al.,
"All File Systems Are Not Created Equal" (OSDI '14), for why each fsync is where it is.
"""

import contextlib
import errno
import os
import stat
import sys
import time
from typing import Literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Durability = Literal["process", "power"]
DURABILITIES = ("process", "power")

# A clock stepped back by less than this is adjusted over; a stamp further in the future is left behind (see _advance).
_STEP_NS = 2_000_000_000
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def check_durability(value: object) -> Durability:
    """Return ``value`` if it is one of the two words, else raise ValueError."""
    if value in DURABILITIES:
        return value  # type: ignore[return-value]  # mypy doesn't narrow by a tuple
    raise ValueError(
        f"durability must be 'process' (survives a crash) or 'power' (survives a power cut), not {value!r}"
    )


def replace(
    target: str,
    data: bytes,
    *,
    temp: str,
    durability: Durability,
    mode: int | None = None,
    check: "Callable[[], object]" = lambda: None,
) -> None:
    """Make ``data`` the content of ``target``, at once, keeping its mode, owner and extended attributes.

    With a ``mode`` it gets that instead, and is the caller's own, whatever was there. ``check()`` is called last before
    the new content gets the name, and keeps it from that by raising.

    ``temp`` is a name in the same directory that no other writer uses at the time (the caller holds a lock, or made it
    up); a file left there by a crash is replaced. ``"process"`` survives the death of the process, ``"power"`` also a
    power cut: file and directory are flushed before this returns. Raises OSError with ``target`` as it was and ``temp``
    removed; but if it is the medium that fails while the directory is flushed (EIO), the new content has the name, and
    may lose it in a power cut.
    """
    old = _stat_or_none(target)
    fd = _open_new(temp, 0o600 if old is not None or mode is not None else 0o666)
    try:
        try:
            _write_all(fd, data)
            if mode is not None:
                _set_mode(fd, mode)
            elif old is not None:
                _take_after(fd, target, old)
            if durability == "power":
                sync_file(fd)
        finally:
            os.close(fd)
        with flushed_directory(target) if durability == "power" else contextlib.nullcontext():
            check()
            _rename_over(temp, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temp)
        raise


def remove(path: str, durability: Durability) -> None:
    """Remove a file, durably as asked. Raises OSError, as `replace` does, and FileNotFoundError."""
    with flushed_directory(path) if durability == "power" else contextlib.nullcontext():
        os.unlink(path)


def sync(path: str) -> os.stat_result:
    """Flush a file and the directory that names it, whoever wrote them; return what ``stat`` said of it before."""
    fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY | os.O_CLOEXEC)
    try:
        flushed = os.fstat(fd)
        sync_file(fd)
    finally:
        os.close(fd)
    with flushed_directory(path):
        return flushed


def sync_file(fd: int) -> None:
    """Flush a file through to the medium.

    On macOS fsync stops at the drive's cache; F_FULLFSYNC does not (fsync(2) there).
    """
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # not every file system there knows it
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
    os.fsync(fd)


@contextlib.contextmanager
def flushed_directory(path: str) -> "Iterator[None]":
    """Flush the directory of ``path`` after the block, so that names made or removed in it survive a power cut.

    It is opened before the block: to find out that this can't be done would be too late after it. Windows has no such
    thing to do.
    """
    if os.name == "nt":
        yield
        return
    fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield
        _sync_directory(fd)
    finally:
        os.close(fd)


def _sync_directory(fd: int) -> None:
    try:
        sync_file(fd)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that can't flush a directory says so like this
            raise


def _stat_or_none(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _open_new(path: str, mode: int) -> int:
    """Create ``path`` exclusively, removing what a crash left there.

    Nothing of another's making is ever written into.
    """
    try:
        return os.open(path, _NEW_FILE, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _NEW_FILE, mode)


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _set_mode(fd: int, mode: int) -> None:
    if os.name != "nt":
        os.fchmod(fd, mode)


def _take_after(fd: int, target: str, old: os.stat_result) -> None:
    """Give the new file the old one's owner, attributes and mode, and a modification time that differs from its."""
    if os.name == "nt":
        return
    mode = stat.S_IMODE(old.st_mode)
    if (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
        mode = _keep_owner(fd, old, mode)
    _keep_attributes(fd, target)
    os.fchmod(fd, mode)
    _advance(fd, old.st_mtime_ns)


def _keep_owner(fd: int, old: os.stat_result, mode: int) -> int:
    """Keep owner and group as far as privileges go, and return the mode to set.

    Nobody gains a right by our replacing.
    """
    with contextlib.suppress(PermissionError):
        os.fchown(fd, old.st_uid, old.st_gid)
        return mode
    mode &= 0o777  # no set-id bits for another owner
    with contextlib.suppress(PermissionError):
        os.fchown(fd, -1, old.st_gid)
        return mode
    return mode & ~0o070 | mode & (mode << 3) & 0o070  # our group were "others" to the file until now


def _keep_attributes(fd: int, target: str) -> None:
    """Copy extended attributes, POSIX ACLs among them; those that only a privileged process may set are left."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        for name in os.listxattr(target):
            with contextlib.suppress(OSError):
                os.setxattr(fd, name, os.getxattr(target, name))


def _advance(fd: int, old_ns: int) -> None:
    """Put the stamp above the old one where the clock's tick (4 ms on many kernels) or a small step back left it level.

    Programs that watch modification times see the change so. A stamp far in the future is not chased.
    """
    new = os.fstat(fd)
    if old_ns - _STEP_NS < new.st_mtime_ns <= old_ns:
        os.utime(fd, ns=(new.st_atime_ns, old_ns + 1))


def _rename_over(temp: str, target: str) -> None:
    """``os.replace``.

    On Windows a reader that has the file open at the moment refuses it, so it is tried again for a second.
    """
    if os.name != "nt":
        os.replace(temp, target)
        return
    for wait in (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4):
        try:
            os.replace(temp, target)
        except PermissionError:
            time.sleep(wait)
        else:
            return
    os.replace(temp, target)
