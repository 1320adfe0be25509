"""Fixtures of the mail pools' tests, there and among the faults."""

import asyncio
import contextlib
import logging

import pytest
from smtp_servers import PATIENCE, FaultServer

import perfkit.pooling
from perfkit.demo.smtp_server import PASSWORD, USERNAME, Authority, MailServer

__all__ = ["authority", "fault", "mail_server", "pool", "pools", "secured"]

HASTY = {"timeout": 2.0, "backoff": (0.01, 0.05)}  # where no connection comes to be
LOGIN = {"username": USERNAME, "password": PASSWORD}


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture
def secured(authority):
    """How to reach a `MailServer` through something else."""
    return {"tls": "starttls", "context": authority.client_context(), **LOGIN}


@pytest.fixture
def mail_server(authority):
    """``mail_server(tls="starttls", …)`` runs aiosmtpd until the test ends; it logs each line, which nobody reads."""
    with contextlib.ExitStack() as stack:
        logger = logging.getLogger("mail.log")
        stack.callback(setattr, logger, "disabled", logger.disabled)
        logger.disabled = True
        yield lambda **settings: stack.enter_context(MailServer(authority, **settings))


@pytest.fixture
def fault():
    """``fault(plan, …)`` runs a `FaultServer` until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda *plan, **settings: stack.enter_context(FaultServer(*plan, **settings))


@pytest.fixture
def pool(authority):
    """``pool(server, …)`` makes an SMTPPool, by default without TLS for a FaultServer, with all for a MailServer."""
    with contextlib.ExitStack() as stack:
        yield lambda server, **options: stack.enter_context(
            perfkit.pooling.SMTPPool("localhost", server.port, **(_usual(server, authority) | options))
        )


class InLoop:
    """An AsyncSMTPPool, used from outside of its event loop."""

    def __init__(self, runner, port, **options):
        self._runner = runner
        self.inner = self._call(self._make, port, **options)

    async def _make(self, port, **options):
        return perfkit.pooling.AsyncSMTPPool("localhost", port, **options)

    def _call(self, function, *arguments, **named):
        async def main():
            async with asyncio.timeout(PATIENCE):
                return await function(*arguments, **named)

        return self._runner.run(main())

    def send(self, *arguments, **named):
        return self._call(self.inner.send, *arguments, **named)

    def send_many(self, *arguments, **named):
        return self._call(self.inner.send_many, *arguments, **named)

    def stats(self):
        return self.inner.stats()

    def drain(self):
        self.inner.drain()

    def close(self):
        self._call(self.inner.aclose)


@pytest.fixture(params=["threads", "asyncio"])
def pools(request, pool, authority):
    """``pools(server, …)`` makes a pool of either kind, used the same way."""
    if request.param == "threads":
        yield pool
        return
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner())

        def make(server, **options):
            made = InLoop(runner, server.port, **(_usual(server, authority) | options))
            stack.callback(made.close)
            return made

        yield make


def _usual(server, authority):
    if isinstance(server, MailServer):
        return {**HASTY, **LOGIN, "context": authority.client_context()}
    return {**HASTY, "tls": "none"}
