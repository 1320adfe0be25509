"""A connection to an SMTP server on an event loop: carries out dialogues, and nothing else.

An `asyncio.Protocol` and no streams: what came before STARTTLS has to be seen before TLS begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from perfkit.pooling.smtp_opening import opening, quitting
from perfkit.pooling.smtp_replies import Reply, ReplyParser
from perfkit.pooling.smtp_session import Session
from perfkit.pooling.smtp_steps import REPLY, SECURE, Ask, Content, Wanted
from perfkit.pooling.smtp_transport import (
    GOODBYE,
    PIECE,
    handshake,
    injected,
    literal,
    lost,
    not_opened,
    patience,
    timed_out,
    unanswered,
    unasked,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.pooling.smtp_options import Options
    from perfkit.pooling.smtp_steps import Dialogue

__all__ = ["LoopConnection"]

T = TypeVar("T")


class LoopConnection(asyncio.Protocol):
    """A session with a server, and the transport it goes over. One task at a time."""

    session: Session
    _transport: asyncio.Transport

    def __init__(self, options: Options) -> None:
        self._options = options
        self._server = options.terms.server
        self._timeout = options.timeout
        self._parser = ReplyParser()
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._error: Exception | None = None
        self._news: asyncio.Future[None] | None = None  # for the one who waits for anything
        self._is_full = False
        self.is_sound = False

    @classmethod
    async def open(cls, options: Options) -> LoopConnection:
        """Connect and begin the session. Raises what the system does, and what `opening` does."""
        loop = asyncio.get_running_loop()
        encrypted = options.terms.tls == "implicit"
        with handshake(options):
            try:
                async with asyncio.timeout(options.connect_timeout):
                    transport, self = await loop.create_connection(
                        lambda: cls(options),
                        options.host,
                        options.port,
                        local_addr=options.source_address,
                        ssl=options.context() if encrypted else None,
                        server_hostname=options.host if encrypted else None,
                        ssl_handshake_timeout=2 * options.connect_timeout if encrypted else None,  # ours is first
                    )
            except TimeoutError as error:
                raise timed_out(options.terms.server, "did not take our connection", options.connect_timeout) from error
        name = options.local_hostname or literal(transport.get_extra_info("sockname"))
        try:
            async with asyncio.timeout(options.opening_timeout) as limit:
                features = await self.run(opening(options.terms, name))
        except TimeoutError as error:
            if limit.expired():
                raise not_opened(options) from error
            raise
        self.session = Session(options.terms.server, features, options.max_uses)
        return self

    async def run(self, dialogue: Dialogue[T]) -> T:
        """Carry out a dialogue. If it does not come to its end, the connection is cut."""
        result = None
        self.is_sound = False
        try:
            while True:
                try:
                    step = dialogue.send(result)
                except StopIteration as end:
                    self.is_sound = True
                    outcome: T = end.value
                    return outcome
                result = await self._do(step)
        finally:
            if not self.is_sound:
                self._transport.abort()

    async def _do(self, step: Any) -> Any:
        if isinstance(step, bytes):
            return await self._write(step)
        if isinstance(step, Content):
            return await self._write_content(step)
        if step is SECURE:
            return await self._secure()
        if isinstance(step, Wanted):
            return await self._read(step)
        assert isinstance(step, Ask)  # noqa: S101 (there are no others)
        answer = step.function(*step.arguments)
        return await answer if inspect.isawaitable(answer) else answer

    async def _write(self, data: bytes) -> None:
        if not self._parser.is_empty:
            raise unasked(self._server, self._parser.next())
        for at in range(0, len(data), PIECE):
            await self._send(data[at : at + PIECE])

    async def _write_content(self, step: Content) -> Reply | None:
        """Write all of it; from the piece with the final dot on, the mail is out."""
        for at in range(0, len(step.data), PIECE):
            if at:
                await asyncio.sleep(0)  # or nothing would be heard while the system takes it all
            if at < step.end and not self._parser.is_empty:
                return await self._read(REPLY)
            self._refuse_if_ended()
            step.errand.is_out = at + PIECE >= step.end
            try:
                await self._send(step.data[at : at + PIECE])
            except OSError:
                if (said := self._last_words()) is not None:
                    return said
                raise
        return None

    def _last_words(self) -> Reply | None:
        """Return what the server said before it stopped taking anything, if it did."""
        with contextlib.suppress(OSError):  # the one that brought us here says more
            return self._parser.next()
        return None

    async def _send(self, data: bytes) -> None:
        """Write it, and wait until there is room for more, or an answer: whoever has answered may read no further."""
        self._refuse_if_ended()
        self._transport.write(data)
        if self._is_full:
            try:
                await self._until(lambda: not self._is_full or not self._parser.is_empty, self._timeout)
            except TimeoutError as error:
                raise timed_out(self._server, "took nothing of what was sent to it", self._timeout) from error

    async def _read(self, wanted: Wanted) -> Reply:
        if (said := self._parser.next()) is not None:
            return said
        found: list[Reply] = []
        timeout = patience(wanted, self._options, self._timeout)
        try:
            await self._until(lambda: self._has_reply(found), timeout)
        except TimeoutError as error:
            raise unanswered(wanted, self._options, timeout) from error
        return found[0]

    def _has_reply(self, found: list[Reply]) -> bool:
        if (said := self._parser.next()) is not None:
            found.append(said)
        return bool(found)

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait for something to come true, which the server has to do something for; raise TimeoutError if it isn't."""
        async with asyncio.timeout(timeout):
            while not condition():
                self._refuse_if_ended()
                self._news = self._loop.create_future()
                await self._news

    def _refuse_if_ended(self) -> None:
        if self._ended.done() or self._transport.is_closing():
            raise lost(self._server, self._error) from self._error

    async def _secure(self) -> None:
        if not self._parser.is_empty:
            raise injected(self._server)
        limit = self._options.connect_timeout
        with handshake(self._options):
            async with asyncio.timeout(limit):
                transport = await self._loop.start_tls(
                    self._transport,
                    self,
                    self._options.context(),
                    server_hostname=self._options.host,
                    ssl_handshake_timeout=2 * limit,  # ours is first
                )
        if transport is None:  # it was closed under us
            raise lost(self._server, self._error)
        self._transport = transport

    async def is_quiet(self) -> bool:
        """Tell whether the server has neither closed an idle connection nor said anything on it, as far as is known."""
        return self.is_sound and self._parser.is_empty and not self._ended.done() and not self._transport.is_closing()

    async def close(self) -> None:
        """Say goodbye, if the session is in a state for it, and close the transport."""
        if await self.is_quiet():
            self._timeout = min(GOODBYE, self._timeout)
            with contextlib.suppress(OSError):  # it is as good as gone
                await self.run(quitting())
        self.is_sound = False
        self._transport.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await asyncio.shield(self._ended)

    # -- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """The server says something."""
        self._parser.feed(data)
        if self._parser.is_flooded:
            self._transport.abort()
        self._tell()

    def pause_writing(self) -> None:
        """Much is written that the server hasn't taken."""
        self._is_full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._is_full = False
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._error = exc
        if exc is not None:
            self._take_last_words()
        if not self._ended.done():
            self._ended.set_result(None)
        self._tell()

    def _take_last_words(self) -> None:
        """Take what the server said before it cut us off: a transport that fails to write reads no more."""
        if self._transport.get_extra_info("ssl_object") is not None:
            return
        with contextlib.suppress(OSError, TypeError):  # the loop's socket, which some loops don't lend, is open still
            with self._transport.get_extra_info("socket").dup() as sock:
                self._parser.feed(sock.recv(PIECE))

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
