"""Where this thread stands in line, so that code which interrupts it doesn't wait for it.

A signal handler or a finaliser runs in the middle of whatever its thread is doing. If that stands in a line, or is at
its head, whoever queues up behind it in the same thread waits for ever. So a thread is in no line twice.
"""

import threading

__all__ = ["Place", "places_in", "stands_anywhere", "take_place"]


class Place:
    """This thread's place in a line: a lock's queue, or a group. ``owner`` is the task that asked, or None.

    It is left by setting ``line`` to None: an assignment, which no interrupt can strike, and in whatever thread.
    """

    __slots__ = ("line", "owner")

    def __init__(self, line: object, owner: object) -> None:
        self.line = line
        self.owner = owner


class _Mine(threading.local):
    places: tuple[Place, ...] = ()


_mine = _Mine()


def take_place(line: object, owner: object = None) -> Place:
    """Note that this thread is in ``line``, until the place is left."""
    place = Place(line, owner)
    _mine.places = (*_standing(), place)
    return place


def places_in(line: object) -> list[Place]:
    """Return this thread's places in ``line``."""
    return [place for place in _standing() if place.line is line]


def stands_anywhere() -> bool:
    """Tell whether this thread is in any line."""
    return bool(_standing())


def _standing() -> list[Place]:
    return [place for place in _mine.places if place.line is not None]
