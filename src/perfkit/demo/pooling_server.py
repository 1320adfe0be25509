"""What the pooling demo talks to: a ledger behind a login, on a free port of the loopback, that can be restarted.

The login is that of databases: a random salt, and the password hashed with it four thousand times, by both sides
(PBKDF2, as in RFC 5802). A query is a line, and so is its answer.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = tuple[str, int]

__all__ = ["Ledger", "Session", "balance"]

_PASSWORD = b"correct horse battery staple"
_ROUNDS = 4096  # PostgreSQL's
_PATIENCE = 30.0  # seconds


def balance(account: int) -> int:
    """Return what the ledger answers, and a caller may check."""
    return account * 7919 % 10_007


class Session:
    """A client's connection, logged in."""

    def __init__(self, address: Address) -> None:
        self._socket = socket.create_connection(address, _PATIENCE)
        try:
            self._log_in()
        except BaseException:
            self.close()
            raise

    def ask(self, account: int) -> int:
        """Return an account's balance; ConnectionError if the server is gone."""
        self._socket.sendall(b"balance %d\n" % account)
        return int(_line(self._socket))

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def _log_in(self) -> None:
        salt = bytes.fromhex(_line(self._socket))
        self._socket.sendall(_proof(salt).hex().encode() + b"\n")
        if _line(self._socket) != "welcome":
            raise PermissionError("the ledger refuses the password")


class Ledger:
    """The server. `stop` cuts all sessions, as one that dies does; `start` listens on the same port again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: set[socket.socket] = set()
        self.address: Address = ("127.0.0.1", 0)
        self.most_at_once = 0
        self.start()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._listener = socket.create_server(self.address, backlog=256)
        self.address = self._listener.getsockname()
        _in_a_thread(self._accept, self._listener)

    def stop(self) -> None:
        """Refuse who comes and cut who is there."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            _cut(session)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                session = listener.accept()[0]
                with self._lock:
                    self._sessions.add(session)
                    self.most_at_once = max(self.most_at_once, len(self._sessions))
                if listener.fileno() < 0:  # stopped meanwhile
                    _cut(session)
                _in_a_thread(self._serve, session)

    def _serve(self, session: socket.socket) -> None:
        try:
            with suppress(ConnectionError):
                self._answer(session)
        finally:
            with self._lock:
                self._sessions.discard(session)
            session.close()

    def _answer(self, session: socket.socket) -> None:
        salt = secrets.token_bytes(16)
        session.sendall(salt.hex().encode() + b"\n")
        if _line(session) != _proof(salt).hex():
            session.sendall(b"refused\n")
            return
        session.sendall(b"welcome\n")
        while True:
            account = int(_line(session).split()[1])
            session.sendall(b"%d\n" % balance(account))


def _proof(salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", _PASSWORD, salt, _ROUNDS)


def _line(peer: socket.socket) -> str:
    """Return the next line; each side sends one and waits for one, so what comes is never more than that."""
    try:
        received = peer.recv(200)
    except OSError as error:  # closed by another thread of ours
        raise ConnectionError("the connection is closed") from error
    if not received:
        raise ConnectionError("the ledger is gone")
    return received.decode().strip()


def _cut(session: socket.socket) -> None:
    """Close it so that the other side is told of a reset."""
    with suppress(OSError):
        session.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        session.shutdown(socket.SHUT_RDWR)


def _in_a_thread(work: Callable[..., None], *args: object) -> None:
    threading.Thread(target=work, args=args, daemon=True).start()
