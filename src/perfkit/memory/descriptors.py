"""Descriptors of ours that somebody may close: a program that becomes a daemon closes all it finds."""

from __future__ import annotations

import os
import socket

__all__ = ["NO_SIGNAL", "OwnSocket"]

NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class OwnSocket:
    """A socket, for as long as its number stands for it. It is another file's once that was closed, and left alone."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._identity = _identity(sock.fileno())

    @property
    def is_there(self) -> bool:
        """Whether the number is still this socket's."""
        return self._identity is not None and _identity(self.socket.fileno()) == self._identity

    def send(self, data: bytes) -> None:
        """Send what there is room for. Raises OSError; no SIGPIPE, which may have its usual meaning here."""
        if not self.is_there:
            raise OSError("the descriptor was closed")
        self.socket.send(data, NO_SIGNAL)

    def close(self) -> None:
        """Close it, if it is there to be closed."""
        if self.is_there:
            self.socket.close()
        else:
            self.socket.detach()


def _identity(fd: int) -> tuple[int, int] | None:
    try:
        facts = os.fstat(fd)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino
