"""The watchdog as a typed program uses it. mypy checks this; nothing runs it."""

from typing import assert_type

import perfkit
from perfkit.memory import Forecast, LevelChange, MemoryLimit, MemoryStats, MemoryUsage


def on_level(change: LevelChange) -> None:
    print(change.level, change.before, change.usage.fraction)


def restart(dog: perfkit.MemoryWatchdog) -> None:
    print(dog.name)


dog = perfkit.MemoryWatchdog("800MB", high=0.8, low=0.7, critical=0.95, on_level=on_level, restart=restart)
perfkit.MemoryWatchdog(800_000_000, sidecar=True, expose=True, name="app")
perfkit.MemoryWatchdog(8.5)  # type: ignore[arg-type]  # bytes are whole
perfkit.MemoryWatchdog(on_level=print, restart=5)  # type: ignore[arg-type]


@dog.reclaimer(tier=3, cooldown=5)
def drop_thumbnails(need: int) -> None:
    print(need)


@dog.reclaimer()
async def drop_sessions(need: int) -> int:
    return need


class Widget:
    def release_memory(self) -> None: ...


@perfkit.memory_guard("64MB", timeout=5)
def load(path: str) -> bytes:
    return path.encode()


@perfkit.memory_guard("64MB")
async def aload(path: str) -> bytes:
    return path.encode()


def use() -> None:
    assert_type(dog.track(Widget()), Widget)
    assert_type(dog.relieve(), int)
    assert_type(dog.usage(), MemoryUsage)
    assert_type(dog.forecast(), Forecast | None)
    assert_type(dog.stats(), MemoryStats)
    assert_type(dog.usage().fraction, float)
    assert_type(perfkit.memory_limit(), MemoryLimit)
    limit, source = perfkit.memory_limit()
    assert_type(limit, int)
    assert_type(source, str)
    assert_type(load("x"), bytes)
    load(3)  # type: ignore[arg-type]  # the parameters keep their types
    drop_thumbnails(3)
    dog.add(perfkit.Reclaimer(drop_thumbnails, tier=1, name="thumbnails"))
    with perfkit.memory_guard(1000, timeout=None), dog:
        pass


async def ause() -> None:
    assert_type(await aload("x"), bytes)
    async with perfkit.amemory_guard("64MB", timeout=5), dog:
        pass
