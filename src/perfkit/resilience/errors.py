"""Stand-in."""

from perfkit.errors import PerfkitError


class BreakerOpen(PerfkitError, ConnectionError):
    """Stand-in."""

    retry_after: float
