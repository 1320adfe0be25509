"""After a fork: what holds locks, descriptors or threads is told so in the child, and makes them anew or gives them up.

One hook for the process instead of one an object, because ``os.register_at_fork`` can never be undone.
"""

import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Forkable(Protocol):
        """An object that survives a fork by being told of it."""

        def _after_fork_in_child(self) -> None: ...


# A plain dict for the reason given in registry.py: weak references' callbacks may take no lock.
_told: "dict[int, weakref.ref[Forkable]]" = {}


def after_in_child(thing: "Forkable") -> None:
    """Call ``thing._after_fork_in_child()`` in every forked child, for as long as ``thing`` lives.

    The call comes before any other code of the child runs, on its only thread. It must take no lock that the parent
    may have held: it replaces them.
    """
    key = id(thing)
    _told[key] = weakref.ref(thing, lambda _: _told.pop(key, None))


def _tell_all() -> None:
    for reference in list(_told.values()):
        thing = reference()
        if thing is not None:
            thing._after_fork_in_child()


# How many forks this process has begun, and how many are over. What was made while they were equal, no child has a copy
# of unbeknown; see `Sidecar`. Counted, not locked: a fork must not wait for whoever opens a file, nor he for a fork.
begun = 0
ended = 0


def _begin() -> None:
    global begun  # noqa: PLW0603 (the process's own count)
    begun += 1


def _end() -> None:
    global ended  # noqa: PLW0603 (the process's own count)
    ended += 1


def _end_in_child() -> None:
    """Begin anew: forks that other threads had begun are the parent's."""
    global ended  # noqa: PLW0603 (the process's own count)
    ended = begun
    _tell_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin, after_in_parent=_end, after_in_child=_end_in_child)
