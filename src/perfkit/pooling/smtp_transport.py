"""A connection to an SMTP server over a blocking socket: carries out dialogues, and nothing else."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, TypeVar

from perfkit.pooling.smtp_errors import (
    MailConnectionLost,
    MailProtocolError,
    MailTimeout,
    MailUnsupported,
    MailUntrusted,
)
from perfkit.pooling.smtp_opening import opening, quitting
from perfkit.pooling.smtp_replies import Reply, ReplyParser
from perfkit.pooling.smtp_session import Session
from perfkit.pooling.smtp_steps import GREETING, REPLY, SECURE, VERDICT, Ask, Content, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfkit.pooling.smtp_options import Options
    from perfkit.pooling.smtp_steps import Dialogue

__all__ = [
    "GOODBYE",
    "PIECE",
    "SocketConnection",
    "handshake",
    "injected",
    "literal",
    "lost",
    "not_opened",
    "patience",
    "timed_out",
    "unanswered",
    "unasked",
]

T = TypeVar("T")
GOODBYE = 1.0  # seconds at most for the server to answer QUIT: nobody waits for that
PIECE = 64 * 1024  # bytes written at a time, each with the whole timeout
_ENOUGH = 64 * 1024
_SAYS_NOTHING = "; if it is one that encrypts from the first byte (port 465), pass tls='implicit'"
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL
_PLAIN_TEXT = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")  # OpenSSL's names for it
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_CUT = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, ssl.SSLEOFError)
_AT_LEAST = 0.001  # seconds: none at all would be another mode


class SocketConnection:
    """A session with a server, and the socket it goes over. One thread at a time."""

    def __init__(self, options: Options) -> None:
        """Connect and begin the session. Raises what the system does, and what `opening` does."""
        self._options = options
        self._server = options.terms.server
        self._timeout = options.timeout
        self._parser = ReplyParser()
        self.is_sound = False
        self._open_until = time.monotonic() + options.opening_timeout
        self.sock = _connected(options)
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if options.terms.tls == "implicit":
                self._secure()
            features = self.run(opening(options.terms, options.local_hostname or literal(self.sock.getsockname())))
        except BaseException:
            self.sock.close()
            raise
        self.session = Session(self._server, features, options.max_uses)
        self._open_until = math.inf
        self.is_sound = True

    def run(self, dialogue: Dialogue[T]) -> T:
        """Carry out a dialogue. If it does not come to its end, the connection is of no more use."""
        result = None
        self.is_sound = False
        while True:
            try:
                step = dialogue.send(result)
            except StopIteration as end:
                self.is_sound = True
                outcome: T = end.value
                return outcome
            result = self._do(step)

    def _do(self, step: Any) -> Any:
        if isinstance(step, bytes):
            return self._write(step)
        if isinstance(step, Content):
            return self._write_content(step)
        if step is SECURE:
            return self._secure()
        if isinstance(step, Wanted):
            return self._read(step)
        assert isinstance(step, Ask)  # noqa: S101 (there are no others)
        return step.function(*step.arguments)

    def _write(self, data: bytes) -> None:
        if not self._parser.is_empty:
            raise unasked(self._server, self._parser.next())
        left = memoryview(data)
        while left:
            left = left[self._send(left) :]

    def _write_content(self, step: Content) -> Reply | None:
        left, sent, errand = memoryview(step.data), 0, step.errand
        # Over TLS one piece is several records, and one with the final dot may arrive before a later one fails.
        unsure = PIECE if isinstance(self.sock, ssl.SSLSocket) else 0
        while left:
            if sent < step.end:
                errand.is_out = False
                if (said := self._overheard()) is not None:
                    return said
            # An interrupt may strike after the last byte and before we know.
            errand.is_out = sent + PIECE >= step.end
            try:
                count = self._send(left)
            except OSError:
                errand.is_out = sent + unsure >= step.end
                if (said := self._last_words()) is not None:
                    return said
                raise
            sent, left = sent + count, left[count:]
        return None

    def _overheard(self) -> Reply | None:
        """Return what the server says although it isn't its turn, if it has begun to; raise if it has closed."""
        self.sock.settimeout(0)
        with contextlib.suppress(*_NOTHING_YET):
            self._receive()
        return None if self._parser.is_empty else self._read(REPLY)

    def _last_words(self) -> Reply | None:
        """Return what the server said before it stopped taking anything, if it did."""
        with contextlib.suppress(OSError):  # the one that brought us here says more
            return self._overheard()
        return None

    def _send(self, data: memoryview) -> int:
        """Send some of it; return how many bytes."""
        self.sock.settimeout(self._timeout)
        try:
            return self.sock.send(data[:PIECE])
        except TimeoutError as error:
            raise timed_out(self._server, "took nothing of what was sent to it", self._timeout) from error
        except OSError as error:
            raise lost(self._server, error) from error

    def _read(self, wanted: Wanted) -> Reply:
        timeout = patience(wanted, self._options, self._timeout)
        until = min(time.monotonic() + timeout, self._open_until)
        while (said := self._parser.next()) is None:
            self.sock.settimeout(max(until - time.monotonic(), _AT_LEAST))
            try:
                self._receive()
            except TimeoutError as error:
                if until == self._open_until:
                    raise not_opened(self._options) from error
                raise unanswered(wanted, self._options, timeout) from error
        return said

    def _receive(self) -> None:
        """Take what has come."""
        try:
            data = self.sock.recv(_ENOUGH)
        except (TimeoutError, *_NOTHING_YET):
            raise
        except OSError as error:
            raise lost(self._server, error) from error
        if not data:
            raise lost(self._server, None)
        self._parser.feed(data)

    def _secure(self) -> None:
        if not self._parser.is_empty:
            raise injected(self._server)
        self.sock.settimeout(self._options.connect_timeout)
        with handshake(self._options):
            self.sock = self._options.context().wrap_socket(self.sock, server_hostname=self._options.host)

    def is_quiet(self) -> bool:
        """Tell whether the server has neither closed an idle connection nor said anything on it. No round trip."""
        if not self.is_sound or not self._parser.is_empty:
            return False
        self.sock.settimeout(0)
        try:  # below TLS: whatever comes while nothing was asked is a goodbye
            socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return not isinstance(self.sock, ssl.SSLSocket) or not self.sock.pending()
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Say goodbye, if the session is in a state for it, and close the socket."""
        if self.is_sound:
            self._timeout = min(GOODBYE, self._timeout)
            with contextlib.suppress(OSError):  # it is as good as gone
                self.run(quitting())
        self.is_sound = False
        self.sock.close()


def _connected(options: Options) -> socket.socket:
    try:
        return socket.create_connection((options.host, options.port), options.connect_timeout, options.source_address)
    except TimeoutError as error:
        raise timed_out(options.terms.server, "did not take our connection", options.connect_timeout) from error


def patience(wanted: Wanted, options: Options, usual: float) -> float:
    """Return how many seconds to wait for a reply."""
    return {GREETING: options.connect_timeout, VERDICT: options.final_timeout}.get(wanted, usual)


def unanswered(wanted: Wanted, options: Options, timeout: float) -> MailTimeout:
    """Return the error for a reply that doesn't come."""
    if wanted is not GREETING:
        return timed_out(options.terms.server, "did not answer", timeout)
    hint = "" if options.terms.tls == "implicit" else _SAYS_NOTHING
    return timed_out(options.terms.server, "did not greet us", timeout, hint)


def not_opened(options: Options) -> MailTimeout:
    """Return the error for a server that answers, but doesn't come to the end of opening a session."""
    return timed_out(options.terms.server, "did not get a session open", options.opening_timeout)


def literal(name: Any) -> str:
    """Return our own address as EHLO has it where there is no name (RFC 5321, section 4.1.3)."""
    own = str(name[0]).partition("%")[0]
    return f"[IPv6:{own}]" if ":" in own else f"[{own}]"


def lost(server: str, error: BaseException | None) -> MailConnectionLost:
    """Return the error for a connection that has ended."""
    return MailConnectionLost(f"{server} closed the connection" if error is None else f"{server} is gone: {error}")


@contextlib.contextmanager
def handshake(options: Options) -> Iterator[None]:
    """Say what to do where TLS doesn't begin: the certificate isn't trusted, or the server doesn't speak TLS there."""
    server = options.terms.server
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise MailUntrusted(
            f"{server} shows a certificate that is not trusted: {error.verify_message.rstrip('.')}; {_remedy(error)}"
        ) from error
    except _CUT as error:
        raise lost(server, error) from error
    except ssl.SSLError as error:
        if options.terms.tls == "implicit" and error.reason in _PLAIN_TEXT:
            raise MailUnsupported(
                f"{server} does not encrypt from the first byte, as tls='implicit' wants it: pass tls='starttls', or "
                "the port= that does (465 as a rule)"
            ) from error
        raise
    except MailTimeout:
        raise
    except TimeoutError as error:
        raise timed_out(server, "did not come to the end of the TLS handshake", options.connect_timeout) from error


def _remedy(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_NAME:
        return "give the host as its certificate names it"
    return "if it is of an authority of your own, pass a context= that knows it"


def timed_out(server: str, what: str, timeout: float, hint: str = "") -> MailTimeout:
    """Return the error for a server that takes too long."""
    return MailTimeout(f"{server} {what} for {timeout:g} seconds{hint}", timeout=timeout)


def unasked(server: str, said: Reply | None) -> MailConnectionLost | MailProtocolError:
    """Return the error for what a server says when it has answered all: that it goes, or it is out of step."""
    if said is not None and said.code == 421:
        return MailConnectionLost(f"{server} ends the session: {said}")
    return MailProtocolError(f"{server} sent something that came at a moment when nothing may come: it is out of step")


def injected(server: str) -> MailProtocolError:
    """Return the error for what somebody has put before TLS to be read after it."""
    return MailProtocolError(
        f"{server} sent something between its answer to STARTTLS and TLS: somebody on the way may have put it there"
    )
