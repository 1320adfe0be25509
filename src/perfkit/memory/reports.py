"""What is said of a watchdog: its figures, as data for Python, for another process, and for people."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING

from perfkit._base.sizes import format_size
from perfkit.memory.guard import admission
from perfkit.memory.relief import TIERS
from perfkit.memory.stats import MemoryStats, TierStats

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from perfkit.memory.relief import Relief
    from perfkit.memory.watchdog import MemoryWatchdog

__all__ = ["lines", "report_of", "stats_of"]


def stats_of(dog: MemoryWatchdog, relief: Relief, *, polls: int, peak: int) -> MemoryStats:
    """Read the figures of a watchdog."""
    usage = dog.usage()
    return MemoryStats(
        name=dog.name,
        is_running=dog.is_running,
        level=dog.level,
        usage=usage,
        peak_bytes=max(peak, usage.used),
        reserved_bytes=admission.reserved,
        is_stuck=relief.is_stuck,
        polls=polls,
        passes=relief.passes,
        vain_passes=relief.vain_passes,
        tracked=len(relief.tracked),
        refused=admission.refused,
        tiers=tuple(
            TierStats(number, what, tally.runs, tally.freed, tally.seconds)
            for number, (what, tally) in enumerate(zip(TIERS, relief.tallies, strict=True))
        ),
        reclaimers=tuple(each.stats(is_busy=relief.is_busy(each)) for each in tuple(relief.reclaimers)),
    )


def report_of(dog: MemoryWatchdog) -> dict[str, Any]:
    """Return the figures as another process is told them: plain dictionaries, lists, texts and numbers."""
    stats, forecast = dog.stats(), dog.forecast()
    left = None if forecast is None else (forecast.soonest, forecast.seconds, forecast.latest)
    finite = left and [None if seconds == math.inf else seconds for seconds in left]
    return asdict(stats) | {"usage": stats.usage._asdict(), "seconds_left": finite}


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield what people are shown of a report."""
    usage = report["usage"]
    yield f"watchdog  {report['name']}: {report['level']}{', stuck' if report['is_stuck'] else ''}"
    yield f"limit     {format_size(usage['limit'])} ({usage['source']})"
    yield f"in use    {format_size(usage['used'])}, {usage['used'] / usage['limit']:.0%}; {_reserved(report)}"
    yield f"forecast  {_forecast(report['seconds_left'])}"
    yield f"passes    {report['passes']}, {report['vain_passes']} of them in vain; {report['polls']} looks"
    yield ""
    yield f"{'tier':<22}{'runs':>8}{'freed':>12}{'ms':>10}"
    for tier in report["tiers"]:
        yield _line(f"{tier['tier']} {tier['what']}", tier)
    for reclaimer in report["reclaimers"]:
        yield _line(f"  {reclaimer['name']}"[-21:], reclaimer)


def _reserved(report: dict[str, Any]) -> str:
    return f"peak {format_size(report['peak_bytes'])}, reserved {format_size(report['reserved_bytes'])}"


def _line(what: str, figures: dict[str, Any]) -> str:
    freed, took = format_size(figures["freed_bytes"]), figures["seconds"] * 1e3
    return f"{what:<22}{figures['runs']:>8}{freed:>12}{took:>10,.0f}"


def _forecast(seconds: list[float | None] | None) -> str:
    if seconds is None:
        return "too early to tell"
    soonest, likely, latest = (_duration(left) for left in seconds)
    if seconds[0] is None:
        return "the limit is not in sight"
    return f"the limit in {likely} ({soonest} to {latest})"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
