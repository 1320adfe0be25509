"""Telling ``perfkit memory --pid`` about a watchdog: a Unix socket that answers the same user alone, and its reader."""

from __future__ import annotations

import glob
import itertools
import json
import os
import socket
import stat
import struct
import threading
from contextlib import suppress

from perfkit._base.logs import logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from perfkit.memory.watchdog import MemoryWatchdog

__all__ = ["Exposed", "reports"]

_PATIENCE = 5.0  # seconds
_numbers = itertools.count(1)


class Exposed:
    """Answers each connection with the watchdog's figures as JSON, from a thread that is there from the start."""

    def __init__(self, dog: MemoryWatchdog) -> None:
        if not hasattr(socket, "AF_UNIX"):
            raise OSError("expose=True needs Unix sockets, which Python doesn't have here: leave it out")
        import weakref

        self._path = os.path.join(_made_folder(), f"{os.getpid()}.{next(_numbers)}.sock")
        self._socket = _listening(self._path)
        threading.Thread(
            target=_serve, args=(self._socket, weakref.ref(dog)), name="perfkit-memory-exposed", daemon=True
        ).start()

    def close(self) -> None:
        """Answer no more."""
        with suppress(OSError):
            os.unlink(self._path)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()

    def forget(self) -> None:
        """Close a forked child's copy. The socket is its parent's."""
        self._socket.close()


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


def _serve(listener: socket.socket, reference: Any) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # it was closed
            return
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
    connection.sendall(json.dumps(report_of(dog)).encode())


def _is_same_user(connection: socket.socket) -> bool:
    """Tell whether who asks is this user, where the system says; the directory lets nobody else in."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1]) == os.geteuid()


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
            except ConnectionRefusedError:  # left by a process that was killed
                continue
            yield json.loads(_all_of(connection))


def _all_of(connection: socket.socket) -> bytes:
    chunks = []
    while chunk := connection.recv(65536):
        chunks.append(chunk)
    return b"".join(chunks)
