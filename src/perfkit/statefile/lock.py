"""One lock a file, shared by all StateFiles of the process: first among its threads and tasks, then among processes.

Inside the process tickets queue in a `Handoff`; only the one whose turn it is asks for the sidecar lock, by polling,
because a blocking flock has no timeout. This file has the threads' way of waiting; asyncio's is in ``aio.py``.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from perfkit._base import fork
from perfkit._base.clock import Deadline
from perfkit._base.stack import need_room
from perfkit.statefile.errors import StateFileError, StateFileLockError, StateFileTimeout
from perfkit.statefile.handoff import Handoff
from perfkit.statefile.loops import running_loop, this_task
from perfkit.statefile.places import places_in, stands_anywhere, take_place
from perfkit.statefile.sidecar import Sidecar

__all__ = ["Hold", "PathLock", "Ticket", "lock_for", "poll_delays", "refuse_nesting_in"]

_GLANCE = 0.02  # seconds a thread that runs an event loop waits before it looks who holds the lock


class Ticket(Protocol):
    """A request for a `PathLock`, and how its owner is woken."""

    owner: object  # the task that asked, or None

    def waits_for(self, loop: object) -> bool:
        """Tell whether its owner can't go on before ``loop`` does."""

    def deliver(self) -> None:
        """Wake the owner: the lock is its own within this process. Harmless the second time.

        Called under the lock's mutex; must not wait or raise.
        """


class Hold:
    """The lock as its holder has it: the real path it is for, and whether it still is the holder's."""

    __slots__ = ("_lock", "_ticket", "target")

    def __init__(self, lock: "PathLock", ticket: Ticket) -> None:
        self.target = lock.target
        self._lock = lock
        self._ticket = ticket

    def check(self) -> None:
        """Raise StateFileLockError if the lock is no longer the holder's: called before anything is written.

        A fork leaves it with the parent. And it keeps nobody out any more once its file is removed or replaced.
        """
        self.check_process()
        if not self._lock.sidecar.is_named():
            raise StateFileLockError(
                f"{self.target}: others may have written since this change began, for its lock file "
                f"{self._lock.sidecar.path} was removed or replaced. Nothing was written: begin it again. That file is "
                "meant to stay",
                path=self.target,
            )

    def check_process(self) -> None:
        """Raise StateFileLockError if a fork has left the lock with the parent. Looks at no file."""
        if not self._lock.holds(self._ticket):
            raise StateFileLockError(
                f"{self.target}: this change was begun by the process that forked this one, which alone can write it; "
                "begin it again in the child",
                path=self.target,
            )


class _ThreadTicket:
    __slots__ = ("_gate", "owner")

    def __init__(self, owner: object) -> None:
        self.owner = owner
        self._gate = threading.Lock()
        self._gate.acquire()

    def waits_for(self, _loop: object) -> bool:
        return False

    def deliver(self) -> None:
        with suppress(RuntimeError):  # it has been woken already
            self._gate.release()

    def wait(self, seconds: float | None) -> bool:
        return self._gate.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))


class PathLock:
    """The lock of one real path. ``enter`` and ``leave`` are the in-process half, `Sidecar` the other."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._anew()
        fork.after_in_child(self)

    def _anew(self) -> None:
        self._mutex = threading.RLock()  # re-entrant: see Handoff
        self._line: Handoff[Ticket] = Handoff()
        self.sidecar = Sidecar(self.target)

    def _after_fork_in_child(self) -> None:
        self.sidecar.abandon()
        self._anew()

    def enter(self, ticket: Ticket) -> None:
        """Queue up in the process; ``ticket.deliver()`` says when it is our turn, possibly before this returns."""
        with self._mutex:
            self.refuse_nesting(ticket.owner)
            if self._line.request(ticket):
                ticket.deliver()

    def refuse_nesting(self, owner: object) -> None:
        """Raise StateFileLockError if the task ``owner`` holds this lock: it would wait for itself."""
        if owner is not None and self._line.is_held_by(owner):
            raise self.nested("task")

    def nested(self, kind: str) -> StateFileLockError:
        """Return the error for a "thread" or a "task" that would wait for itself."""
        return StateFileLockError(
            f"{self.target} is being edited by this {kind} already: an edit inside an edit of the same file, also one "
            "in a signal handler or in __del__, would wait for itself. Change the outer document instead, or begin "
            "when the outer edit has ended",
            path=self.target,
        )

    def leave(self, ticket: Ticket) -> None:
        """End our turn, or our waiting; the next in line is woken. Harmless the second time."""
        with self._mutex:
            holder = self._line.leave(ticket)
            if holder is not None:
                holder.deliver()

    def holds(self, ticket: Ticket) -> bool:
        """Tell whether it is (still) the ticket's turn: after a fork, in the child, it isn't anyone's."""
        return self._line.holder is ticket

    def timed_out(self, timeout: float | None) -> StateFileTimeout:
        """Return the error for a lock that was not had in time."""
        return StateFileTimeout(
            f"{self.target} was locked by another thread, task or process for {timeout} s (timeout=). Whoever edits it "
            f"holds {self.sidecar.path}; that file is meant to stay, removing it unlocks nothing",
            path=self.target,
            timeout=timeout,
        )

    def wait(self, comes: Callable[[float | None], bool], deadline: Deadline) -> StateFileError | None:
        """Return None once ``comes(seconds)`` is true, or the error to raise if that doesn't come, or can't.

        A thread that runs an event loop looks up now and then: where the lock is with a task of that loop, the task
        would wait for the thread, and the thread for the task.
        """
        loop = running_loop()
        while True:
            if loop is not None and self._is_stopped_with(loop):
                return self._stopped()
            seconds = deadline.remaining()
            if comes(seconds if loop is None else min(_GLANCE, _GLANCE if seconds is None else seconds)):
                return None
            if deadline.is_over():
                return self.timed_out(deadline.timeout)

    def _is_stopped_with(self, loop: object) -> bool:
        holder = self._line.holder
        return holder is not None and holder.waits_for(loop)

    def _stopped(self) -> StateFileLockError:
        return StateFileLockError(
            f"{self.target} is being edited by a task of the event loop that runs in this thread, which can't go on "
            "while this call waits for it. In coroutines use perfkit.AsyncStateFile, whose methods are awaited",
            path=self.target,
        )

    @contextmanager
    def held(self, deadline: Deadline) -> Iterator[Hold]:
        """Hold the lock in this thread, over threads and processes.

        Raises StateFileTimeout, StateFileLockError, OSError.
        """
        need_room()
        self.refuse_nesting_here()
        ticket = _ThreadTicket(this_task())
        place = take_place(self._line, ticket.owner)
        try:
            self.enter(ticket)
            if (error := self.wait(ticket.wait, deadline)) is not None:
                raise error
            self._acquire_sidecar(deadline)
            yield Hold(self, ticket)
        finally:
            try:
                self._give_back(ticket)
            except BaseException:  # an interrupt struck in there; nobody else would do it
                self._give_back(ticket)
                raise
            finally:
                place.line = None

    def refuse_nesting_here(self, task: object = None) -> None:
        """Raise StateFileLockError if this thread holds this lock or waits for it, as `refuse_nesting_in` says."""
        for place in places_in(self._line):
            if task is None or place.owner in (None, task):
                raise self.nested("thread" if task is None or place.owner is None else "task")

    @contextmanager
    def at_work(self, owner: object) -> Iterator[None]:
        """Mark this thread, a worker, as one that takes the lock, or works under it, for the task ``owner``."""
        place = take_place(self._line, owner)
        try:
            yield
        finally:
            place.line = None

    def _give_back(self, ticket: Ticket) -> None:
        """Release both halves; harmless the second time, and without the sidecar lock."""
        if self.holds(ticket):
            self.sidecar.release()
        self.leave(ticket)

    def _acquire_sidecar(self, deadline: Deadline) -> None:
        for delay in poll_delays():
            if self.sidecar.try_acquire():
                return
            if deadline.is_over():
                raise self.timed_out(deadline.timeout)
            time.sleep(delay)


def refuse_nesting_in(target: Callable[[], str], task: object = None) -> None:
    """Raise StateFileLockError if this thread is in line for the real path ``target()``, asked for if needed.

    With a task: if that task is, or code that runs the task's loop; another task will give the lock back.
    """
    if stands_anywhere():
        lock_for(target()).refuse_nesting_here(task)


def poll_delays() -> Iterator[float]:
    """Seconds between attempts at a lock that another process holds.

    As short as a small write first, then up to 10 ms.
    """
    delay = 0.0002
    while True:
        yield delay
        delay = min(delay * 1.5, 0.01)


_locks: "weakref.WeakValueDictionary[str, PathLock]" = weakref.WeakValueDictionary()
_locks_mutex = threading.RLock()  # re-entrant: a finaliser may need a lock, too


def lock_for(target: str) -> PathLock:
    """Return the process's one lock for a real path; it lives as long as somebody has it."""
    key = os.path.normcase(target)
    lock = _locks.get(key)
    if lock is None:
        made = PathLock(target)
        with _locks_mutex:  # where as little is done as can be, for whatever interrupts us has it, too
            lock = _locks.setdefault(key, made)
    return lock


def _fresh_mutex() -> None:
    global _locks_mutex  # noqa: PLW0603 (a fork may have copied it while another thread held it)
    _locks_mutex = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_mutex)
