"""`AsyncSMTPPool`: mail over connections that are kept, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from perfkit.pooling.aio import AsyncPool
from perfkit.pooling.smtp_aio_crew import Crew
from perfkit.pooling.smtp_aio_transport import LoopConnection
from perfkit.pooling.smtp_base import SMTPBase
from perfkit.pooling.smtp_errand import Errand, SessionEnds
from perfkit.pooling.smtp_message import check_are_many, prepare
from perfkit.pooling.smtp_options import options_of
from perfkit.pooling.smtp_trip import Trip

if TYPE_CHECKING:
    import ssl

    from perfkit.pooling.delivery import Delivery
    from perfkit.pooling.smtp_auth import Auth
    from perfkit.pooling.smtp_message import Mail, Recipients

__all__ = ["AsyncSMTPPool"]


class AsyncSMTPPool(SMTPBase):
    """`SMTPPool` for asyncio: the same methods, arguments, guarantees and errors, awaited.

    It has no ``connection()``, and so no ``leak_after``. ``auth`` may be a coroutine function. Messages are put into
    bytes on the event loop: some 100 µs for a text, some milliseconds for each megabyte of attachments.

    Cancellation: a mail that was not handed over is not delivered. If a task is cancelled after the final dot and
    before the server's word, nobody knows: the CancelledError has a note that says so, and `stats` counts it. What
    `asyncio.timeout` and `asyncio.wait_for` raise has that error as its ``__cause__``. A connection that was in the
    middle of something is closed, and its place in the pool is free.

    Used by one event loop. Close it with ``await pool.aclose()``, or use it with ``async with``.
    """

    _pool: AsyncPool[LoopConnection]

    def __init__(
        self,
        host: str,
        port: int = 587,
        *,
        username: str | None = None,
        password: str | None = None,
        auth: Auth | None = None,
        tls: Literal["starttls", "implicit", "none"] = "starttls",
        context: ssl.SSLContext | None = None,
        max_size: int = 3,
        min_size: int = 0,
        max_uses: int | None = 50,
        timeout: float = 30.0,
        final_timeout: float = 300.0,
        max_idle: float = 60.0,
        max_lifetime: float = 3600.0,
        max_waiting: int | None = None,
        backoff: tuple[float, float] = (0.1, 30.0),
        breaker: Any = None,
        allow_insecure_auth: bool = False,
        local_hostname: str | None = None,
        source_address: tuple[str, int] | None = None,
        name: str | None = None,
    ) -> None:
        options = options_of(
            host,
            port,
            username=username,
            password=password,
            auth=auth,
            tls=tls,
            context=context,
            allow_insecure_auth=allow_insecure_auth,
            timeout=timeout,
            final_timeout=final_timeout,
            max_uses=max_uses,
            local_hostname=local_hostname,
            source_address=source_address,
        )
        self._begin(
            options,
            name,
            AsyncPool,
            LoopConnection,
            LoopConnection.open,
            max_size=max_size,
            min_size=min_size,
            max_waiting=max_waiting,
            timeout=timeout,
            max_lifetime=max_lifetime,
            max_idle=max_idle,
            breaker=breaker,
            backoff=backoff,
        )

    async def __aenter__(self) -> AsyncSMTPPool:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> AsyncSMTPPool:
        raise TypeError("an AsyncSMTPPool is for tasks: use `async with`, or a perfkit.SMTPPool")

    def __exit__(self, *_: object) -> None: ...

    async def send(self, message: Mail, to_addrs: Recipients = None, from_addr: str | None = None) -> Delivery:
        """Send one mail; return what has become of it. See `SMTPPool.send`."""
        errand = Errand(prepare(message, to_addrs, from_addr))
        waiting = [errand]
        try:
            await self._carry(Trip(lambda: waiting.pop() if waiting else None, self._tally))
            return errand.outcome()
        except BaseException as error:
            errand.broken_off(error, self._options.terms.server)
            self._tally.end(errand)
            raise

    async def send_many(
        self,
        messages: Iterable[Mail] | AsyncIterable[Mail],
        progress: Callable[[Delivery], object] | None = None,
    ) -> list[Delivery]:
        """Send mails, each to the recipients in its headers; return what has become of each. See `SMTPPool.send_many`.

        ``messages`` may be an asynchronous iterator. ``progress`` is an ordinary function, called on the event loop.

        Cancelled, nothing more is sent, and what is under way is broken off; the CancelledError has a note that says
        how many mails were taken by then, and which may have been.
        """
        check_are_many(messages, may_await=True)
        crew = Crew(self._carry, self._options.terms.server, self._tally, self._max_size, progress)
        try:
            async with crew, aclosing(_each(messages)) as each:
                async for message in each:
                    await crew.give(message)
                await crew.finish()
            return crew.batch.deliveries()
        except BaseException as error:
            crew.give_account(error)
            raise

    async def warm(self) -> None:
        """Open ``min_size`` connections now, and one at least. Raises what connecting raises: for a service's start."""
        await self._pool.warm()

    async def aclose(self, timeout: float = 5.0) -> None:
        """Close the connections, in at most so many seconds. Whoever waits for one gets PoolClosed."""
        await self._pool.aclose(timeout)

    async def _carry(self, trip: Trip) -> None:
        """Deliver a trip's mails, over as many connections as it takes. Raises what getting a connection raises."""
        while trip.wants_connection():
            connection: LoopConnection = await self._pool.acquire()
            try:
                await connection.run(connection.session.deliver(trip.take))
            except (OSError, SessionEnds) as error:
                self._session_ended(connection, trip, error)
            except BaseException:  # whoever made the trip concludes its mails
                self._pool.discard(connection)
                raise
            else:
                trip.look()
                self._put_back(connection)


async def _each(messages: Iterable[Mail] | AsyncIterable[Mail]) -> AsyncGenerator[Mail, None]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message
