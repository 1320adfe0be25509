"""Mail.

A server with STARTTLS, a login and PIPELINING, in a process of its own: aiosmtpd, next door or 20 ms away, behind a
relay that holds everything back. Each contender sends the same mail to an address of its own; that every one arrived,
once, is checked with the server in the same run.
"""

import asyncio
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email.message import EmailMessage
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import aiosmtplib
import pytest

from measure import Claim, Contender, calls
from perfkit.demo.smtp_server import PASSWORD, USERNAME
from perfkit.pooling import AsyncSMTPPool, SMTPPool

EACH = "smtplib, a connection a mail"
DISTANCES = {"next door": 0.0, "20 ms away": 0.02}
LOGIN = {"username": USERNAME, "password": PASSWORD}


@dataclass
class Server:
    """Where the server is, and how it is reached."""

    port: int
    authority: str
    opened: ExitStack  # pools of this process; those of the contenders' end with them

    @cached_property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.authority)

    def connect(self) -> smtplib.SMTP:
        smtp = smtplib.SMTP("localhost", self.port, local_hostname="bench.example.com")
        smtp.starttls(context=self.context)
        smtp.login(USERNAME, PASSWORD)
        return smtp

    def count(self, address: str) -> int:
        with self.connect() as smtp:
            return int(smtp.verify(address)[1])


@pytest.fixture(scope="module", params=DISTANCES)
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(size: str) -> Iterator[Server]:
    command = [sys.executable, str(Path(__file__).with_name("mail_server.py")), str(DISTANCES[size])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with ExitStack() as opened:
            yield Server(port, "".join(iter(process.stdout.readline, END)) + END, opened)
        process.stdin.close()


END = "-----END CERTIFICATE-----\n"


def mail(to: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Mission Control <control@example.com>"
    message["To"] = to
    message["Subject"] = "Telemetry of the last orbit"
    message.set_content("Battery at 87 %, antenna locked, two packets lost.\n" * 20)
    return message


class Sender:
    """What a contender sends, and where to. Each runs in a process of its own, so it connects when it first sends."""

    def __init__(self, name: str, server: Server) -> None:
        self.name, self.server = name, server
        self.to = f"{''.join(filter(str.isalnum, name))}@example.com"
        self.mail = mail(self.to)

    @cached_property
    def smtp(self) -> smtplib.SMTP:
        return self.server.connect()

    @cached_property
    def runner(self) -> asyncio.Runner:
        return asyncio.Runner()

    def pool(self, kind: Any, **options: Any) -> Any:
        return kind("localhost", self.server.port, context=self.server.context, **LOGIN, **options)

    def contender(self, timed: Callable[[int], float], **about: Any) -> Contender:
        def check(n: int) -> None:
            assert self.server.count(self.to) == n, self.name

        return Contender(name=self.name, timed=timed, check=check, **about)

    def in_loop(self, make: Callable[[], Awaitable[Any]], send: Callable[[Any, int], Awaitable[object]]) -> Any:
        """Time ``send(made, n)`` on a loop of this contender's."""
        made: list[Any] = []

        async def turn(n: int) -> float:
            if not made:
                made.append(await make())
            started = perf_counter()
            await send(made[0], n)
            return perf_counter() - started

        return lambda n: self.runner.run(turn(n))


def a_connection_a_mail(sender: Sender) -> None:
    with sender.server.connect() as smtp:
        smtp.send_message(sender.mail)


def batch(send_many: Callable[[Any], Any]) -> Callable[[int], float]:
    def timed(n: int) -> float:
        started = perf_counter()
        send_many(n)
        return perf_counter() - started

    return timed


def sent_by_pool(name: str, server: Server, **options: Any) -> Contender:
    sender = Sender(name, server)
    pool = lazily(sender, max_uses=None, **options)
    return sender.contender(calls(lambda: pool().send(sender.mail)), ours=True)


def sent_by_many(name: str, server: Server, at_once: int, **options: Any) -> Contender:
    sender = Sender(name, server)
    pool = lazily(sender, **options)
    return sender.contender(batch(lambda n: pool().send_many([sender.mail] * n)), ours=True, at_once=at_once)


def lazily(sender: Sender, **options: Any) -> Callable[[], SMTPPool]:
    """Return what gives the contender's pool, made when it is first wanted: in the contender's own process."""
    made: list[SMTPPool] = []

    def get() -> SMTPPool:
        if not made:
            made.append(sender.server.opened.enter_context(sender.pool(SMTPPool, **options)))
        return made[0]

    return get


def in_tasks_by_pool(name: str, server: Server, *, many: int = 0) -> Contender:
    sender = Sender(name, server)

    async def make() -> AsyncSMTPPool:
        pool: AsyncSMTPPool = sender.pool(AsyncSMTPPool, max_size=1, max_uses=None)
        return pool

    async def send(pool: AsyncSMTPPool, n: int) -> None:
        if many:
            await pool.send_many([sender.mail] * n)
            return
        for _ in range(n):
            await pool.send(sender.mail)

    return sender.contender(sender.in_loop(make, send), ours=True, at_once=many or 1)


def by_aiosmtplib(name: str, server: Server, **about: Any) -> Contender:
    sender = Sender(name, server)

    async def make() -> aiosmtplib.SMTP:
        smtp = aiosmtplib.SMTP(
            hostname="localhost", port=server.port, start_tls=True, tls_context=server.context, **LOGIN
        )
        await smtp.connect()
        return smtp

    async def send(smtp: aiosmtplib.SMTP, n: int) -> None:
        for _ in range(n):
            await smtp.send_message(sender.mail)

    return sender.contender(sender.in_loop(make, send), **about)


def test_sending(compare: Any, server: Server, size: str, smoke: bool) -> None:
    """Sending a mail.

    About 1 KB of text, to one recipient. The baseline connects, begins TLS, logs in and sends, as most programs do.
    """
    many = 2 if smoke else 50
    each, kept = Sender(EACH, server), Sender("smtplib, one connection kept", server)
    fragile = "one thread; a connection that the server has closed, or a refused mail, is the caller's to notice"
    contenders = [
        each.contender(calls(partial(a_connection_a_mail, each))),
        sent_by_pool("SMTPPool.send()", server),
        sent_by_many("SMTPPool.send_many(), one connection", server, many, max_size=1, max_uses=None),
        sent_by_many("SMTPPool.send_many()", server, many),
        in_tasks_by_pool("AsyncSMTPPool.send()", server),
        in_tasks_by_pool("AsyncSMTPPool.send_many(), one connection", server, many=many),
        kept.contender(calls(lambda: kept.smtp.send_message(kept.mail)), note=fragile),
        by_aiosmtplib("aiosmtplib, one connection kept", server, note="the same"),
    ]
    least = {"next door": 4.5, "20 ms away": 8}[size]
    claims = [
        Claim("SMTPPool.send()", EACH, 3),
        Claim("AsyncSMTPPool.send()", EACH, 3),
        Claim("SMTPPool.send_many(), one connection", EACH, least),
        Claim("AsyncSMTPPool.send_many(), one connection", EACH, least),
    ]
    compare(contenders, size=size, claims=claims)
