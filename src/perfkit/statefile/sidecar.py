"""The lock between processes: ``<file>.lock`` beside the data, locked with flock, never unlinked.

Not the data file itself, which is replaced at each write, and never removed: a waiter on an unlinked lock file and the
maker of a new one would both hold "the" lock. Somebody else may remove it all the same, or replace the directory: what
is locked is looked for under its name after locking, and again before anything is written. Readers don't need it.

flock belongs to the open file, so it ends with the process however that ends; but a forked child has the open file too,
so it is unlocked explicitly, and the child closes its copy without unlocking.
"""

import contextlib
import os
import stat
import sys

from perfkit._base import fork

__all__ = ["Sidecar"]

if sys.platform == "win32":
    import filelock

    class Sidecar:
        """One path's lock file, by filelock: LockFileEx has rules of its own."""

        def __init__(self, target: str) -> None:
            self.path = target + ".lock"
            self._lock = filelock.FileLock(self.path, thread_local=False)

        def try_acquire(self) -> bool:
            """Take the lock if nobody has it."""
            try:
                self._lock.acquire(blocking=False)
            except filelock.Timeout:
                return False
            return True

        def release(self) -> None:
            """Give the lock back."""
            self._lock.release(force=True)

        def is_named(self) -> bool:
            """Windows removes no file that is open."""
            return True

        def abandon(self) -> None:
            """Windows doesn't fork."""

else:
    import fcntl

    # O_NOFOLLOW: in a directory that others may write, a planted link must not make us create or lock a file elsewhere.
    _FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

    _TRIES = 100  # not for ever: a fork may have to wait, in some other hook, for what the caller of ours holds

    class Sidecar:
        """One path's lock file. Not thread-safe: its owner sees to it that one thread at a time calls it."""

        def __init__(self, target: str) -> None:
            self.path = target + ".lock"
            self._target = target
            self._fd: int | None = None
            self._locked: os.stat_result | None = None

        def try_acquire(self) -> bool:
            """Take the lock if nobody has it. Raises OSError if the lock file can't be opened or made."""
            fd = self._open()
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locked = os.fstat(fd)
                if self.is_named():
                    return True
            except BlockingIOError:
                pass
            except BaseException:
                self.abandon()
                raise
            self.abandon()
            return False

        def _open(self) -> int:
            """Open the lock file so that no child has it unbeknown.

            One that is forked before the number is noted here keeps the file open, and with it our lock, should we be
            killed in an edit. A file opened while somebody forked is closed again before it is locked.
            """
            for _ in range(_TRIES):
                forks = fork.ended
                self._fd = fd = _open(self.path, self._target)
                if fork.begun == forks:
                    return fd
                self.abandon()
            self._fd = fd = _open(self.path, self._target)
            return fd

        def is_named(self) -> bool:
            """Tell whether what we locked still has the name, for others to find it locked."""
            try:
                return self._locked is not None and os.path.samestat(self._locked, os.lstat(self.path))
            except FileNotFoundError:
                return False

        def release(self) -> None:
            """Give the lock back, also if a child forked meanwhile still has the file open."""
            if self._fd is not None:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
                self.abandon()

        def abandon(self) -> None:
            """Close our descriptor and leave the lock to whoever else has the file open: in a child, the parent."""
            fd, self._fd, self._locked = self._fd, None, None
            if fd is not None:
                os.close(fd)

    def _open(path: str, target: str) -> int:
        while True:
            with contextlib.suppress(FileNotFoundError):
                return _open_existing(path)
            with contextlib.suppress(FileExistsError):
                return _create(path, target)

    def _open_existing(path: str) -> int:
        # without O_CREAT, which Linux refuses for others' files in sticky directories (fs.protected_regular)
        try:
            return os.open(path, os.O_RDWR | _FLAGS)
        except PermissionError:
            return os.open(path, os.O_RDONLY | _FLAGS)  # enough for flock, but on NFS

    def _create(path: str, target: str) -> int:
        """Make the lock file so that whoever may write the data may lock it."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o666)
        with contextlib.suppress(OSError):
            data = os.stat(target)
            os.fchmod(fd, stat.S_IMODE(data.st_mode) & 0o666 | 0o600)  # its owner in any case: data may be 0200
            if (data.st_uid, data.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, data.st_uid, data.st_gid)
        return fd
