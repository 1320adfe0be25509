"""The figures of an SMTP pool."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perfkit._base import fork
from perfkit._base.histogram import LatencyRecorder
from perfkit.pooling.smtp_errors import DeliveryRefused, DeliveryUnknown

if TYPE_CHECKING:
    from perfkit._base.latency_summary import LatencySummary
    from perfkit.pooling.smtp_errand import Errand

__all__ = ["SMTPStats", "Tally"]


@dataclass(frozen=True, slots=True)
class SMTPStats:
    """What an SMTP pool has done since it was made, in this process.

    Attributes:
        name: what the pool is called.
        server: host and port.
        delivered: mails that the server has taken for at least one recipient.
        partly: those of them that it has not taken for every recipient.
        refused: mails that it has refused.
        unknown: mails of which nobody knows, because the connection ended before the server's word.
        failed: mails that could not be handed over, for want of a connection too.
        resent: times that a mail was begun again, because its connection ended before it was handed over.
        times: seconds from a mail's turn to the server's word on it.
        connections: the figures of the pool of connections.
    """

    name: str
    server: str
    delivered: int
    partly: int
    refused: int
    unknown: int
    failed: int
    resent: int
    times: LatencySummary
    connections: Any

    COLUMNS = ("server", "delivered", "refused", "unknown", "failed", "resent", "times")


class Tally:
    """Counts what becomes of mails, in any number of threads."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("delivered", "partly", "refused", "unknown", "failed", "resent"), 0)
        self._times = LatencyRecorder()
        self._after_fork_in_child()
        fork.after_in_child(self)

    def begin(self, errand: Errand) -> None:
        """A mail's turn has come."""
        errand.since = time.perf_counter()

    def end(self, errand: Errand) -> None:
        """A mail has its delivery. Each is counted once, however often this is called: an interrupt may strike here."""
        delivery = errand.delivery
        assert delivery is not None  # noqa: S101 (that is when this is called)
        kind, is_partly = _kind(delivery.error), delivery.error is None and not delivery.ok
        resent = max(0, errand.sessions - 1)
        with self._mutex:
            if errand.is_counted:
                return
            self._counts["resent"] += resent
            self._counts[kind] += 1
            self._counts["partly"] += is_partly
            errand.is_counted = True  # nothing has been called since the first of these, so no interrupt comes between
        if errand.since is not None:
            self._times.record(time.perf_counter() - errand.since)

    def stats(self, name: str, server: str, connections: Any) -> SMTPStats:
        """Return the figures."""
        with self._mutex:
            counts = dict(self._counts)
        return SMTPStats(name=name, server=server, times=self._times.summary(), connections=connections, **counts)

    def _after_fork_in_child(self) -> None:
        self._mutex = threading.Lock()


def _kind(error: Exception | None) -> str:
    if error is None:
        return "delivered"
    if isinstance(error, DeliveryRefused):
        return "refused"
    return "unknown" if isinstance(error, DeliveryUnknown) else "failed"
