"""What a circuit breaker raises. ``perfkit.errors`` has the whole tree."""

from perfkit.errors import PerfkitError

__all__ = ["BreakerOpen"]


class BreakerOpen(PerfkitError, ConnectionError):
    """The call was not made: the breaker is open, or half-open with all its probes out.

    ``name`` is the breaker's. ``retry_after`` says in how many seconds (above 0) another call may be worth it.
    """

    name: str
    retry_after: float
