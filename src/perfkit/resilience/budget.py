"""`perfkit.RetryBudget`: how many retries all callers together may make."""

from __future__ import annotations

import itertools
import threading
import time

from perfkit import registry
from perfkit._base import fork
from perfkit.resilience import limits
from perfkit.resilience.tokens import Tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.resilience.stats import BudgetStats

__all__ = ["RetryBudget"]

_numbers = itertools.count(1)


class RetryBudget:
    """Keeps retries a small part of the calls, however many fail: pass it to each ``retry(budget=...)`` of a service.

    If a service fails altogether, three attempts a call are three times the load, at the worst moment. A budget is a
    bucket of tokens, full at first. Each call's first attempt puts in ``ratio`` of a token, each second
    ``min_per_second``, and each retry takes a whole one. Where there is none the error is raised at once.

    Args:
        ratio: retries allowed a call, 0 to 1; 0.1 is one in ten.
        min_per_second: retries allowed each second whatever the calls, from 0, for programs that make few.
        max_tokens: the most that can be saved up, from 1: the retries of a burst.
        name: what ``perfkit.stats()`` calls it.
        timer: the clock, a function that returns seconds.

    Thread-safe, and for any number of event loops at once. A forked child has a budget of its own, as full.

    Raises TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Cost: 0.3 µs a call. Sources: Twitter's Finagle (``RetryBudget``), gRPC's retry throttling (proposal A6), and the
    chapter "Addressing Cascading Failures" of Google's "Site Reliability Engineering" (2016).
    """

    def __init__(
        self,
        ratio: float = 0.1,
        *,
        min_per_second: float = 1.0,
        max_tokens: float = 100.0,
        name: str | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        limits.check_timer(timer)
        self._most = limits.check_between(max_tokens, "max_tokens", 1)
        self._tokens = Tokens(
            limits.check_between(ratio, "ratio", 0, 1),
            limits.check_between(min_per_second, "min_per_second", 0),
            self._most,
            timer(),
        )
        self._timer = timer
        self._allowed = 0
        self._refused = 0
        self.name = name or f"budget-{next(_numbers)}"
        self._lock = threading.RLock()  # re-entrant: a finaliser may make a call
        fork.after_in_child(self)
        registry.register(self, part="resilience")

    def deposit(self) -> None:
        """Say that a call begins; `retry` does."""
        with self._lock:
            self._tokens.deposit(self._timer())

    def take(self) -> bool:
        """Tell whether a retry may be made, which takes a token; `retry` does."""
        with self._lock:
            is_allowed = self._tokens.take(self._timer())
            self._allowed += is_allowed
            self._refused += not is_allowed
            return is_allowed

    def stats(self) -> BudgetStats:
        """Return its figures."""
        from perfkit.resilience.stats import BudgetStats

        with self._lock:
            return BudgetStats(self.name, self._tokens.left(self._timer()), self._most, self._allowed, self._refused)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {self.stats().tokens:.3g} of {self._most:g} tokens>"

    def _after_fork_in_child(self) -> None:
        self._lock = threading.RLock()
