"""Group commit: which waiting mutators are written together, and who does the writing. Pure.

The first to come leads; whoever comes while it waits or writes is in the next group, led by the first of them. So a
group is as large as the disk is slow, and no timer is needed. The idea is that of LevelDB's writer queue and of
database group commit (D. DeWitt et al., "Implementation Techniques for Main Memory Database Systems", SIGMOD '84).
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import CoroutineType
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["Group", "Mutation", "replay"]


class Mutation(Protocol):
    """One caller's ``fn`` and what came of it. The driver decides how that caller waits and is woken."""

    fn: Callable[[Any], Any]
    result: Any
    error: BaseException | None
    done: bool


M = TypeVar("M", bound=Mutation)
E = TypeVar("E")


class Group(Generic[M]):
    """The waiting jobs, one of which leads. Drivers guard it with a mutex.

    Each method changes its attributes by neighbouring assignments, between which no interrupt can strike: one that
    strikes anywhere in a method leaves the group as it was before or as it is after.
    """

    __slots__ = ("leader", "taken", "waiting")

    def __init__(self) -> None:
        self.leader: M | None = None
        self.taken: deque[M] = deque()
        self.waiting: deque[M] = deque()

    def submit(self, job: M) -> None:
        """Queue a job. If it is the ``leader`` now, its driver must `take` and then `finish`, whatever happens."""
        self.waiting.append(job)
        if self.leader is None:
            self.leader = job

    def take(self) -> deque[M]:
        """Return everything that waits, in the order it came. From here on none of it can be withdrawn."""
        nothing: deque[M] = deque()
        self.taken, self.waiting = self.waiting, nothing
        return self.taken

    def put_back(self) -> None:
        """Undo a `take` as far as the jobs aren't done."""
        nothing, rest = deque[M](), self._rest()
        self.taken, self.waiting = nothing, rest

    def withdraw(self, job: M) -> bool:
        """Remove a job that has not been taken. False if it was: its outcome is then on the way."""
        if job not in self.waiting:
            return False
        self.waiting.remove(job)
        return True

    def finish(self, leader: M) -> M | None:
        """End a lead; return the job that leads now, whose driver is to be woken, or None if nothing waits.

        What was taken and isn't done comes first again, but for the leader's own job: what stopped the group (a lock
        not had, a full disk) is the leader's error, and each of the others finds out for itself. The second time
        changes nothing, so that a driver that was interrupted may call it again.
        """
        if self.leader is leader:
            nothing, rest = deque[M](), self._rest(leader)
            self.taken, self.waiting, self.leader = nothing, rest, rest[0] if rest else None
        return self.leader

    def _rest(self, leader: M | None = None) -> deque[M]:
        return deque(job for job in (*self.taken, *self.waiting) if not job.done and job is not leader)


def replay(batch: Iterable[M], fresh: Callable[[], Any], encode: Callable[[Any], E]) -> tuple[E | None, list[M]]:
    """Apply the mutators in order to one document; return its encoding and those that are in it, or ``(None, [])``.

    ``fresh()`` gives the document as it was before the group, a new copy each time; ``encode`` raises if it cannot be
    written. A mutator that raises, or makes a document that cannot be written, gets its ``error`` and leaves nothing
    behind: the others run again from a fresh copy. KeyboardInterrupt belongs to the thread it struck, not to the
    mutator it happened to be in, and passes through.
    """
    alive = list(batch)
    for job in alive:
        job.error = None  # of a run that was broken off
    while alive:
        document = _applied(alive, fresh)
        if not alive:
            break
        try:
            return encode(document), alive
        except Exception as error:  # noqa: BLE001 (it goes to the callers whose functions caused it)
            encodable = _encodable(alive, fresh, encode) if len(alive) > 1 else []
            if len(encodable) == len(alive):  # each was fine on the second try, so nobody can be blamed
                encodable = []
            for job in alive:
                if job not in encodable:
                    job.error = job.error or error
            alive = encodable
    return None, []


def _applied(alive: list[M], fresh: Callable[[], Any]) -> Any:
    """Return a fresh document with all of ``alive`` applied, after taking out those that raise."""
    while True:
        document = fresh()
        bad = next((job for job in alive if _fails(job, document)), None)
        if bad is None:
            return document
        alive.remove(bad)


def _encodable(batch: Sequence[M], fresh: Callable[[], Any], encode: Callable[[Any], object]) -> list[M]:
    """Find out who put in something that cannot be written, by encoding after each; return the others."""
    good: list[M] = []
    document = fresh()
    for job in batch:
        if not _fails(job, document):
            try:
                encode(document)
            except Exception as error:  # noqa: BLE001 (it is the job's, which raises it)
                job.error = error
            else:
                good.append(job)
                continue
        document = _applied(good, fresh)
    return good


def _fails(job: Mutation, document: Any) -> bool:
    try:
        job.result = _called(job.fn, document)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 (it is raised again in its own caller)
        job.error = error
        return True
    return False


def _called(fn: Callable[[Any], Any], document: Any) -> Any:
    result = fn(document)
    if isinstance(result, CoroutineType):  # of a lambda, or an object, that hides a coroutine function
        result.close()
        raise TypeError(
            "update() takes an ordinary function, and what this one returned is a coroutine, nothing of which has run. "
            "Await what you need first, then update()"
        )
    return result
