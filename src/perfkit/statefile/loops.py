"""Which event loop and which task a call is made in. Loads no asyncio: whoever runs a loop has loaded it."""

import sys
import weakref
from typing import Any

__all__ = ["running_loop", "this_task"]


def running_loop() -> Any:
    """Return the event loop that this thread runs, or None."""
    get = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return None if get is None else get()


def this_task() -> object:
    """Return what tells the running task from others, or None outside of tasks.

    Weak, for a queue must not keep an abandoned edit alive.
    """
    loop = running_loop()
    task = None if loop is None else sys.modules["asyncio"].current_task(loop)
    return None if task is None else weakref.ref(task)
