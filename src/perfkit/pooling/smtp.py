"""`SMTPPool`: mail over connections that are kept, for threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from perfkit.pooling.smtp_base import SMTPBase
from perfkit.pooling.smtp_crew import Crew
from perfkit.pooling.smtp_errand import Errand, SessionEnds
from perfkit.pooling.smtp_lent import LentSMTP, SMTPLease
from perfkit.pooling.smtp_message import check_are_many, prepare
from perfkit.pooling.smtp_options import options_of
from perfkit.pooling.smtp_transport import SocketConnection
from perfkit.pooling.smtp_trip import Trip
from perfkit.pooling.threads import Pool

if TYPE_CHECKING:
    import smtplib
    import ssl

    from perfkit.pooling.delivery import Delivery
    from perfkit.pooling.smtp_auth import Auth
    from perfkit.pooling.smtp_message import Mail, Recipients

__all__ = ["SMTPPool"]


class SMTPPool(SMTPBase):
    r"""Sends mail over connections that are kept, encrypted and logged in: one handshake for many mails.

    Thread-safe. Where the server offers PIPELINING, a mail is two round trips with `send`, and one with `send_many`,
    which also uses several connections.

    What is promised of a mail: it is never sent twice by itself. A connection that ends before the mail was handed over
    is replaced, and the mail sent again, at most three times in all; so an idle connection that the server has closed,
    a restart of the server, or its ``421`` after so many mails go unnoticed. One that ends between the final dot and
    the server's word on it leaves a mail of which nobody knows: `perfkit.errors.DeliveryUnknown`.

    What is promised of a password: certificates are verified, TLS is 1.2 or newer, and unless ``allow_insecure_auth``
    is True it goes over no connection that isn't encrypted. It is in no error, log line, figure or ``repr``: of what a
    server says to a login, which may repeat it, only the codes are kept.

    Args:
        host: the server's name, which its certificate must have, or its address.
        port: 587 (STARTTLS), 465 (TLS from the first byte) or another.
        username: who logs in; None to send without.
        password: theirs; sent by PLAIN or LOGIN, without TLS by CRAM-MD5 where the server has it.
        auth: instead of a password, how to log in: called at each new connection with the names of the mechanisms that
            the server offers, it returns one of them (or another) and what is said in it, as
            ``("XOAUTH2", "user=…\1auth=Bearer …\1\1")``. A function in place of the str answers each challenge.
        tls: ``"starttls"``; ``"implicit"``, encrypted from the first byte; or ``"none"``. A server that doesn't offer
            STARTTLS is refused: somebody on the way may have taken out the offer.
        context: the `ssl.SSLContext` for all of them; None for one that verifies certificates by the system's
            authorities.
        max_size: how many connections there may be at once.
        min_size: how many are kept however long they are idle.
        max_uses: how many mails one takes before it is replaced (providers allow 25 to 100); None for any number.
        timeout: seconds, a day at most, for each of: a connection to come free, each answer of the server. Connecting,
            the greeting and the TLS handshake have four fifths of it each, so that who waits for a connection learns
            why there is none; a session that isn't open after five times it is given up.
        final_timeout: seconds for the server's word on a mail it has: long, because who gives up there doesn't know
            whether it was sent (RFC 5321, section 4.5.3.2.6, asks for ten minutes).
        max_idle: seconds after which an idle connection is closed; servers do it after one to five minutes.
        max_lifetime: seconds after which any is replaced.
        max_waiting: how many callers may wait for a connection; more fail at once. None for any number.
        backoff: seconds between attempts to connect to a server that can't be reached: the first, and at most.
        breaker: a `perfkit.CircuitBreaker` for connecting.
        leak_after: seconds after which a connection of `connection` that was not given back is logged.
        allow_insecure_auth: whether a password may go over a connection that isn't encrypted.
        local_hostname: our own name for EHLO; None for the host's, or the address of the connection.
        source_address: ``(address, port)`` to connect from.
        name: what it is called in `perfkit.stats`; None for ``host:port``.

    Raises:
        ValueError, TypeError: an argument is not what it says above.

    Source: RFC 5321 (SMTP), 2920 (pipelining), 3207 (STARTTLS), 4954 (AUTH), 1870 (SIZE), 6152 (8BITMIME), 6531
    (SMTPUTF8).
    """

    _pool: Pool[SocketConnection]

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
        leak_after: float | None = None,
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
            Pool,
            SocketConnection,
            SocketConnection,
            max_size=max_size,
            min_size=min_size,
            max_waiting=max_waiting,
            timeout=timeout,
            max_lifetime=max_lifetime,
            max_idle=max_idle,
            breaker=breaker,
            backoff=backoff,
            leak_after=leak_after,
        )

    def __enter__(self) -> SMTPPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> SMTPPool:
        raise TypeError("an SMTPPool is for threads and would stop the event loop: use a perfkit.AsyncSMTPPool")

    async def __aexit__(self, *_: object) -> None: ...

    def send(self, message: Mail, to_addrs: Recipients = None, from_addr: str | None = None) -> Delivery:
        """Send one mail; return what has become of it.

        Args:
            message: an `email.message.EmailMessage` (or another `email.message.Message`), or bytes. It isn't changed.
                ``Bcc`` isn't sent; ``Message-ID`` and ``Date`` are added if they are missing.
            to_addrs: the recipients, one or an iterable; None for those in To, Cc and Bcc.
            from_addr: the sender, who is told if it can't be delivered later; None for Sender, or From. ``""`` for
                nobody.

        Returns:
            A `Delivery`. The server may have refused some of the recipients: ``delivery.refused`` has them.

        Raises:
            DeliveryRefused: the server refused the mail, or every recipient. ``permanent`` says whether for good.
            DeliveryUnknown: it may have been delivered or not; see the class.
            MailUnsupported: the server doesn't take such a mail, or not at these terms.
            MailError, OSError: it could not be handed over, so it was not delivered.
            PoolTimeout: no connection came free in time.
            TypeError, ValueError: it is no message, or has no sender or recipients, or an address is none; one with a
                line break would be a command.

        Interrupted by KeyboardInterrupt, the exception has a note if the mail was taken by then, or may have been.

        Cost: where the server offers PIPELINING, two round trips on a connection that is there; else four and one for
        each further recipient.
        """
        errand = Errand(prepare(message, to_addrs, from_addr))
        waiting = [errand]
        try:
            self._carry(Trip(lambda: waiting.pop() if waiting else None, self._tally))
            return errand.outcome()
        except BaseException as error:
            errand.broken_off(error, self._options.terms.server)
            self._tally.end(errand)
            raise

    def send_many(
        self, messages: Iterable[Mail], progress: Callable[[Delivery], object] | None = None
    ) -> list[Delivery]:
        """Send mails, each to the recipients in its headers; return what has become of each, in their order.

        A mail that can't be sent fails alone: its `Delivery` has the ``error`` that `send` would raise. So does what is
        no message at all; the error names its place. Where the server offers PIPELINING, the envelope of a mail goes
        out with the content of the one before. Further connections, up to ``max_size``, are opened while mails wait.

        Args:
            messages: a list, or another iterable, of messages as for `send`. They are taken from an iterator as they
                are sent, at most eight for each connection ahead; it runs in the calling thread.
            progress: called with each `Delivery`, as soon as may be, in the calling thread.

        What ``messages`` or ``progress`` raises is raised here, once the mails under way are finished; those that wait
        are not sent then. Interrupted by KeyboardInterrupt, it waits for nothing. Either error has a note that says how
        many mails were taken, and which may have been; whoever must know each, passes ``progress``. If there is no
        connection to be had at all, every mail that is left fails with that error, without another try.

        Raises:
            TypeError: ``messages`` is one message, or nothing that messages could be taken from. Nothing was sent.
        """
        check_are_many(messages, may_await=False)
        crew = Crew(self._carry, self._options.terms.server, self._tally, self._max_size, progress)
        try:
            with crew:
                for message in messages:
                    crew.give(message)
                crew.finish()
            return crew.batch.deliveries()
        except BaseException as error:
            crew.give_account(error)
            raise

    def connection(self) -> SMTPLease:
        """Lend a connection as a plain `smtplib.SMTP`, connected and logged in: ``with pool.connection() as smtp: …``.

        For what `send` doesn't do, and for code that there is. Don't keep it beyond the block. A connection that is
        left in the middle of something is replaced; so is one that was closed by ``smtp.quit()``.
        """
        return SMTPLease(self._lend())

    @contextmanager
    def _lend(self) -> Iterator[smtplib.SMTP]:
        connection = self._pool.acquire()
        connection.session.begin()
        connection.is_sound = False
        smtp = LentSMTP(connection, self._options.host, self._options.timeout)
        try:
            yield smtp
        except Exception:
            self._take_back(connection, smtp)
            raise
        except BaseException:
            smtp.give_back()
            self._pool.discard(connection)
            raise
        self._take_back(connection, smtp)

    def _take_back(self, connection: SocketConnection, smtp: LentSMTP) -> None:
        connection.is_sound = smtp.give_back()
        self._put_back(connection)

    def warm(self) -> None:
        """Open ``min_size`` connections now, and one at least. Raises what connecting raises: for a service's start."""
        self._pool.warm()

    def close(self, timeout: float = 5.0) -> None:
        """Close the connections, in at most so many seconds. Whoever waits for one gets PoolClosed."""
        self._pool.close(timeout)

    def _carry(self, trip: Trip) -> None:
        """Deliver a trip's mails, over as many connections as it takes. Raises what getting a connection raises."""
        while trip.wants_connection():
            connection: SocketConnection = self._pool.acquire()
            try:
                connection.run(connection.session.deliver(trip.take))
            except (OSError, SessionEnds) as error:
                self._session_ended(connection, trip, error)
            except BaseException:  # whoever made the trip concludes its mails
                self._pool.discard(connection)
                raise
            else:
                trip.look()
                self._put_back(connection)
