"""What guards await, and reclaimers are awaited by: apart, so that threads load no asyncio."""

import asyncio
from concurrent import futures

from perfkit._base.offload import Offloader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Protocol

    class Relieving(Protocol):
        """Who can have memory given back."""

        def relieve(self, need: int) -> None:
            """Have it given back."""


__all__ = ["pause", "relieve", "result_of"]

_LOOK_EVERY = 1.0  # seconds, whether the loop still runs
_offloader = Offloader(2, "perfkit-memory-guard")  # one pass is made at a time


async def relieve(admission: "Relieving", need: int) -> None:
    """Have memory given back in a thread, or here if no thread is to be had."""
    try:
        await _offloader.run(admission.relieve, need)
    except RuntimeError:
        admission.relieve(need)


async def pause(seconds: float) -> None:
    """Let others go on."""
    await asyncio.sleep(seconds)


def result_of(coroutine: "Coroutine[Any, Any, Any]", loop: asyncio.AbstractEventLoop) -> object:
    """Have it awaited in another thread's loop, and return its result. Raises RuntimeError where that stops."""
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:  # it was closed
        coroutine.close()
        raise
    while not futures.wait([future], _LOOK_EVERY).done:
        if not loop.is_running():
            future.cancel()
            raise RuntimeError("its event loop has stopped")
    return future.result()
