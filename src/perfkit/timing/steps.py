"""Awaiting a coroutine with something around each of its steps, and around nothing that runs while it waits."""

from __future__ import annotations

import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextlib import AbstractContextManager
    from typing import Any

__all__ = ["stepped"]


@types.coroutine
def stepped(
    awaited: Coroutine[Any, Any, Any], around: Callable[[], AbstractContextManager[object]]
) -> Generator[Any, Any, Any]:
    """Await a coroutine, each step within ``around()``. What is sent or thrown in reaches it as it would without."""
    step: Callable[[Any], Any] = awaited.send
    argument: Any = None
    while True:
        try:
            with around():
                waits_for = step(argument)
        except StopIteration as end:
            return end.value
        try:
            argument = yield waits_for
            step = awaited.send
        except GeneratorExit:
            awaited.close()
            raise
        except BaseException as error:  # noqa: BLE001 (it is thrown into the coroutine, as the loop meant it)
            step, argument = awaited.throw, error
