"""`AsyncStateFile`: asyncio's way of using a `Store`, with one hop to a worker thread an operation."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Literal, NoReturn, TypeVar

from perfkit import registry
from perfkit._base import fork
from perfkit._base.atomic import Durability
from perfkit._base.clock import Deadline
from perfkit._base.offload import settle
from perfkit.statefile.calls import absolute, check_mutator, check_version, named, not_copied
from perfkit.statefile.codec import Encoded
from perfkit.statefile.editing import AsyncEditing
from perfkit.statefile.errors import StateFileCorrupt, StateFileLockError
from perfkit.statefile.grouping import Group
from perfkit.statefile.lock import Hold, refuse_nesting_in
from perfkit.statefile.loops import this_task
from perfkit.statefile.options import Options
from perfkit.statefile.reader import Reading
from perfkit.statefile.stats import StateFileStats, stats_of
from perfkit.statefile.store import Store
from perfkit.statefile.turn import Turn, workers

__all__ = ["AsyncStateFile"]

T = TypeVar("T")


class _Job:
    """One caller of `AsyncStateFile.update`."""

    __slots__ = ("deadline", "done", "error", "fn", "future", "owner", "result")

    def __init__(self, fn: Callable[[Any], Any], deadline: Deadline) -> None:
        self.fn = fn
        self.deadline = deadline
        self.owner = this_task()
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False

    def answer(self) -> None:
        """Hand the outcome to the caller, if it still waits."""
        settle(self.future, self.result, self.error)

    def fail(self, error: BaseException) -> None:
        """Answer with an error that isn't of the function's making."""
        self.error, self.done = error, True
        self.answer()


class AsyncStateFile:
    """`StateFile` for asyncio: the same methods, arguments, guarantees and errors, awaited.

    No method blocks the event loop: each does its file work in one call on a small pool of worker threads (at most 8
    for all files together). Waiting for a lock takes no worker.

    Cancellation: an operation that has not begun never happens; one that has begun happens whole. A cancelled `update`
    raises CancelledError at once, other operations once the worker is done. A cancelled `edit` block writes nothing.

    Shares the lock of the file with every StateFile and AsyncStateFile on it, in this and other processes. Used by one
    event loop at a time: it binds to the running loop at its first use, and to another once that loop is closed;
    RuntimeError else. There is nothing to close.
    """

    _loop: asyncio.AbstractEventLoop | None
    _mutex: threading.RLock
    _group: Group[_Job]
    _leaders_turn: Turn | None
    _leading: asyncio.Task[None] | None  # kept here, because a loop holds its tasks weakly

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        default: Callable[[], Any] | None = None,
        indent: int | None = 2,
        durability: Durability = "power",
        timeout: float | None = 30.0,
        allow_nan: bool = False,
        recover: Literal["backup"] | None = None,
        trust_stat: bool = True,
        name: str | None = None,
    ) -> None:
        options = Options(default, indent, durability, timeout, allow_nan, recover, trust_stat)
        self._store = Store(absolute(path), options)
        self.name = named(name, self._store.path)
        self._after_fork_in_child()
        fork.after_in_child(self)
        registry.register(self, part="statefile")

    def __repr__(self) -> str:
        return f"<perfkit.AsyncStateFile {self.path!r}>"

    def __reduce__(self) -> NoReturn:
        raise not_copied(self)

    @property
    def path(self) -> str:
        """The file's absolute path; symbolic links in it are followed at each call."""
        return self._store.path

    async def view(self) -> Any:
        """Return the document, frozen and shared; see `StateFile.view`.

        Cost: a thread hop and one ``stat``.
        """
        return await self._read(self._store.view)

    async def load(self) -> Any:
        """Return a fresh document, the caller's to change; see `StateFile.load`."""
        return await self._read(self._store.load)

    async def snapshot(self) -> tuple[Any, str]:
        """Return ``(document, version)``: a fresh copy, and the version it was read at; see `StateFile.snapshot`."""
        return await self._read(self._store.snapshot)

    def edit(self) -> AbstractAsyncContextManager[Any]:
        """Read, change in place, write: ``async with state.edit() as doc: …``; see `StateFile.edit`.

        The lock is held while the block awaits, also against other processes: keep what it awaits short. To change the
        same file in the block raises StateFileLockError in the same task. What the block starts as another task or
        thread (by ``gather``, ``shield``, ``to_thread``) waits for the block's end: awaited in it, until its timeout.
        """
        return AsyncEditing(self._editing())

    async def update(self, fn: Callable[[Any], T]) -> T:
        """Change the document by ``fn(doc)``, in place, and return what ``fn`` returns; see `StateFile.update`.

        Callers that wait at the same time are committed together. ``fn`` is an ordinary function and runs in a worker
        thread. Cancelled before its group is being written, ``fn`` never has an effect; later, all of its effect.
        """
        check_mutator(fn)
        self._bind()
        job = _Job(fn, self._deadline())
        refuse_nesting_in(self._store.target, job.owner)
        with self._mutex:
            self._group.submit(job)
        if self._group.leader is job:
            self._start_leading()
        elif self._leaders_turn is not None:
            self._refuse_nesting(self._leaders_turn)
        try:
            outcome: T = await job.future
        except asyncio.CancelledError:
            with self._mutex:
                self._group.withdraw(job)
            raise
        return outcome

    async def save(self, document: Any, base: str | None = None) -> str:
        """Make ``document`` the whole content, and return its version; see `StateFile.save`.

        The document is encoded in a worker thread: don't change it until this returns.
        """
        check_version(base)
        encoded = await self._offload(partial(self._store.encode, document))
        return await self._locked(partial(self._overwrite, encoded, base))

    async def exists(self) -> bool:
        """Tell whether the file is there; see `StateFile.exists`."""
        return await self._offload(self._store.exists)

    async def delete(self) -> bool:
        """Remove the file, under the lock; False if there was none. See `StateFile.delete`."""
        return await self._locked(self._store.remove)

    def stats(self) -> StateFileStats:
        """Return this object's figures; see `StateFile.stats`. Not awaited: it reads memory alone."""
        return stats_of(self.name, self._store)

    def reclaim(self, need_bytes: int) -> int:  # noqa: ARG002 (there is one thing to let go of)
        """Drop the cached content; see `StateFile.reclaim`. Not awaited, and safe from any thread."""
        return self._store.reader.forget()

    # -- what runs in workers

    def _begin(self, hold: Hold) -> tuple[Reading, Any]:
        base = self._store.begin(hold)
        return base, self._store.changeable(base)

    def _commit(self, base: Reading, document: Any, hold: Hold) -> None:
        self._store.edited(hold, base, document)

    def _overwrite(self, encoded: Encoded, base: str | None, hold: Hold) -> str:
        return self._store.overwrite(hold, encoded, base)

    # -- on the loop

    def _deadline(self) -> Deadline:
        return Deadline(self._store.options.timeout)

    def _turn_of(self, task: object) -> Turn:
        refuse_nesting_in(self._store.target, task)
        return self._turn(task)

    def _turn(self, owner: object = None) -> Turn:
        return Turn(self._store.target, owner, on_queued=self._refuse_nesting, on_had=self._store.waits.record)

    @asynccontextmanager
    async def _editing(self) -> AsyncIterator[Any]:
        self._bind()
        turn = self._turn_of(this_task())
        try:
            base, document = await turn.hold(self._begin, self._deadline())
            yield document
            await turn.finish(partial(self._commit, base, document))
        finally:
            turn.leave()

    async def _offload(self, fn: Callable[[], T]) -> T:
        self._bind()
        return await workers.run(fn)

    async def _read(self, read: Callable[[], T]) -> T:
        try:
            return await self._offload(read)
        except StateFileCorrupt:
            if self._store.options.recover is None:
                raise
        await self._locked(self._store.begin)
        return await self._offload(read)

    async def _locked(self, work: Callable[[Hold], T]) -> T:
        self._bind()
        turn = self._turn_of(this_task())
        try:
            return await turn.once(work, self._deadline())
        finally:
            turn.leave()

    def _start_leading(self) -> None:
        """Lead in a task of our own, so that a cancelled caller takes nobody along."""
        self._leading = asyncio.get_running_loop().create_task(self._lead())
        self._leading.add_done_callback(self._go_on)

    async def _lead(self) -> None:
        """Commit groups until nobody waits."""
        while (job := self._group.leader) is not None:
            self._leaders_turn = turn = self._turn()
            try:
                await turn.once(self._run, job.deadline)
            except Exception as error:  # noqa: BLE001 (it goes to the caller that led)
                if not job.done:
                    job.fail(error)
            finally:
                turn.leave()
                self._leaders_turn = None
                for each in self._group.taken:
                    if each.done:
                        each.answer()
            with self._mutex:
                self._group.finish(job)

    def _go_on(self, ended: "asyncio.Task[None]") -> None:
        """Have those led who still wait, though the task that led was cancelled, perhaps before it had begun."""
        if ended is not self._leading:  # it found nobody waiting, and somebody has come since
            return
        with self._mutex:
            self._group.put_back()
            while (leader := self._group.leader) is not None and leader.future.done():
                self._group.finish(leader)
        if leader is not None:
            self._start_leading()

    def _run(self, hold: Hold) -> None:
        with self._mutex:
            batch = self._group.take()
        self._store.run(hold, batch)

    def _refuse_nesting(self, turn: Turn) -> None:
        """Fail the updates of the very task whose edit they would wait for."""
        if turn.lock is None:
            return
        for job in list(self._group.waiting):
            try:
                turn.lock.refuse_nesting(job.owner)
            except StateFileLockError as error:
                with self._mutex:
                    withdrawn = self._group.withdraw(job)
                if withdrawn:
                    job.fail(error)

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise RuntimeError(
                f"{self!r} is in use by another event loop that is not closed: make one AsyncStateFile for each loop; "
                "they share the file's lock"
            )
        self._after_fork_in_child()
        self._loop = loop

    def _after_fork_in_child(self) -> None:
        self._loop = None
        self._mutex = threading.RLock()  # `take` runs in a worker; re-entrant for the sake of finalisers
        self._group = Group()
        self._leaders_turn = None
        self._leading = None
