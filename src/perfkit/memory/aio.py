"""What a guard awaits: apart, so that threads load no asyncio."""

import asyncio

from perfkit._base.offload import Offloader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Relieving(Protocol):
        """Who can have memory given back."""

        def relieve(self, need: int) -> None:
            """Have it given back."""


__all__ = ["pause", "relieve"]

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
