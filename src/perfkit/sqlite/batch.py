"""Group commit: which waiting operations share a transaction, and what becomes of each when something fails. Pure.

Nothing here knows SQLite, threads or event loops: it speaks to a `Sink`. What comes while a batch is being committed is
the next batch, so a batch is as large as the disk is slow, and no timer is needed (D. DeWitt et al., "Implementation
Techniques for Main Memory Database Systems", SIGMOD '84).

An operation that fails alone is undone alone and has its own error; the others go on. If the whole transaction is lost,
the batch is done again in parts, in order, each a transaction of its own: around the operation that lost it, if one is
known, else in halves, until the bad ones are alone. So an operation may be carried out more than once; what counts is
the last time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from perfkit._base.exceptions import without_frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    # Who waits, what is to be done and with what (the sink knows), and whether it must share its transaction with none.
    # A plain tuple, because making one costs a tenth of making an object.
    Operation = tuple["Waiter", Any, Any, bool]

__all__ = ["Failed", "Queue", "Sink", "Waiter", "settle"]


class Waiter(Protocol):
    """Whoever waits for the outcome of an operation: a future, a thread."""

    def cancelled(self) -> bool:
        """Tell whether nobody waits any more; then an operation that hasn't begun never does."""


class Sink(Protocol):
    """What batches are committed to."""

    @property
    def is_open(self) -> bool:
        """Whether the transaction that was begun is still there. Asked after `apply` has raised."""

    def begin(self) -> None:
        """Begin a transaction. What it raises is the error of every operation that was to be in it."""

    def apply(self, work: Any, argument: Any) -> Any:
        """Carry out one operation in the open transaction, and return its result.

        If it raises, nothing of the operation is left; or the whole transaction is lost, which `is_open` tells.
        """

    def commit(self) -> None:
        """Make the open transaction durable. If it raises, nothing of it may be left after `rollback`."""

    def rollback(self) -> None:
        """Undo the open transaction, if there is one. Never raises."""

    def single(self, work: Any, argument: Any, alone: bool) -> Any:
        """Carry out one operation by itself, and commit it, or raise with nothing of it left.

        ``alone`` operations mind their transactions themselves.
        """


class Failed:
    """The outcome of an operation that raised."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error

    def taken(self) -> BaseException:
        """Return the error, once: the frames that its traceback leads to may keep this alive, and it them."""
        error, self.error = self.error, None
        assert error is not None  # noqa: S101 (each is for one who waits)
        return error


class Queue:
    """Operations that wait, first come, first served.

    Any thread may append to ``waiting``; one thread takes. That relies on single operations of a deque being atomic.
    """

    __slots__ = ("max_batch", "waiting")

    def __init__(self, max_batch: int) -> None:
        self.waiting: deque[Operation] = deque()
        self.max_batch = max_batch

    def take(self) -> list[Operation]:
        """Return the next batch: empty if nothing waits, one operation if that has to be alone.

        What was cancelled is dropped. What is returned can't be cancelled any more.
        """
        batch: list[Operation] = []
        waiting = self.waiting
        next_one, keep = waiting.popleft, batch.append
        for _ in range(min(len(waiting), self.max_batch)):
            operation = next_one()
            if operation[0].cancelled():
                continue
            if operation[3]:
                if not batch:
                    return [operation]
                waiting.appendleft(operation)
                break
            keep(operation)
        return batch


def settle(sink: Sink, batch: Sequence[Operation]) -> list[Any]:
    """Carry out a batch; return the outcome of each operation, in order: its result, or a `Failed`.

    When this returns, what has a result is committed, and of what failed nothing is.
    """
    outcomes: list[Any] = []
    parts = [batch]
    while parts:
        part = parts.pop()
        if len(part) == 1:
            outcomes.append(_by_itself(sink, part[0]))
            continue
        done = _together(sink, part)
        if isinstance(done, list):
            outcomes += done
        else:
            parts += [smaller for smaller in reversed(_split(part, done.at)) if smaller]
    return outcomes


class _Lost:
    """The transaction is gone: while the operation ``at`` was carried out, or (None) when it was to be committed."""

    __slots__ = ("at",)

    def __init__(self, at: int | None) -> None:
        self.at = at


def _split(part: Sequence[Operation], at: int | None) -> Sequence[Sequence[Operation]]:
    if at is None:
        half = len(part) // 2
        return part[:half], part[half:]
    return part[:at], part[at : at + 1], part[at + 1 :]


def _by_itself(sink: Sink, operation: Operation) -> Any:
    _, work, argument, alone = operation
    try:
        return sink.single(work, argument, alone)
    except BaseException as error:  # noqa: BLE001 (it is raised again where the operation is waited for)
        return Failed(error)


def _together(sink: Sink, part: Sequence[Operation]) -> list[Any] | _Lost:
    """Carry out operations in one transaction; return their outcomes, or that it was lost."""
    try:
        sink.begin()
    except Exception as error:  # noqa: BLE001 (it is raised again where the operations are waited for)
        return [Failed(without_frames(error)) for _ in part]  # a copy each, because each raise adds to a traceback
    outcomes: list[Any] = []
    keep, apply = outcomes.append, sink.apply
    for _, work, argument, _ in part:
        try:
            keep(apply(work, argument))
        except BaseException as error:  # noqa: BLE001 (as above)
            if not sink.is_open:
                return _Lost(len(outcomes))
            keep(Failed(error))
    try:
        sink.commit()
    except Exception:  # noqa: BLE001 (whose fault it was comes out in the parts)
        sink.rollback()
        return _Lost(None)
    return outcomes
