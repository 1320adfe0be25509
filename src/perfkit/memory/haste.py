"""Getting a turn at the interpreter sooner, while memory is about to run out.

A thread that wants the interpreter waits for the switch interval of 5 ms while another computes, each time. In 5 ms ten
megabytes can be taken, and a pass takes many turns. So the interval is shortened for as long as somebody is in a hurry.
"""

from __future__ import annotations

import sys
import threading

from perfkit._base import fork

__all__ = ["Haste"]

_SHORT = 0.0005  # seconds


class Haste:
    """Who is in a hurry in this process."""

    def __init__(self) -> None:
        self._who: set[int] = set()
        self._mutex = threading.RLock()  # re-entrant: a finaliser may stop a watchdog
        self._usual = sys.getswitchinterval()
        fork.after_in_child(self)

    def begin(self, who: object) -> None:
        """Switch often, until `end` is called for the same one."""
        with self._mutex:
            if not self._who:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(_SHORT, self._usual))
            self._who.add(id(who))

    def end(self, who: object) -> None:
        """Switch as before, once nobody is in a hurry any more; unless somebody else has changed the interval."""
        with self._mutex:
            if id(who) not in self._who:
                return
            self._who.discard(id(who))
            if not self._who and sys.getswitchinterval() <= _SHORT * 1.01:
                sys.setswitchinterval(self._usual)

    def _after_fork_in_child(self) -> None:
        """Nobody is in a hurry here."""
        self._mutex = threading.RLock()
        if self._who:
            self._who.clear()
            sys.setswitchinterval(self._usual)
