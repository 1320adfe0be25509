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


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tell_all)
