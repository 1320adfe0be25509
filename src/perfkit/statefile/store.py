"""What is done to the file while its lock is held, whoever holds it and however it was waited for."""

import errno
import itertools
import os
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from perfkit._base import atomic
from perfkit._base.histogram import LatencyRecorder
from perfkit._base.logs import logger
from perfkit.statefile import codec
from perfkit.statefile.errors import StateFileConflict, StateFileCorrupt, StateFileEncodeError
from perfkit.statefile.grouping import Mutation, replay
from perfkit.statefile.lock import Hold
from perfkit.statefile.options import Options
from perfkit.statefile.reader import ABSENT, Reader, Reading, read_whole

__all__ = ["Store"]

_MAX_NAME = 255  # bytes, on about every file system


class Store:
    """A path, its options and its last reading.

    Methods that take a `Hold` are called with the lock of its real path held; the others never need it.
    """

    def __init__(self, path: str, options: Options) -> None:
        _check_length(path)
        self.path = path
        self.options = options
        directory = os.path.dirname(path)
        self._directory_is_real = os.path.realpath(directory) == directory
        self.reader = Reader(path, trust_stat=options.trust_stat)
        self.writes = LatencyRecorder()
        self.waits = LatencyRecorder()
        self.edits = self.saves = self.updates = self.groups = 0
        self.unchanged = self.conflicts = self.recovered = 0

    def target(self) -> str:
        """Return the real path, which is where lock, temporary file and data are.

        Resolving costs 25 µs, asking whether the file itself is a link 2. Should a directory above become a link later,
        the path leads to the same lock file all the same; only that an edit inside an edit by the directory's other
        name is then not seen to be one, and ends by its timeout.
        """
        if self._directory_is_real and not os.path.islink(self.path):
            return self.path
        target = os.path.realpath(self.path)
        if os.path.islink(target):  # it leads to itself; to replace or remove it would be to take it for the file
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.path)
        return target

    def view(self) -> Any:
        """Return the frozen document, or the frozen default of a file that is missing."""
        try:
            return self.reader.view()
        except FileNotFoundError:
            return self._default().view()

    def load(self) -> Any:
        """Return a copy of the document, the caller's alone."""
        return self._current().copy()

    def snapshot(self) -> tuple[Any, str]:
        """Return a copy and the version it was read at."""
        reading = self._current()
        return reading.copy(), reading.version()

    def exists(self) -> bool:
        """Tell whether the file is there."""
        try:
            os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def encode(self, document: Any) -> codec.Encoded:
        """Encode a document; StateFileEncodeError names the place that JSON has no form for."""
        return self._encoded(document, f"{self.path} was not written")

    def _encoded(self, document: Any, complaint: str) -> codec.Encoded:
        try:
            return codec.encode(document, indent=self.options.indent, allow_nan=self.options.allow_nan)
        except codec.Unserializable as error:
            raise StateFileEncodeError(
                f"{complaint}: at {error.where}, {error.reason}", path=self.path, where=error.where
            ) from error.__cause__

    def begin(self, hold: Hold) -> Reading:
        """Return what an edit starts from; a corrupt file is moved aside first if that was asked for."""
        try:
            return self._current(hold.target)
        except StateFileCorrupt as error:
            if self.options.recover is None:
                raise
            self._set_aside(hold, error)
            return self._default()

    def changeable(self, base: Reading) -> Any:
        """Return a copy of the document for somebody to change in place; TypeError if nothing in it can be."""
        document = base.copy()
        if not isinstance(document, (dict, list)):
            raise TypeError(
                f"the document of {self.path} is {document!r:.60}, in which edit() and update() can change nothing: "
                "replace it with save(), or keep a dict or a list in the file"
            )
        return document

    def edited(self, hold: Hold, base: Reading, document: Any) -> None:
        """Commit what became of a `changeable` document."""
        self.commit(hold, base, self.encode(document))
        self.edits += 1

    def commit(self, hold: Hold, base: Reading, encoded: codec.Encoded) -> None:
        """Make ``encoded`` the content, unless the content is that already."""
        hold.check()
        target, durability = hold.target, self.options.durability
        if encoded.raw == base.raw and base.version_if_known != ABSENT:
            self.unchanged += 1
            if durability == "power" and base.durable_as is None:  # written by somebody who may not have flushed it
                base.durable_as = atomic.sync(target)
            return
        started = time.perf_counter()
        atomic.replace(target, encoded.raw, temp=_temp_for(target), durability=durability, check=hold.check)
        self.reader.written(encoded.raw, encoded.tree, durable_as=_stat(target) if durability == "power" else None)
        self.writes.record(time.perf_counter() - started)

    def run(self, hold: Hold, batch: Iterable[Mutation]) -> None:
        """Commit the mutators together.

        Each gets its result or its own error and is ``done``; what stops them all is raised.
        """
        base = self.begin(hold)
        encoded, good = replay(batch, partial(self.changeable, base), self.encode)
        try:
            if encoded is not None:
                self.commit(hold, base, encoded)
                self.groups += 1
                self.updates += len(good)
            for job in batch:
                job.done = True
        except BaseException as error:
            if encoded is not None and _is_in(hold.target, encoded.raw):
                self._settle(hold, good, error)
            raise

    def overwrite(self, hold: Hold, encoded: codec.Encoded, base: str | None) -> str:
        """Replace the whole content, if it still has the version ``base``; return the new version."""
        current = self._replaced(hold, base)
        if base is not None and current.version() != base:
            self.conflicts += 1
            raise self._conflict(base, current.version())
        version = Reading(encoded.raw, None).version()  # before it is written: nothing may fail afterwards
        self.commit(hold, current, encoded)
        self.saves += 1
        return version

    def remove(self, hold: Hold) -> bool:
        """Remove the file; False if there was none."""
        hold.check()
        try:
            atomic.remove(hold.target, self.options.durability)
        except FileNotFoundError:
            return False
        finally:
            self.reader.forget()
        return True

    def _current(self, target: str | None = None) -> Reading:
        try:
            return self.reader.current(target)
        except FileNotFoundError:
            return self._default()

    def _default(self) -> Reading:
        """Make the document of a missing file.

        By way of the codec, so that it is what would be read back after a save.
        """
        if self.options.default is None:
            raise FileNotFoundError(
                errno.ENOENT,
                f"{os.strerror(errno.ENOENT)}, and StateFile has no default=, such as default=dict",
                self.path,
            )
        encoded = self._encoded(self.options.default(), f"default= of {self.path} made what can't be written")
        return Reading(encoded.raw, encoded.tree, version=ABSENT)

    def _replaced(self, hold: Hold, base: str | None) -> Reading:
        """Return what an overwrite replaces: bytes, be they JSON or not.

        Only where nothing is asked of them, and corrupt files are to be kept, are they looked into.
        """
        try:
            if base is None and self.options.recover is not None:
                return self.reader.current(hold.target)
            return self.reader.unparsed(hold.target)
        except FileNotFoundError:
            return Reading(b"", None, version=ABSENT)
        except StateFileCorrupt as error:
            self._set_aside(hold, error)
            return Reading(b"", None, version=ABSENT)

    def _conflict(self, base: str, current: str) -> StateFileConflict:
        happened = "deleted" if current == ABSENT else "made" if base == ABSENT else "written"
        return StateFileConflict(
            f"{self.path} was {happened} by somebody else since version {base}: "
            "take a new snapshot(), merge your change into it, and save again",
            path=self.path,
            base=base,
            current=current,
        )

    def _settle(self, hold: Hold, good: Sequence[Mutation], error: BaseException) -> None:
        """End the mutators whose change is in the file although the commit raised: nobody may apply it again.

        Theirs is the error of a directory that could not be flushed; not an interrupt, which struck one thread alone.
        """
        failure = error if isinstance(error, Exception) else self._flush(hold)
        for job in good:
            job.error, job.done = failure, True

    def _flush(self, hold: Hold) -> OSError | None:
        """Do what an interrupted commit may not have come to."""
        if self.options.durability == "power":
            try:
                atomic.sync(hold.target)
            except OSError as error:
                return error
        return None

    def _set_aside(self, hold: Hold, error: StateFileCorrupt) -> None:
        hold.check()
        stem = f"{hold.target}.corrupt-{time.strftime('%Y%m%dT%H%M%S')}"
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        name = next(name for name in names if not os.path.lexists(name))
        os.rename(hold.target, name)
        self.recovered += 1
        said = "%s is not JSON (%s). Moved aside to %s; starting from the default."
        logger("statefile").error(said, hold.target, error.msg, name)


def _temp_for(target: str) -> str:
    """One fixed name, so that crashes leave one file at most, which the next writer replaces."""
    directory, name = os.path.split(target)
    return os.path.join(directory, f".{name}.perfkit-tmp")


def _check_length(path: str) -> None:
    """Refuse a name that no file system lets us make the others of."""
    name = os.path.basename(path)
    longest = _MAX_NAME - len(os.path.basename(_temp_for("")))
    if len(os.fsencode(name)) > longest:
        raise ValueError(
            f"path must name a file in at most {longest} bytes, because a longer name is made of it while it is "
            f"written ({_temp_for('<name>')}), not {name!r:.80}"
        )


def _stat(target: str) -> os.stat_result | None:
    """Return what ``stat`` says of what was written; None if it fails, for that makes it no less written."""
    try:
        return os.stat(target)
    except OSError:
        return None


def _is_in(target: str, raw: bytes) -> bool:
    try:
        return read_whole(target)[0] == raw
    except OSError:
        return False
