"""What `SMTPPool` and `AsyncSMTPPool` have in common: the pool beneath, what becomes of a connection, the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from perfkit import registry
from perfkit.pooling.smtp_stats import SMTPStats, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.pooling.base import PoolBase
    from perfkit.pooling.smtp_aio_transport import LoopConnection
    from perfkit.pooling.smtp_options import Options
    from perfkit.pooling.smtp_transport import SocketConnection
    from perfkit.pooling.smtp_trip import Trip

    Connection = SocketConnection | LoopConnection

__all__ = ["SMTPBase"]


class SMTPBase:
    """A mail pool but for sending, which its subclasses do in threads or in tasks."""

    _pool: PoolBase[Any]

    def _begin(
        self,
        options: Options,
        name: str | None,
        pool: type[PoolBase[Any]],
        kind: type[Connection],
        connect: Callable[[Options], Any],
        *,
        max_size: int,
        **limits: Any,
    ) -> None:
        """Have a pool of such connections. Each is looked at before it is lent: servers end sessions unasked."""
        self._options = options
        self.name = name or options.terms.server
        self._max_size = max_size
        self._tally = Tally()
        self._pool = pool(
            lambda: connect(options),
            max_size=max_size,
            validate=kind.is_quiet,
            validate_after=0.0,
            close=kind.close,
            name=f"{self.name} pool",
            **limits,
        )
        registry.register(self, part="pooling")

    def __repr__(self) -> str:
        return self._pool._shown_as(type(self).__name__, self.name)

    def drain(self) -> None:
        """Replace every connection as it comes back: the password was changed, or the server."""
        self._pool.drain()

    def stats(self) -> SMTPStats:
        """Return the figures. It waits for nothing, and is not awaited."""
        return self._tally.stats(self.name, self._options.terms.server, self._pool.stats())

    def _session_ended(self, connection: Connection, trip: Trip, error: Exception) -> None:
        """Let go of a connection that has failed. If it was dead when it was lent, those that are idle may be, too."""
        session = connection.session
        self._pool.discard(connection)
        if session.was_stale:
            self._pool.drain()
        trip.session_ended(error, session)

    def _put_back(self, connection: Connection) -> None:
        if connection.is_sound and not connection.session.is_spent:
            self._pool.release(connection)
        else:
            self._pool.discard(connection)
