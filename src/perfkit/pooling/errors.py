"""What can go wrong with a pool. ``perfkit.errors`` has the whole tree."""

from perfkit.errors import PerfkitError

__all__ = ["NotLent", "PoolClosed", "PoolError", "PoolFull", "PoolLoopError", "PoolReentered", "PoolTimeout"]


class PoolError(PerfkitError):
    """The root of the errors of pools. ``pool`` is the pool's name (str).

    What ``connect`` raises is raised as it is, and is none of these.
    """

    pool: str


class PoolTimeout(PoolError, TimeoutError):
    """No connection came free in time. ``timeout`` is how long was waited (seconds)."""

    timeout: float


class PoolFull(PoolError, TimeoutError):
    """As many as may wait (``max_waiting``) wait already; this caller was turned away at once."""


class PoolClosed(PoolError, RuntimeError):
    """The pool was closed, before or while a connection was waited for."""


class NotLent(PoolError, ValueError):
    """What was given back is not lent by this pool: given back twice, or never taken from it."""


class PoolLoopError(PoolError, RuntimeError):
    """A `perfkit.AsyncPool` was used in an event loop other than the one it was first used in."""


class PoolReentered(PoolError, RuntimeError):
    """A signal handler or a finaliser would have to wait for what its own thread is in the middle of.

    It runs while that thread holds a pool's lock, and may have a connection that is idle, look, order and give back;
    but not wait for a connection.
    """
