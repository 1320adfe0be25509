"""What becomes of one call that has failed: waits, another attempt, or a note on the error that is raised."""

from __future__ import annotations

from contextlib import suppress
from random import random

from perfkit._base.exceptions import annotate, described
from perfkit._base.logs import logger
from perfkit.resilience.attempts import (
    ATTEMPTS,
    BUDGET,
    NOT_RETRYABLE,
    TIMEOUT,
    Failures,
    heading_of,
    least_wait,
)
from perfkit.resilience.errors import BreakerOpen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from perfkit.resilience.attempts import Reason
    from perfkit.resilience.retrying import Retry

__all__ = ["COUNTED", "Run", "slept"]

COUNTED = ("retries", "recovered", "out_of_attempts", "out_of_time", "out_of_budget", "not_retryable")
_COUNTED_AS = {
    ATTEMPTS: "out_of_attempts",
    TIMEOUT: "out_of_time",
    BUDGET: "out_of_budget",
    NOT_RETRYABLE: "not_retryable",
}
_WHY = {
    ATTEMPTS: "no attempts left (attempts={attempts})",
    TIMEOUT: "the next would begin too late (timeout={timeout:g})",
    BUDGET: "the budget has no retries left",
    NOT_RETRYABLE: "the last error is not one to try again",
}


class Run:
    """What has become of one call so far, since its first failure."""

    __slots__ = ("_began", "_failures", "_name", "_retry")

    def __init__(self, retry: Retry, name: str | None, began: float) -> None:
        self._retry = retry
        self._name = retry._name or name or retry.name
        self._began = began
        self._failures = Failures()

    def goes_on_after(self, error: Exception) -> bool:
        """Wait, and tell whether there is another attempt; if not, the error has its note.

        Called while the error is handled, so that the caller's ``raise`` leaves its context alone.
        """
        wait = self.wait_after(error)
        if wait is None:
            return False
        self._retry._sleep(wait)
        return self.begins_another(error)

    async def agoes_on_after(self, error: Exception) -> bool:
        """Do as `goes_on_after`, and wait on the event loop."""
        wait = self.wait_after(error)
        if wait is None:
            return False
        await slept(self._retry._asleep(wait))
        return self.begins_another(error)

    def wait_after(self, error: Exception) -> float | None:
        """Return how long to wait before the next attempt, or None if there is none."""
        retry, failures = self._retry, self._failures
        failures.add(error)
        least = None if isinstance(error, BreakerOpen) else least_wait(retry._asked(error))
        if least is None:
            self._give_up(error, NOT_RETRYABLE)
            return None
        elapsed = retry._timer() - self._began
        wait = retry._plan.wait(failures.number, least, random())  # noqa: S311 (spreads, protects nothing)
        objection = retry._plan.objection(failures.number, elapsed, wait)
        if objection is None and retry._budget is not None and not retry._budget.take():
            objection = BUDGET
        if objection is not None:
            self._give_up(error, objection)
            return None
        self._tell(error, wait, elapsed)
        return wait

    def begins_another(self, error: Exception) -> bool:
        """Tell, after the wait, whether there is still time for another attempt; if not, the error has its note."""
        if self._retry._plan.is_late(self._retry._timer() - self._began):
            self._give_up(error, TIMEOUT)
            return False
        self._retry._count("retries")
        return True

    def _give_up(self, error: Exception, reason: Reason) -> None:
        retry, failures = self._retry, self._failures
        retry._count(_COUNTED_AS[reason])
        if reason == NOT_RETRYABLE and failures.number == 1:  # nothing was tried again, and nothing is to be said
            return
        elapsed = retry._timer() - self._began
        why = _WHY[reason].format(attempts=retry._plan.attempts, timeout=retry._plan.timeout)
        if isinstance(error, BreakerOpen):
            why = "the breaker is open"
        with suppress(Exception):  # an error that takes no note is raised without
            annotate(error, heading_of(self._name), failures.note(self._name, elapsed, why))
        logger("resilience").info(
            "retry %r: gave up after %s in %.3f s: %s: %s",
            self._name,
            failures.counted,
            elapsed,
            why,
            described(error),
        )

    def _tell(self, error: Exception, wait: float, elapsed: float) -> None:
        number = self._failures.number
        logger("resilience").debug(
            "retry %r: attempt %d: %s: again in %.3f s", self._name, number, described(error), wait
        )
        if self._retry._on_retry is None:
            return
        from perfkit.resilience.stats import RetryEvent

        try:
            self._retry._on_retry(RetryEvent(self._name, number, error, wait, elapsed))
        except Exception:  # noqa: BLE001 (it is logged; the retry goes on all the same)
            logger("resilience").exception("on_retry of retry %r failed", self._name)


def slept(pause: Any) -> Any:
    """Return what a ``sleep`` gave, to be awaited. Raises TypeError if it gave nothing, having slept on the loop."""
    if pause is None:
        raise TypeError("sleep must return what can be awaited, as asyncio.sleep does: these are coroutines")
    return pause
