"""The memory demo's program, run in a process of its own: it renders pages and keeps them, for they are wanted again.

``python -m perfkit.demo.memory_program before|after LIMIT PAGES`` writes a line of JSON for each change of level, and a
last one for what it has done.
"""

from __future__ import annotations

import functools
import json
import random
import sys
import time
import zlib
from typing import TYPE_CHECKING, Any

import perfkit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perfkit.memory import LevelChange

__all__ = ["checksums", "main", "render", "wanted"]

PAGE = 100_000  # bytes
FAVOURITES = 50


def render(number: int) -> bytes:
    """Make a page, the same for the same number."""
    return random.Random(number).randbytes(PAGE // 100) * 100


def wanted(pages: int) -> Iterator[int]:
    """Yield which pages are asked for: each of many once, and some favourites again and again."""
    dice = random.Random(1)
    for number in range(pages):
        yield FAVOURITES + number
        yield dice.randrange(FAVOURITES)


def checksums(page: Callable[[int], bytes], pages: int) -> int:
    """Ask for pages; return what tells whether all were right."""
    total = 0
    for number in wanted(pages):
        total = zlib.crc32(page(number), total)
    return total


def _say(**what: Any) -> None:
    sys.stdout.write(json.dumps({"at": time.monotonic(), **what}) + "\n")  # at once: the watchdog's thread writes, too
    sys.stdout.flush()


def main(way: str, limit: int, pages: int) -> None:
    """Do the work, one way."""
    _say(level="ok")
    if way == "before":
        total = checksums(functools.lru_cache(maxsize=None)(render), pages)
        _say(total=total)
        return

    def tell(change: LevelChange) -> None:
        _say(level=change.level)

    with perfkit.MemoryWatchdog(limit, on_level=tell) as dog:
        total = checksums(perfkit.cached(maxsize=10**9)(render), pages)
        _say(total=total, freed=sum(tier.freed_bytes for tier in dog.stats().tiers))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
