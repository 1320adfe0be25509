"""What can go wrong with a state file. ``perfkit.errors`` has the whole tree."""

from json import JSONDecodeError

from perfkit.errors import PerfkitError

__all__ = [
    "StateFileConflict",
    "StateFileCorrupt",
    "StateFileEncodeError",
    "StateFileError",
    "StateFileLockError",
    "StateFileTimeout",
]


class StateFileError(PerfkitError):
    """The root of the state file's own errors. ``path`` is the file (str)."""

    path: str


class StateFileConflict(StateFileError, RuntimeError):
    """Somebody wrote or deleted the file since the version that ``save(doc, base=version)`` was based on.

    Nothing was written. ``base`` is the version the caller had, ``current`` the one the file is at; either is
    ``"absent"`` where there was, or is, no file.
    """

    base: str
    current: str


class StateFileCorrupt(StateFileError, JSONDecodeError):
    """The file exists and is not JSON. It was not touched.

    Besides ``path`` it has what every JSONDecodeError has: ``msg``, ``doc`` (the text, as far as it could be decoded),
    ``pos``, ``lineno`` and ``colno``.
    """

    msg: str
    doc: str
    pos: int
    lineno: int
    colno: int


class StateFileEncodeError(StateFileError, TypeError, ValueError):
    """The document holds something that JSON has no form for. Nothing was written.

    ``where`` is the place inside the document, such as ``$.agents[3].started``. Whoever catches the TypeError or the
    ValueError of ``json.dumps`` catches this.
    """

    where: str


class StateFileLockError(StateFileError, RuntimeError):
    """The lock cannot be had in this way, or doesn't count any more. Nothing was written.

    An edit inside an edit of the same file would wait for itself, also one in a signal handler or a ``__del__`` that
    runs in the middle of it. So would a ``StateFile`` that is called in a coroutine while a task of the same event loop
    is editing: it stops the loop, and with it the task. A lock that was carried over a fork is the parent's. One whose
    file was removed or replaced keeps nobody out.
    """


class StateFileTimeout(StateFileError, TimeoutError):
    """The lock was not had in ``timeout`` seconds. Nothing was read or written, and no function of the caller's ran."""

    timeout: float
