"""A connection of the pool lent as the `smtplib.SMTP` that existing code speaks to."""

from __future__ import annotations

import smtplib
from typing import TYPE_CHECKING, Any

from perfkit.pooling.reports import no_attribute

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractContextManager

    from perfkit.pooling.smtp_transport import SocketConnection

__all__ = ["LentSMTP", "SMTPLease"]


class SMTPLease:
    """What ``pool.connection()`` returns, for one ``with``: a block that says so to whoever takes it for the SMTP."""

    __slots__ = ("_block",)

    def __init__(self, block: AbstractContextManager[smtplib.SMTP]) -> None:
        self._block = block

    def __enter__(self) -> smtplib.SMTP:
        return self._block.__enter__()

    def __exit__(self, *raised: Any) -> bool | None:
        return self._block.__exit__(*raised)

    if not TYPE_CHECKING:  # or type checkers would take it for a connection, too

        def __getattr__(self, name: str) -> object:
            raise AttributeError(no_attribute(self, name, "with"))


class LentSMTP(smtplib.SMTP):
    """An `smtplib.SMTP` that is connected, encrypted and logged in.

    It counts what was said and answered: a connection with an answer outstanding would give it to the next mail.
    """

    def __init__(self, connection: SocketConnection, host: str, timeout: float) -> None:
        session = connection.session
        super().__init__(local_hostname="localhost", timeout=timeout)  # a name is given, so none is looked up
        self._session = session
        self._unanswered = 0
        self._lent_sock = self.sock = connection.sock
        self._lines: Any = _Lines(connection.sock)
        self.file = self._lines
        self.sock.settimeout(timeout)
        self._host = host
        self.does_esmtp = bool(session.features.text)
        self.ehlo_resp = self.helo_resp = session.features.text.encode()
        self.esmtp_features = {name.lower(): parameters for name, parameters in session.features.names.items()}

    def send(self, s: Any) -> None:
        """Send, and take note."""
        self._unanswered += 1
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Get a reply, and take note."""
        answered = super().getreply()
        self._unanswered -= 1
        return answered

    def mail(self, sender: str, options: Any = ()) -> tuple[int, bytes]:
        """Begin a mail, and count it: a connection has only so many."""
        self._session.mails += 1
        return super().mail(sender, options)

    def give_back(self) -> bool:
        """Let go of the connection; tell whether it may be used again. The object is of no use from here on."""
        is_whole = self.sock is self._lent_sock and self.file is self._lines
        is_whole = is_whole and not self._unanswered and not self._lines.left
        if self.sock is self._lent_sock:
            self.sock = self.file = None
        else:
            self.close()
        self._session.was_used()
        return is_whole


class _Lines:
    """What smtplib reads replies from: lines of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.left = bytearray()

    def readline(self, limit: int) -> bytes:
        """Return the next line, or as much of it as the limit allows; nothing at the end."""
        while (end := self.left.find(b"\n", 0, limit) + 1) == 0 and len(self.left) < limit:
            data = self._sock.recv(limit)
            if not data:
                break
            self.left += data
        line = bytes(self.left[: end or limit])
        del self.left[: len(line)]
        return line

    def close(self) -> None:
        """Be closed as a file: by then the socket is, too."""
