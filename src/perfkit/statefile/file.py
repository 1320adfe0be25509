"""`StateFile`: the threads' way of using a `Store`."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Literal, NoReturn, TypeVar

from perfkit import registry
from perfkit._base import fork
from perfkit._base.atomic import Durability
from perfkit._base.clock import Deadline
from perfkit._base.stack import need_room
from perfkit.statefile.calls import absolute, check_mutator, check_version, missing_directory, named, not_copied
from perfkit.statefile.editing import Editing
from perfkit.statefile.errors import StateFileCorrupt
from perfkit.statefile.grouping import Group
from perfkit.statefile.lock import Hold, lock_for, refuse_nesting_in
from perfkit.statefile.options import Options
from perfkit.statefile.places import places_in, take_place
from perfkit.statefile.stats import StateFileStats, stats_of
from perfkit.statefile.store import Store

__all__ = ["StateFile"]

T = TypeVar("T")


class _Job:
    """One caller of `StateFile.update`, waiting for its outcome or for the lead."""

    __slots__ = ("_gate", "done", "error", "fn", "result")

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self.fn = fn
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has been woken already
            self._gate.release()

    def wait(self, seconds: float | None) -> bool:
        return self._gate.acquire(timeout=-1 if seconds is None else min(seconds, threading.TIMEOUT_MAX))

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.result


class StateFile:
    """A JSON file that many threads and processes read and change, fast and without losing anything.

    Reading costs one ``stat`` while nothing has changed. Writing replaces the file at once (a reader finds the old
    document or the new), under a lock that all threads and all processes using perfkit on this file share.

    Guarantees:
        * After another process's write has completed, no later read returns older data, whatever the file system's time
          stamps do (on a local file system; for network ones use ``trust_stat=False``).
        * An edit, update or save is in the file whole or not at all, also after ``kill -9``, a full disk, or, with
          ``durability="power"``, a power cut. It is durable when the call returns.
        * No update is lost between threads and processes that all use perfkit. Others may read at any time; if they
          write without the lock, their write and ours replace each other, as ever.
        * The document is what ``json`` would read and write. Mode, owner (where privileges allow), extended attributes
          and symbolic links are kept. Identical content is not written. Files are replaced by whoever may write their
          directory: also one that is read-only, and another's, which is then his who replaced it.

    Args:
        path: str or path-like. Made absolute now, so a later ``chdir`` changes nothing. Symbolic links are followed.
        default: a callable that makes the document of a file that is missing, such as ``dict``. Without one a missing
            file is a FileNotFoundError. Reading a default doesn't create the file; changing does.
        indent: spaces an indentation level, 0 to 32, or None for the most compact form, which is also the fastest.
        durability: ``"power"``: a change survives a power cut once the call has returned (the file and its directory
            are flushed). ``"process"``: it survives a crash of this process, not of the machine, and costs a fraction.
        timeout: seconds to wait for the lock, from 0; None waits for ever.
        allow_nan: write NaN and infinities, which are no JSON, as ``json`` does. Reading always takes them.
        recover: what to do with a file that isn't JSON. None raises StateFileCorrupt. ``"backup"`` moves it aside to
            ``<path>.corrupt-<time>``, logs an error on ``perfkit.statefile``, and starts from ``default``. Not for a
            file that others write in place: while they pause in the middle it isn't JSON either, and goes aside.
        trust_stat: False reads the file at every call, for network file systems, whose ``stat`` may be seconds old.
        name: what ``stats()`` calls it; the file's name if not given.

    Raises:
        TypeError, ValueError: an argument is not what is allowed; the message says what is.

    Thread-safe. After a fork the child has a lock of its own making; an ``edit`` that was open in the parent cannot be
    written by the child. The lock file ``<real path>.lock`` is made beside the data at the first change and stays.

    The design follows Git's racy-entry rule for validation and LevelDB's writer queue for `update`.
    """

    _mutex: threading.RLock
    _group: Group[_Job]

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
        return f"<perfkit.StateFile {self.path!r}>"

    def __reduce__(self) -> NoReturn:
        raise not_copied(self)

    @property
    def path(self) -> str:
        """The file's absolute path; symbolic links in it are followed at each call."""
        return self._store.path

    def view(self) -> Any:
        """Return the document, frozen and shared: reading it is free, changing it is a TypeError.

        Containers are subclasses of dict and list, so ``==``, ``isinstance``, ``json.dumps`` and iteration work;
        ``copy()``, slices and ``copy.deepcopy`` give ordinary ones. A view never changes: later content is in later
        views.

        Raises FileNotFoundError (missing, and no default), StateFileCorrupt, OSError.
        Cost: one ``stat`` if nothing has changed and the last change is some milliseconds old. The first view after a
        change reads, decodes and freezes, which takes somewhat longer than ``json.load``.
        """
        try:
            return self._store.view()
        except StateFileCorrupt:
            self._recover()
            return self._store.view()

    def load(self) -> Any:
        """Return a fresh document, the caller's to change; nothing that is done to it reaches the file.

        Raises as `view`. Cost: one ``stat`` and a decoding, about half the time of ``json.load``.
        """
        try:
            return self._store.load()
        except StateFileCorrupt:
            self._recover()
            return self._store.load()

    def snapshot(self) -> tuple[Any, str]:
        """Return ``(document, version)``: a fresh copy, and the version it was read at, together.

        The version is a str that is equal if and only if the file's bytes are, on any machine and at any time (a digest
        of them); ``"absent"`` for a file that is missing. Hand it to ``save(document, base=version)``.

        Raises as `view`. Cost: as `load`, and the first time a digest of the bytes.
        """
        try:
            return self._store.snapshot()
        except StateFileCorrupt:
            self._recover()
            return self._store.snapshot()

    def edit(self) -> AbstractContextManager[Any]:
        """Read, change in place, write: ``with state.edit() as doc: doc["n"] += 1``.

        No other thread or process that uses perfkit changes the file between the reading and the writing. The document
        is a fresh copy; what it is when the block ends is written. An exception in the block writes nothing and passes
        through. To replace the document whole, use `save`: ``doc = …`` in the block would only rename a variable.

        Raises:
            TypeError: the document is neither dict nor list, so nothing in it can be changed in place. The block
                doesn't run.
            StateFileTimeout: the lock was not had in ``timeout`` seconds.
            StateFileLockError: this thread edits this file already, or waits to, and this call comes from the block, a
                signal handler or a ``__del__``; or a task of the event loop that runs in this thread edits it; or the
                block is left in a forked child; or the lock file was removed meanwhile.
            StateFileEncodeError: the document holds something JSON has no form for; nothing was written.
            FileNotFoundError, StateFileCorrupt: as `view`.
            OSError: not writable, disk full; the old content is intact. One exception: a medium that fails (EIO) in the
                last flush, of the directory, leaves the new content, which a power cut may take back.

        Cost: an encoding, a decoding, a comparison and an atomic replace; under ``"power"`` also two flushes.
        """
        return Editing(self._editing())

    def update(self, fn: Callable[[Any], T]) -> T:
        """Change the document by ``fn(doc)``, in place, and return what ``fn`` returns once the change is in the file.

        As ``edit()``, but callers that wait at the same time are committed together, in the order they came, in one
        write: with many threads under ``durability="power"`` that is the difference between one flush each and one for
        all. Each is answered after the write that holds its change. One whose ``fn`` raises, or makes a document that
        can't be written, gets that exception alone, and nothing of its change stays.

        ``fn`` is an ordinary function that changes the document it gets. What it returns is for the caller alone: a new
        document, as of ``lambda doc: {**doc, "n": 1}``, is not written. It may run in another caller's thread, and more
        than once (if a neighbour fails, the others run again on a fresh copy; only the last run counts), so it should
        depend on its document alone and do nothing else. Using this state file inside ``fn`` to change it raises
        StateFileLockError. A part of the document that ``fn`` returns isn't copied: two callers of one group may get
        the same list; return ``list(doc["jobs"])`` for one of your own.

        Raises as `edit`, and whatever ``fn`` raises, unwrapped. After a StateFileTimeout ``fn`` has had no effect.
        Cost: as `edit`, shared among those who waited.
        """
        check_mutator(fn)
        need_room()
        self._refuse_nesting()
        deadline = Deadline(self._store.options.timeout)
        job = _Job(fn)
        place = take_place(self._group)
        try:
            with self._mutex:
                self._group.submit(job)
            if self._group.leader is not job:
                self._await(job, deadline)
            if self._group.leader is job:
                self._lead(job, deadline)
        except BaseException:
            self._hand_on(job)
            raise
        finally:
            place.line = None
        outcome: T = job.outcome()
        return outcome

    def save(self, document: Any, base: str | None = None) -> str:
        """Make ``document`` the whole content, and return its version.

        Args:
            document: what ``json.dumps`` takes.
            base: the version that `snapshot` gave (or the last `save`): if somebody has written or deleted the file
                since, nothing is written and StateFileConflict is raised, whose ``current`` is the version there is
                now, ``"absent"`` if there is no file. A base of ``"absent"`` writes only a file that isn't there. None
                overwrites whatever is there, a corrupt file too.

        Raises as `edit`, and StateFileConflict, also where the file was made something else than JSON; TypeError or
        ValueError for a base that no snapshot gave. Cost: as `edit` without decoding.
        """
        check_version(base)
        encoded = self._store.encode(document)
        with self._locked(Deadline(self._store.options.timeout)) as hold:
            return self._store.overwrite(hold, encoded, base)

    def exists(self) -> bool:
        """Tell whether the file is there.

        Raises OSError if that can't be told (a directory that may not be searched).
        """
        return self._store.exists()

    def delete(self) -> bool:
        """Remove the file, under the lock; False if there was none. A symbolic link stays, what it leads to goes.

        Raises StateFileTimeout, StateFileLockError, OSError. The lock file stays: others may be waiting on it.
        """
        with self._locked(Deadline(self._store.options.timeout)) as hold:
            return self._store.remove(hold)

    def stats(self) -> StateFileStats:
        """Return this object's figures. Cost: a few microseconds a thread that has used it."""
        return stats_of(self.name, self._store)

    def reclaim(self, need_bytes: int) -> int:  # noqa: ARG002 (there is one thing to let go of)
        """Drop the cached content, which the next read makes again; return its size in bytes, estimated.

        Views in use stay.
        """
        return self._store.reader.forget()

    @contextmanager
    def _editing(self) -> Iterator[Any]:
        with self._locked(Deadline(self._store.options.timeout)) as hold:
            base = self._store.begin(hold)
            document = self._store.changeable(base)
            yield document
            self._store.edited(hold, base, document)

    @contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[Hold]:
        lock = lock_for(self._store.target())
        started = time.perf_counter()
        with missing_directory(lock.target), lock.held(deadline) as hold:
            self._store.waits.record(time.perf_counter() - started)
            yield hold

    def _recover(self) -> None:
        """Move a corrupt file aside, if that was asked for and it still is corrupt when we have the lock.

        Else raise again.
        """
        if self._store.options.recover is None:
            raise  # noqa: PLE0704 (called while the error is being handled)
        with self._locked(Deadline(self._store.options.timeout)) as hold:
            self._store.begin(hold)

    def _refuse_nesting(self) -> None:
        """Raise StateFileLockError if this thread is in line for the file or in the group."""
        refuse_nesting_in(self._store.target)
        if places_in(self._group):
            raise lock_for(self._store.target()).nested("thread")

    def _await(self, job: _Job, deadline: Deadline) -> None:
        """Wait until the job is done, or its caller is to lead; withdraw, and raise, if neither comes."""
        error = lock_for(self._store.target()).wait(job.wait, deadline)
        if error is None:
            return
        with self._mutex:
            withdrawn = self._group.leader is not job and self._group.withdraw(job)
        if withdrawn:
            raise error
        job.wait(None)  # it was taken, or is to lead: the word is on its way

    def _lead(self, job: _Job, deadline: Deadline) -> None:
        """Commit everything that waits when the lock is had, then answer, and hand on the lead."""
        group = self._group
        try:
            with self._locked(deadline) as hold:
                with self._mutex:
                    batch = group.take()
                self._store.run(hold, batch)
        finally:
            if group is self._group:  # else a function forked, and this is the child: the others are not in it
                self._hand_on(job)

    def _hand_on(self, job: _Job) -> None:
        """End a caller's part: answer those who are done, and wake who leads next. Harmless the second time.

        Called again if an interrupt strikes in it, so the group is told last.
        """
        for other in self._group.taken:
            if other.done:
                other.wake()
        with self._mutex:
            self._group.withdraw(job)
            leader = self._group.finish(job)
        if leader is not None:
            leader.wake()

    def _after_fork_in_child(self) -> None:
        self._mutex = threading.RLock()  # re-entrant: a finaliser or a signal handler may come by again
        self._group = Group()
