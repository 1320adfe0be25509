"""Starting a daemon thread so that it has begun or never will, whatever strikes while it is being started."""

from __future__ import annotations

import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Beginning"]


class Beginning:
    """A chance to begin that is taken once: by the new thread, or by who calls it off.

    ``threading.Thread.start`` is Python code: an interrupt in it tells nothing of whether there is a thread now.
    """

    __slots__ = ("_chance",)

    def __init__(self) -> None:
        self._chance: list[None] = [None]

    def start(self, work: Callable[[], object], name: str) -> None:
        """Have ``work()`` run by a new daemon thread. If this raises, `called_off` tells whether it will be.

        Raises RuntimeError if no thread is to be had.
        """
        if sys.is_finalizing():  # 3.11 would wait for the thread to begin, for ever
            raise RuntimeError("the interpreter is ending: no thread can be started any more")
        try:
            threading.Thread(target=self._run, args=(work,), name=name, daemon=True).start()
        except RuntimeError as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # threading fails when one strikes as it waits
                raise error.__context__ from None
            raise

    def called_off(self) -> bool:
        """See to it that the work is not begun; False if it is."""
        return self._was_taken()

    def _run(self, work: Callable[[], object]) -> None:
        if self._was_taken():
            work()

    def _was_taken(self) -> bool:
        try:
            self._chance.pop()
        except IndexError:
            return False
        return True
