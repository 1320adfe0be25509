"""When a circuit breaker opens, lets probes through, and closes. Decides alone: no clock, no lock.

States and their names are those of Michael Nygard's "Release It!" (2007); rates over a window, the number of probes and
slow calls are as in resilience4j. Each stretch of time in one state is a *period*, an object of its own. A call keeps
the period it began in; if that is not the circuit's any more when the call ends, how it ended is of no interest.
"""

from __future__ import annotations

from perfkit.resilience.windows import FAILED, NEUTRAL, OK, SLOW, CountWindow, TimeWindow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    State = Literal["closed", "open", "half-open"]
    Window = CountWindow | TimeWindow

__all__ = ["FAILED", "NEUTRAL", "OK", "SLOW", "Circuit", "HalfOpen", "Open", "Refusal", "Rules"]


class Rules:
    """What was asked of a circuit. Counts are from 1, seconds above 0, rates above 0 to 1, or infinity for no rule."""

    __slots__ = (
        "consecutive",
        "failure_rate",
        "half_open_timeout",
        "min_calls",
        "probes",
        "reset_timeout",
        "slow_rate",
        "window",
        "window_seconds",
    )

    def __init__(
        self,
        *,
        failure_rate: float,
        window: int,
        window_seconds: float | None,
        min_calls: int,
        consecutive: int,
        slow_rate: float,
        reset_timeout: float,
        probes: int,
        half_open_timeout: float,
    ) -> None:
        self.failure_rate = failure_rate
        self.window = window
        self.window_seconds = window_seconds
        self.min_calls = min_calls
        self.consecutive = consecutive  # 0: no such rule
        self.slow_rate = slow_rate
        self.reset_timeout = reset_timeout
        self.probes = probes
        self.half_open_timeout = half_open_timeout

    def new_window(self, now: float) -> Window:
        """Return an empty window, which begins a closed period."""
        if self.window_seconds is None:
            return CountWindow(self.window, self.consecutive, now)
        return TimeWindow(self.window_seconds, now)

    def is_tripped(self, window: Window, now: float) -> bool:
        """Tell whether what the window shows is too bad to go on."""
        if self.consecutive and window.ends_in(self.consecutive):
            return True
        calls, failures, slow = window.tally(now)
        if calls < self.min_calls:
            return False
        # Quotients, not products: 3 / 30 is 0.1, but 0.1 * 30 is more than 3.
        return failures / calls >= self.failure_rate or slow / calls >= self.slow_rate


class Open:
    """A period in which no call is let through."""

    __slots__ = ("since", "until")

    state = "open"

    def __init__(self, since: float, until: float) -> None:
        self.since = since
        self.until = until


class HalfOpen:
    """A period in which some calls are let through to see how they fare."""

    __slots__ = ("admitted", "passed", "since", "until")

    state = "half-open"

    def __init__(self, since: float) -> None:
        self.since = since
        self.until = since
        self.admitted = 0  # probes out, and those that passed
        self.passed = 0

    @property
    def out(self) -> int:
        """How many probes are under way."""
        return self.admitted - self.passed


class Refusal:
    """Why a call is not let through: the state, and in how many seconds (above 0) to ask again."""

    __slots__ = ("retry_after", "state")

    def __init__(self, state: State, retry_after: float) -> None:
        self.state = state
        self.retry_after = retry_after


class Circuit:
    """The state of a circuit breaker. ``now`` is seconds on a clock that doesn't go backwards."""

    __slots__ = ("failed", "neutral", "opened", "period", "refused", "rules")

    def __init__(self, rules: Rules, now: float) -> None:
        self.rules = rules
        # One assignment changes the state, with all that belongs to it: nothing can strike in between.
        self.period: Window | Open | HalfOpen = rules.new_window(now)
        self.failed = 0
        self.refused = 0
        self.neutral = 0
        self.opened = 0

    @property
    def state(self) -> State:
        """``"closed"``, ``"open"`` or ``"half-open"``. Open turns to half-open when a call comes, not before."""
        state: State = self.period.state  # type: ignore[assignment]  # of three class attributes, each a literal
        return state

    def admit(self, now: float) -> Window | HalfOpen | Refusal:
        """Return the period in which a call may begin, or why it may not. The call has to be settled later."""
        period = self.period
        if isinstance(period, Open):
            if now < period.until:
                return self._refuse(period.until - now)
            period = self.period = HalfOpen(now)
        if isinstance(period, HalfOpen):
            return self._admit_probe(period, now)
        return period

    def _admit_probe(self, period: HalfOpen, now: float) -> HalfOpen | Refusal:
        if period.out and now >= period.until:  # a probe that hangs is one that failed
            self.trip(now)
            return self._refuse(self.rules.reset_timeout)
        if period.admitted >= self.rules.probes:
            return self._refuse(min(1.0, period.until - now))
        if not period.out:
            period.until = now + self.rules.half_open_timeout
        period.admitted += 1
        return period

    def _refuse(self, retry_after: float) -> Refusal:
        self.refused += 1
        return Refusal(self.state, retry_after)

    def settle(self, period: object, outcome: int, now: float) -> None:
        """Take note of how a call ended that was admitted in ``period``; of another period's nothing is taken."""
        current = self.period
        if period is not current or isinstance(current, Open):
            return
        if outcome == NEUTRAL:
            self._settle_neutral(current)
            return
        if outcome & FAILED:
            self.failed += 1
        if isinstance(current, HalfOpen):
            self._settle_probe(current, outcome, now)
            return
        current.add(outcome, now)
        if outcome != OK and self.rules.is_tripped(current, now):
            self.trip(now)

    def _settle_neutral(self, period: Window | HalfOpen) -> None:
        self.neutral += 1
        if isinstance(period, HalfOpen):
            period.admitted -= 1

    def _settle_probe(self, period: HalfOpen, outcome: int, now: float) -> None:
        if outcome != OK:
            self.trip(now)
        elif period.passed + 1 < self.rules.probes:
            period.passed += 1
        else:  # not counted first: were that interrupted, nobody would be let through, and nobody be waited for
            self.reset(now)

    def trip(self, now: float) -> None:
        """Open, for the whole of ``reset_timeout`` from now."""
        self.opened += self.state != "open"
        self.period = Open(now, now + self.rules.reset_timeout)

    def reset(self, now: float) -> None:
        """Close, and remember nothing of the calls before."""
        self.period = self.rules.new_window(now)

    def forget_probes(self) -> None:
        """Free the places of probes that are under way elsewhere, as a fork leaves them in the parent."""
        if isinstance(self.period, HalfOpen):
            self.period = HalfOpen(self.period.since)

    def retry_after(self, now: float) -> float:
        """Return for how many seconds it stays open; 0.0 where a call may be let through."""
        return max(0.0, self.period.until - now) if isinstance(self.period, Open) else 0.0

    def tally(self, now: float) -> tuple[int, int, int]:
        """Return the window's calls, failures and slow calls; zeros where the circuit is not closed."""
        return (0, 0, 0) if isinstance(self.period, Open | HalfOpen) else self.period.tally(now)
