"""A real SMTP server for the mail demo, benchmarks and tests: aiosmtpd, with TLS, logins and pipelining, on loopback.

aiosmtpd takes pipelined commands and doesn't say so; this one says so. It can be as far away as wanted: a relay before
it holds back what passes, for half a round trip each way.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import warnings
from typing import TYPE_CHECKING, Any

from perfkit.demo.results import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["PASSWORD", "USERNAME", "Authority", "MailServer", "Mailbox"]

USERNAME, PASSWORD = "mission-control", "correct horse battery staple"
HOST = "localhost"


def _needed(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError:
        raise DemoError(f"the mail server needs {module.partition('.')[0]}: pip install 'perfkit[demo]'") from None


class Authority:
    """A certificate authority of our own, that clients are told to trust."""

    def __init__(self) -> None:
        trustme = _needed("trustme")
        self._authority = trustme.CA()

    def client_context(self) -> ssl.SSLContext:
        """Return what a client verifies certificates with."""
        context = ssl.create_default_context()
        self._authority.configure_trust(context)
        return context

    def server_context(self, host: str = HOST) -> ssl.SSLContext:
        """Return what a server shows its certificate with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(host).configure_cert(context)
        return context

    def pem(self) -> bytes:
        """Return the authority's certificate, for clients in other processes."""
        pem: bytes = self._authority.cert_pem.bytes()
        return pem


class Mailbox:
    """What the server has taken, and how it greets: the handler that aiosmtpd asks."""

    def __init__(self, *, pipelining: bool = True) -> None:
        self.mails: list[Any] = []  # envelopes: mail_from, rcpt_tos, content
        self.sessions: list[Any] = []
        self._pipelining = pipelining

    async def handle_EHLO(  # noqa: N802 (so aiosmtpd calls it)
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Answer EHLO: say that commands may be pipelined."""
        del server, envelope
        session.host_name = hostname
        if session not in self.sessions:
            self.sessions.append(session)
        return [responses[0], *(["250-PIPELINING"] if self._pipelining else []), *responses[1:]]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (so aiosmtpd calls it)
        """Take a mail."""
        del server, session
        self.mails.append(envelope)
        return f"250 2.0.0 taken as number {len(self.mails)}"


class MailServer:
    """The server, in a thread with an event loop of its own: ``with MailServer(authority) as server: …``.

    ``tls`` is as of `perfkit.SMTPPool`; ``round_trip`` is how far away it is, in seconds.
    """

    def __init__(
        self,
        authority: Authority | None = None,
        *,
        tls: str = "starttls",
        login: bool = True,
        pipelining: bool = True,
        round_trip: float = 0.0,
        host: str = HOST,
        box: Mailbox | None = None,
        **settings: Any,
    ) -> None:
        self._smtp = _needed("aiosmtpd.smtp")
        logging.getLogger("mail.log").addHandler(logging.NullHandler())  # or it would warn on stderr of what it does
        self._context = (authority or Authority()).server_context(host)
        self._tls, self._login, self._round_trip = tls, login, round_trip
        self._settings = settings
        self.box = box or Mailbox(pipelining=pipelining)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-server", daemon=True)
        self._servers: list[asyncio.Server] = []
        self._relay: _Relay | None = None

    def __enter__(self) -> MailServer:
        self._thread.start()
        self.port = self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> int:
        context = self._context if self._tls == "implicit" else None
        server = await self._loop.create_server(self._session, "127.0.0.1", 0, ssl=context)
        self._servers.append(server)
        port: int = server.sockets[0].getsockname()[1]
        if self._round_trip:
            self._relay = relay = _Relay(self._loop, port, self._round_trip / 2)
            self._servers.append(await self._loop.create_server(lambda: _End(relay), "127.0.0.1", 0))
            port = self._servers[-1].sockets[0].getsockname()[1]
        return port

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        if self._relay is not None:
            self._relay.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # what was closed with them is let go of in the loop's next turn

    def _session(self) -> asyncio.Protocol:
        settings: dict[str, Any] = {"hostname": HOST, "enable_SMTPUTF8": True, "loop": self._loop}
        if self._tls == "starttls":
            settings |= {"tls_context": self._context, "require_starttls": True}
        if self._login:
            settings |= {"authenticator": self._is_known, "auth_required": True}
            settings["auth_require_tls"] = self._tls == "starttls"
        with warnings.catch_warnings():  # it doesn't know of TLS from the first byte, and warns of logins without any
            warnings.simplefilter("ignore", UserWarning)
            session: asyncio.Protocol = self._smtp.SMTP(self.box, **(settings | self._settings))
        return session

    def _is_known(self, server: Any, session: Any, envelope: Any, mechanism: str, given: Any) -> Any:
        del server, session, envelope, mechanism
        known = given.login == USERNAME.encode() and given.password == PASSWORD.encode()
        return self._smtp.AuthResult(success=known, handled=False)


class _End(asyncio.Protocol):
    """One side of the relay: what comes in is written out of the other side after a delay."""

    def __init__(self, relay: _Relay, other: _End | None = None) -> None:
        self.relay = relay
        self.other = other
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is somebody; if a client, connect to the server before reading from it."""
        self.transport = transport
        self.relay.ends.add(self)
        if self.other is None:
            self.transport.pause_reading()
            self.relay.connect(self)

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self.relay.later(self._pass, data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass that on, too."""
        del exc
        self.relay.ends.discard(self)
        self.relay.later(self._close)

    def _pass(self, data: bytes) -> None:
        if self.other is not None:
            self.other.transport.write(data)

    def _close(self) -> None:
        if self.other is not None:
            self.other.transport.close()


class _Relay:
    """Passes bytes between clients and a port, each after a delay."""

    def __init__(self, loop: asyncio.AbstractEventLoop, port: int, delay: float) -> None:
        self._loop = loop
        self._port = port
        self._delay = delay
        self._connecting: set[asyncio.Task[None]] = set()
        self.ends: set[_End] = set()

    def later(self, function: Callable[..., object], *arguments: Any) -> None:
        """Do it when the delay is over."""
        self._loop.call_later(self._delay, function, *arguments)

    def connect(self, near: _End) -> None:
        """Connect a client to the server."""
        task = self._loop.create_task(self._connect(near))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, near: _End) -> None:
        _, near.other = await self._loop.create_connection(lambda: _End(self, near), "127.0.0.1", self._port)
        near.transport.resume_reading()

    def close(self) -> None:
        """Cut whoever is connected."""
        for end in list(self.ends):
            end.transport.abort()
