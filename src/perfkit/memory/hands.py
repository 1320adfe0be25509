"""A few daemon threads that make calls which may hang. Started early: at the limit no thread can be started."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from contextvars import copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    Job = Callable[[], object]

__all__ = ["Hands", "Hung"]

_numbers = itertools.count(1)


class Hung(Exception):
    """A call has not returned in time; it goes on by itself."""


class Hands:
    """Makes calls in threads of its own, in the context variables of whoever made it. One that hangs is left behind."""

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._context = copy_context()
        self._count = count
        for _ in range(count):
            self._start()

    def call(self, job: Job, patience: float) -> BaseException | None:
        """Have ``job()`` called and wait for its end; return what it raised. Raises `Hung` when patience is over."""
        call = _Call(job)
        self._jobs.put(call)
        if not call.is_over.wait(patience) and not call.leave():
            if call.was_begun:
                with contextlib.suppress(RuntimeError):  # there are no more threads: one fewer is at work
                    self._start()
            raise Hung
        return call.error

    def post(self, job: Job) -> None:
        """Have ``job()`` called some time, after those before it; it must not raise."""
        self._jobs.put(_Call(job))

    @property
    def is_behind(self) -> bool:
        """Whether something was posted that has not begun."""
        return not self._jobs.empty()

    def stop(self) -> None:
        """End the threads when they have done what they were given."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _start(self) -> None:
        name = f"perfkit-memory-{next(_numbers)}"
        threading.Thread(target=_work, args=(self._jobs, self._context), name=name, daemon=True).start()


class _Call:
    """One call, by whom it is waited for or left."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.error: BaseException | None = None
        self.is_over = threading.Event()
        self.was_begun = self.was_left = False
        self._mutex = threading.Lock()

    def begin(self) -> bool:
        """Tell whether it is to be made; not if nobody waits any more."""
        with self._mutex:
            self.was_begun = not self.was_left
            return self.was_begun

    def leave(self) -> bool:
        """Wait no more; what has not begun won't be made. Tell whether it has come to its end meanwhile."""
        with self._mutex:
            self.was_left = True
            return self.is_over.is_set()

    def end(self) -> bool:
        """Tell whether the thread that made it is still wanted."""
        with self._mutex:
            self.is_over.set()
            return not self.was_left


def _work(jobs: queue.SimpleQueue[_Call | None], context: Context) -> None:
    while (call := jobs.get()) is not None:
        if not call.begin():
            continue
        try:
            context.copy().run(call.job)
        except BaseException as error:  # noqa: BLE001 (who waits is told)
            call.error = error
        if not call.end():
            return  # another thread has taken its place
        del call
