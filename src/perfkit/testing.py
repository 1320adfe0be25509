"""What perfkit's own tests are made with, for the tests of programs that use perfkit.

Whatever in perfkit expires takes its clock as ``timer=``: pass a `FakeClock`, and a test says how time goes by instead
of waiting for it. What has been made already, with clocks of its own, is put on a fake one by `fake_time`.
"""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.resilience import CircuitBreaker, KeyedBreakers

__all__ = ["FakeClock", "fake_time"]


class FakeClock:
    """A clock that moves only when it is told to.

    Call it to read it, as `time.monotonic` or `time.perf_counter` is called; pass it as any ``timer=`` of perfkit, and
    its `sleep` in place of `time.sleep`. It never goes backwards. Thread-safe: what several threads advance adds up.

    Args:
        start: the time it shows first, in seconds; any finite number.

    Raises:
        ValueError: ``start`` is not finite.

    Example::

        clock = FakeClock()
        clock.advance(90)  # a minute and a half goes by, at once
        assert clock() == 90.0
    """

    __slots__ = ("_lock", "_now")

    def __init__(self, start: float = 0.0) -> None:
        if not math.isfinite(start):
            raise ValueError(f"start must be a finite number of seconds, not {start!r}")
        self._now = float(start)
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the clock forward.

        Args:
            seconds: how far; 0 or more, finite.

        Returns:
            The time it shows then, in seconds.

        Raises:
            ValueError: ``seconds`` is negative, infinite or NaN; the clock stays where it is.
        """
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a clock can be advanced by 0 or more seconds, a finite number, not by {seconds!r}")
        with self._lock:
            self._now += seconds
            return self._now

    def sleep(self, seconds: float) -> None:
        """Move the clock forward and return at once: what `time.sleep` is to a clock that goes by itself.

        Args:
            seconds: how long to sleep, by this clock; 0 or more, finite.

        Raises:
            ValueError: ``seconds`` is negative, infinite or NaN; the clock stays where it is.
        """
        self.advance(seconds)

    async def asleep(self, seconds: float) -> None:
        """Do as `sleep` for a task: what `asyncio.sleep` is to a clock that goes by itself. Other tasks have a turn.

        Args:
            seconds: how long to sleep, by this clock; 0 or more, finite.

        Raises:
            ValueError: ``seconds`` is negative, infinite or NaN; the clock stays where it is.
        """
        import asyncio

        self.advance(seconds)
        await asyncio.sleep(0)

    def __reduce__(self) -> tuple[type["FakeClock"], tuple[float]]:
        return FakeClock, (self._now,)  # a copy goes on by itself

    def __repr__(self) -> str:
        return f"FakeClock({self._now!r})"


@contextlib.contextmanager
def fake_time(clock: FakeClock | None = None) -> Iterator[FakeClock]:
    """Put every `perfkit.retry`, `perfkit.RetryBudget` and `perfkit.CircuitBreaker` there is on a fake clock.

    So a program is tested as it stands: its retries wait by the clock, which takes no time, and a breaker that is open
    becomes half-open when the test says that its ``reset_timeout`` is over. Those that are made within the block are
    not affected, but for the new keys of ``CircuitBreaker.per_key``. When it ends all go by their own clocks again. The
    breakers are closed when it begins and when it ends, as by ``reset()``.

    Args:
        clock: the clock; if not given, one that shows the present `time.monotonic`.

    Yields the clock. Not for code that runs in other threads when the block begins or ends.

    Example::

        with fake_time() as clock:
            fetch()  # whatever it waits between attempts
            clock.advance(30)
    """
    from perfkit import registry
    from perfkit.resilience import CircuitBreaker, KeyedBreakers, Retry, RetryBudget

    clock = clock or FakeClock(time.monotonic())
    with contextlib.ExitStack() as stack:
        for _, thing in registry.live():
            if isinstance(thing, Retry):
                _put(stack, thing, _timer=clock, _sleep=clock.sleep, _asleep=clock.asleep)
            elif isinstance(thing, RetryBudget):
                _put(stack, thing, _timer=clock)
            elif isinstance(thing, CircuitBreaker):
                _put_breaker(stack, thing, clock)
            elif isinstance(thing, KeyedBreakers):
                _put_group(stack, thing, clock)
        yield clock


def _put(stack: contextlib.ExitStack, thing: object, **attributes: object) -> None:
    """Set attributes, and have them set back in the end."""
    for name, value in attributes.items():
        stack.callback(setattr, thing, name, getattr(thing, name))
        setattr(thing, name, value)


def _put_breaker(stack: contextlib.ExitStack, breaker: "CircuitBreaker", clock: FakeClock) -> None:
    stack.callback(breaker.reset)  # called last, when it has its own clock again
    _put(stack, breaker, _timer=clock)
    breaker.reset()


def _put_group(stack: contextlib.ExitStack, group: "KeyedBreakers", clock: FakeClock) -> None:
    """Put the breakers of a group on the clock, and those that are made meanwhile."""

    def put(timer: Callable[[], float]) -> None:
        group._options["timer"] = timer
        for breaker in group._breakers().values():
            breaker._timer = timer
            breaker.reset()

    stack.callback(put, group._options.get("timer", time.monotonic))
    put(clock)
