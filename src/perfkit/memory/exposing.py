"""Telling ``perfkit memory --pid`` about a watchdog: a Unix socket that answers the same user alone, and its reader."""

from __future__ import annotations

import errno
import glob
import itertools
import json
import os
import socket
import stat
import struct
import threading
import time
import weakref
from contextlib import suppress

from perfkit._base.logs import logger
from perfkit.memory.descriptors import NO_SIGNAL, OwnSocket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from perfkit.memory.watchdog import MemoryWatchdog

__all__ = ["Exposed", "NoAnswer", "is_there", "reports"]

_PATIENCE = 5.0  # seconds
_PAUSE = 0.1  # seconds, while the process has no descriptor left to answer by
_FOR_NOW = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED)
_numbers = itertools.count(1)


class Exposed:
    """Answers each connection with the watchdog's figures as JSON, from a thread that is there from the start."""

    def __init__(self, dog: MemoryWatchdog) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("expose=True needs Unix sockets, which Python doesn't have here: leave it out")
        folder = _made_folder()
        _clear(folder)
        self._path = os.path.join(folder, f"{os.getpid()}.{next(_numbers)}.sock")
        self._listener = OwnSocket(_listening(self._path))
        self._unlink = weakref.finalize(self, _unlink, self._path)  # at the end of the program, too
        threading.Thread(
            target=_serve, args=(self._listener, weakref.ref(dog)), name="perfkit-memory-exposed", daemon=True
        ).start()

    def close(self) -> None:
        """Answer no more."""
        self._unlink()
        if self._listener.is_there:
            with suppress(OSError):
                self._listener.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._listener.close()

    def forget(self) -> None:
        """Close a forked child's copy. The socket is its parent's."""
        self._unlink.detach()
        self._listener.close()


def _unlink(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _folder() -> str:
    """Return the directory of this user's sockets. Not below TMPDIR, which a service and a shell may have two of."""
    return f"/tmp/perfkit-{os.geteuid()}"  # noqa: S108 (made, or refused, by _made_folder)


def _made_folder() -> str:
    """Return that directory, ours alone. Raises PermissionError if somebody else was there first."""
    folder = _folder()
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    if not _is_ours_alone(folder):
        raise PermissionError(f"{folder} has to be a directory of this user alone (mode 0700): remove it")
    return folder


def _is_ours_alone(folder: str) -> bool:
    try:
        facts = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not facts.st_mode & 0o077


def _listening(path: str) -> socket.socket:
    with suppress(FileNotFoundError):
        os.unlink(path)  # of a process that had this number before
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        os.chmod(path, 0o600)
        listener.listen(64)
    except BaseException:
        listener.close()
        raise
    return listener


def _clear(folder: str) -> None:
    """Remove what killed processes have left: sockets that nobody listens to, of processes that are not there."""
    for path in glob.glob(os.path.join(folder, "*.sock")):
        pid = os.path.basename(path).partition(".")[0]
        if pid.isdigit() and not is_there(int(pid)) and _is_deaf(path):
            _unlink(path)


def is_there(pid: int) -> bool:
    """Tell whether there is a process of this number, whoever's it is."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass
    return True


def _is_deaf(path: str) -> bool:
    """Tell whether nobody listens; one whose number isn't known here may live in another container."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
    return False


def _serve(listener: OwnSocket, reference: Any) -> None:
    while True:
        try:
            connection, _ = listener.socket.accept()
        except OSError as error:
            if error.errno not in _FOR_NOW or not listener.is_there:  # it was closed
                return
            time.sleep(_PAUSE)
            continue
        with connection:
            dog = reference()
            if dog is None:
                return
            try:
                _answer(connection, dog)
            except Exception:  # noqa: BLE001 (who asks may go away; the next one is answered)
                logger("memory").info("memory: no answer could be given", exc_info=True)
            del dog


def _answer(connection: socket.socket, dog: MemoryWatchdog) -> None:
    from perfkit.memory.reports import report_of

    if not _is_same_user(connection):
        return
    connection.settimeout(_PATIENCE)
    connection.sendall(json.dumps(report_of(dog)).encode(), NO_SIGNAL)


def _is_same_user(connection: socket.socket) -> bool:
    """Tell whether who asks is this user, where the system says; the directory lets nobody else in."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1]) == os.geteuid()


class NoAnswer(OSError):
    """A watchdog was asked and said nothing: its process ends, or isn't this user's."""


def reports(pid: int) -> Iterator[dict[str, Any]]:
    """Yield what the watchdogs of a process say. Raises OSError for one that doesn't answer."""
    if not hasattr(socket, "AF_UNIX"):
        return
    folder = _folder()
    if not _is_ours_alone(folder):
        return
    for path in sorted(glob.glob(os.path.join(folder, f"{pid}.*.sock"))):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            try:
                connection.connect(path)
            except (ConnectionRefusedError, FileNotFoundError):  # left by a process that was killed, or gone just now
                continue
            yield _report(_all_of(connection))


def _report(answer: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(answer))
    except ValueError:
        raise NoAnswer("it ended, or stopped watching, while it was asked") from None


def _all_of(connection: socket.socket) -> bytes:
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)
