"""After a fork: what holds locks, descriptors or threads is told so in the child, and makes them anew or gives them up.

One hook for the process instead of one an object, because ``os.register_at_fork`` can never be undone.
"""

import os
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Forkable(Protocol):
        """An object that survives a fork by being told of it."""

        def _after_fork_in_child(self) -> None: ...

    class ForkableWithCare(Forkable, Protocol):
        """One that is told before, too."""

        def _before_fork(self) -> None: ...

        def _after_fork_in_parent(self) -> None: ...


# A plain dict for the reason given in registry.py: weak references' callbacks may take no lock.
_told: "dict[int, weakref.ref[Forkable]]" = {}
_told_before: "dict[int, weakref.ref[ForkableWithCare]]" = {}


def after_in_child(thing: "Forkable") -> None:
    """Call ``thing._after_fork_in_child()`` in every forked child, for as long as ``thing`` lives.

    The call comes before any other code of the child runs, on its only thread. It must take no lock that the parent
    may have held: it replaces them.
    """
    key = id(thing)
    _told[key] = weakref.ref(thing, lambda _: _told.pop(key, None))


def around(thing: "ForkableWithCare") -> None:
    """Call ``thing._before_fork()`` and ``thing._after_fork_in_parent()``, too, for as long as ``thing`` lives.

    Python lets go of what is local to other threads before it tells the child: whoever minds has to hold it from before
    the fork on. The parent is told when no fork is under way any more.
    """
    after_in_child(thing)
    key = id(thing)
    _told_before[key] = weakref.ref(thing, lambda _: _told_before.pop(key, None))


def _each(told: "dict[int, weakref.ref[Any]]", tell: "Callable[[Any], object]") -> None:
    """Tell each of them. One that fails keeps no other from being told: Python reports what is raised here, at the end.

    It is not logged: in the child, logging's locks may not have been made anew yet.
    """
    errors: list[BaseException] = []
    for reference in list(told.values()):
        thing = reference()
        try:
            if thing is not None:
                tell(thing)
        except BaseException as error:  # noqa: BLE001 (an interrupt, too: nobody is above a fork's hooks to get it)
            errors.append(error)
    if errors:
        raise BaseExceptionGroup("not all could follow a fork", errors)


# How many forks this process has begun, and how many are over. What was made while they were equal, no child has a copy
# of unbeknown; see `Sidecar`. Counted, not locked: a fork must not wait for whoever opens a file, nor he for a fork.
begun = 0
ended = 0


def _begin() -> None:
    global begun  # noqa: PLW0603 (the process's own count)
    begun += 1
    _each(_told_before, lambda thing: thing._before_fork())


def _end() -> None:
    global ended  # noqa: PLW0603 (the process's own count)
    ended += 1
    _each(_told_before, lambda thing: begun == ended and thing._after_fork_in_parent())


def _end_in_child() -> None:
    """Begin anew: forks that other threads had begun are the parent's."""
    global ended  # noqa: PLW0603 (the process's own count)
    ended = begun
    _each(_told, lambda thing: thing._after_fork_in_child())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_begin, after_in_parent=_end, after_in_child=_end_in_child)
