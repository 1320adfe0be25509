"""Reading a file that others write: what is cached, when it is served, and how a reading is known to be whole."""

import errno
import os
import stat
import time
from json import JSONDecodeError
from typing import Any

from perfkit._base.clock import stamp_ns
from perfkit._base.histogram import LatencyRecorder
from perfkit.statefile.codec import decode, is_too_deep
from perfkit.statefile.errors import StateFileCorrupt
from perfkit.statefile.fingerprint import COARSE_SLACK_NS, is_settled, same_file
from perfkit.statefile.frozen import freeze

__all__ = ["ABSENT", "DIGEST_BYTES", "Reader", "Reading", "read_whole"]

# What a version is: the digest of the content, or this for a file that is missing.
ABSENT = "absent"
DIGEST_BYTES = 16

# O_NONBLOCK: opening a FIFO must not wait for somebody to write into it.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_PARSE_RETRIES = 5
_READ_RETRIES = 200
_UNSET: Any = object()


class Reading:
    """What the file held when it was read, or when we wrote it."""

    __slots__ = ("_frozen", "_spare", "durable_as", "raw", "settled_as", "version_if_known")

    def __init__(
        self, raw: bytes, tree: Any, settled_as: os.stat_result | None = None, version: str | None = None
    ) -> None:
        self.raw = raw
        self.settled_as = settled_as  # while stat says this, the content is this; None: it must be read to be known
        self._spare = [] if tree is None else [tree]  # a list, because pop() hands its item to exactly one thread
        self._frozen: Any = _UNSET
        self.version_if_known = version
        self.durable_as: os.stat_result | None = None  # the file we flushed that had this content

    def seen_again(self, seen: os.stat_result, settled_as: os.stat_result | None) -> "Reading":
        """Return the same content, with all that was made of it, as it was read anew."""
        again = Reading(self.raw, None, settled_as, self.version_if_known)
        again._spare, again._frozen = self._spare, self._frozen
        if self.durable_as is not None and same_file(seen, self.durable_as):
            again.durable_as = self.durable_as
        return again

    def view(self) -> Any:
        """Return the frozen document, made at the first call. Two threads may both make it; either will do."""
        frozen = self._frozen
        if frozen is _UNSET:
            self._frozen = frozen = freeze(self.copy())
        return frozen

    def copy(self) -> Any:
        """Return a document that is the caller's alone: the decoded tree nobody has yet, or a new one."""
        try:
            return self._spare.pop()
        except IndexError:
            return decode(self.raw)

    def version(self) -> str:
        """Return a digest of the content. BLAKE2b (RFC 7693): faster than SHA-2, and no collision to be found."""
        if self.version_if_known is None:
            from hashlib import blake2b

            self.version_if_known = blake2b(self.raw, digest_size=DIGEST_BYTES).hexdigest()
        return self.version_if_known

    def held_bytes(self) -> int:
        """Estimate the memory held: a parsed tree takes about 5 times its text, and there may be two."""
        trees = len(self._spare) + (self._frozen is not _UNSET)
        return len(self.raw) * (1 + 5 * trees)


class Reader:
    """A path and its last reading.

    Thread-safe without a lock: a reading is replaced by one assignment, never changed.
    """

    def __init__(self, path: str, *, trust_stat: bool = True) -> None:
        self.path = path
        self.trust_stat = trust_stat
        self.hits = 0  # may miss a few under free threading: it counts, it decides nothing
        self.parses = 0
        self.reads = LatencyRecorder()
        self._last: Reading | None = None

    def view(self) -> Any:
        """Return the frozen document; one ``stat`` if nothing changed. Errors as `current`."""
        last = self._last
        if last is not None and last.settled_as is not None and same_file(os.stat(self.path), last.settled_as):
            self.hits += 1
            return last.view()
        return self.current().view()

    def current(self, path: str | None = None) -> Reading:
        """Return a reading that no write completed before this call is missing from.

        ``path`` is read instead of our own, whose symbolic links may lead elsewhere by now. Raises FileNotFoundError
        and other OSErrors, and StateFileCorrupt for a file that isn't JSON, after a few more looks if it may be in the
        middle of a write.
        """
        path = path or self.path
        last = self._last
        if last is not None and last.settled_as is not None and same_file(os.stat(path), last.settled_as):
            self.hits += 1
            return last
        started = time.perf_counter()
        self._last = fresh = self._parsed(path, last)
        self.reads.record(time.perf_counter() - started)
        return fresh

    def unparsed(self, path: str) -> Reading:
        """Return a reading as fresh as that of `current`, of a file that needn't be JSON. Raises OSError alone."""
        last = self._last
        if last is not None and last.settled_as is not None and same_file(os.stat(path), last.settled_as):
            self.hits += 1
            return last
        raw, seen, read_at = read_whole(path)
        if last is None or last.raw != raw:
            return Reading(raw, None)  # not for others, who would take it for a document
        self._last = again = last.seen_again(seen, self._settled(seen, read_at))
        return again

    def written(self, raw: bytes, tree: Any, *, durable_as: os.stat_result | None) -> None:
        """Take note of what we wrote. It is not settled: the next look reads it back, compares, and parses nothing."""
        self._last = last = Reading(raw, tree)
        last.durable_as = durable_as

    def held_bytes(self) -> int:
        """Estimate the memory that the last reading holds."""
        return 0 if self._last is None else self._last.held_bytes()

    def forget(self) -> int:
        """Drop what can be read again; return its size in bytes, estimated."""
        last, self._last = self._last, None
        return 0 if last is None else last.held_bytes()

    def _parsed(self, path: str, last: Reading | None) -> Reading:
        for attempt in range(_PARSE_RETRIES + 1):
            raw, seen, read_at = read_whole(path)
            settled_as = self._settled(seen, read_at)
            if last is not None and last.raw == raw:
                return last.seen_again(seen, settled_as)
            try:
                tree = decode(raw)
            except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of too many digits
                if attempt == _PARSE_RETRIES or _newest(seen) + COARSE_SLACK_NS < read_at:
                    raise _corrupt(self.path, raw, error) from error
                time.sleep(0.002 * 2**attempt)  # somebody may be writing in place
            except RecursionError as error:
                if not is_too_deep(raw):  # it is the caller who is
                    raise
                raise _corrupt(self.path, raw, error) from error
            else:
                self.parses += 1
                return Reading(raw, tree, settled_as)
        raise AssertionError("the last attempt returns or raises")

    def _settled(self, seen: os.stat_result, read_at: int) -> os.stat_result | None:
        return seen if self.trust_stat and is_settled(seen, read_at) else None


def read_whole(path: str) -> tuple[bytes, os.stat_result, int]:
    """Read a regular file while nothing about it changes.

    Return bytes, stat, and the stamping clock from before the open.
    """
    for attempt in range(_READ_RETRIES):
        read_at = stamp_ns()
        fd = os.open(path, _FLAGS)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise _not_a_file(path, before.st_mode)
            raw = _read_all(fd, before.st_size)
            after = os.fstat(fd)
        finally:
            os.close(fd)
        if same_file(before, after) and len(raw) == after.st_size:
            return raw, after, read_at
        time.sleep(min(0.0005 * 2**attempt, 0.02))
    raise OSError(
        errno.EBUSY,
        "the file was changed by others each time it was read, or it doesn't tell its size, as in /proc",
        path,
    )


def _read_all(fd: int, size: int) -> bytes:
    raw = os.read(fd, size + 1)  # one more than there should be: a short answer is then the end, almost always
    if len(raw) == size:
        return raw
    parts = [raw]
    while part := os.read(fd, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def _not_a_file(path: str, mode: int) -> OSError:
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return OSError(errno.EINVAL, "a state file must be a regular file, not a device, FIFO or socket", path)


def _newest(seen: os.stat_result) -> int:
    return max(seen.st_mtime_ns, seen.st_ctime_ns)


def _corrupt(path: str, raw: bytes, error: ValueError | RecursionError) -> StateFileCorrupt:
    pos = error.pos if isinstance(error, JSONDecodeError) else getattr(error, "start", 0)
    reason = error.msg if isinstance(error, JSONDecodeError) else str(error)
    text = raw.decode("utf-8", "replace")
    line, column = text.count("\n", 0, pos) + 1, pos - text.rfind("\n", 0, pos)
    what = "is empty" if not raw else f"is not JSON: {reason} at line {line}, column {column}"
    if isinstance(error, RecursionError):
        reason, what = "nested too deeply", "is nested too deeply to be read"
    return StateFileCorrupt(
        f"{path} {what}. The file was left as it is: repair it or put a good copy in its place, or let "
        f"StateFile(…, recover='backup') move it aside and start from the default",
        path=path, msg=reason, doc=text, pos=pos, lineno=line, colno=column,
    )  # fmt: skip
