"""What a demo part hands back: figures in seconds and bytes, and checks that count what went wrong. Pure data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Protocol

__all__ = [
    "Check",
    "Comparison",
    "Count",
    "DemoError",
    "InputError",
    "Latency",
    "Options",
    "PartResult",
    "Progress",
    "Section",
    "Series",
    "Size",
]


class DemoError(RuntimeError):
    """A part could not do its work to the end, so there is nothing to compare. The message says why."""


class InputError(ValueError):
    """What the user gave the demo cannot be worked on: a missing or corrupt ``--input`` file. The message says why."""


class Progress(Protocol):
    """Told what is being done, as often as the work likes."""

    def __call__(self, doing: str) -> None:
        """Take note of what is being done."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user may choose: ``input``, the path of a document to work on a copy of, and ``quick``, fewer rounds."""

    input: str | None = None
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one operation took, done ``count`` times in the way that ``how`` names. Seconds."""

    how: str
    count: int
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, how: str, seconds: Iterable[float]) -> Latency:
        """Make it of the single durations, by nearest rank: each percentile is a duration that was measured.

        Raises DemoError if there are none, because then there is nothing to show.
        """
        ordered = sorted(seconds)
        if not ordered:
            raise DemoError(f"{how}: not one was measured")
        p50, p95, p99 = (ordered[ceil(len(ordered) * percent / 100) - 1] for percent in (50, 95, 99))
        return cls(how, len(ordered), p50, p95, p99)

    def as_json(self) -> dict[str, Any]:
        """Return the figures under their names, in seconds."""
        return {"how": self.how, "count": self.count, "p50": self.p50, "p95": self.p95, "p99": self.p99}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One piece of work, the ordinary way and in one or more of perfkit's."""

    what: str
    before: Latency
    after: tuple[Latency, ...]

    def speedup(self, after: Latency) -> float:
        """Return how many times faster the median is; below 1 it is slower."""
        return self.before.p50 / after.p50

    def as_json(self) -> dict[str, Any]:
        """Return both ways, and with each of perfkit's the ratio of the medians."""
        after = [{**each.as_json(), "speedup_p50": self.speedup(each)} for each in self.after]
        return {"what": self.what, "before": self.before.as_json(), "after": after}


@dataclass(frozen=True, slots=True)
class Count:
    """``bad`` of ``of`` cases that were looked at."""

    bad: int
    of: int

    @property
    def is_clean(self) -> bool:
        """None was bad, and there was something to look at: a check of nothing proves nothing."""
        return self.bad == 0 and self.of > 0

    def as_json(self) -> dict[str, int]:
        """Return both numbers."""
        return {"bad": self.bad, "of": self.of}


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must not happen with perfkit, and how often it did, each way.

    ``both`` says that it must not happen the ordinary way either, because then the two did not do the same work.
    """

    what: str
    before: Count
    after: Count
    both: bool = False

    @property
    def passed(self) -> bool:
        """Whether perfkit's count is clean, and with ``both`` the ordinary way's too."""
        return self.after.is_clean and (self.before.is_clean or not self.both)

    def as_json(self) -> dict[str, Any]:
        """Return the counts and the verdict."""
        counts = {"before": self.before.as_json(), "after": self.after.as_json()}
        return {"what": self.what, **counts, "both": self.both, "passed": self.passed}


@dataclass(frozen=True, slots=True)
class Size:
    """How large something was each way, in bytes; more than 0."""

    what: str
    before: int
    after: int

    @property
    def ratio(self) -> float:
        """How many times smaller it is with perfkit; below 1 it is larger."""
        return self.before / self.after

    def as_json(self) -> dict[str, Any]:
        """Return both sizes and their ratio."""
        return {"what": self.what, "before": self.before, "after": self.after, "ratio": self.ratio}


@dataclass(frozen=True, slots=True)
class Series:
    """A size over time each way: pairs of seconds since the beginning and bytes, and what it should be below."""

    what: str
    limit: int
    before: Sequence[tuple[float, int]]
    after: Sequence[tuple[float, int]]


@dataclass(frozen=True, slots=True)
class Section:
    """What was measured and verified under one set of circumstances, which ``title`` and ``note`` tell.

    ``chart``, a drawing in plain signs, and ``series``, which it may be drawn of, are for people alone.
    """

    title: str
    comparisons: tuple[Comparison, ...]
    checks: tuple[Check, ...]
    note: str = ""
    chart: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    series: Series | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything in it."""
        comparisons = [each.as_json() for each in self.comparisons]
        checks = [each.as_json() for each in self.checks]
        sizes = [each.as_json() for each in self.sizes]
        return {"title": self.title, "note": self.note, "comparisons": comparisons, "sizes": sizes, "checks": checks}


@dataclass(frozen=True, slots=True)
class PartResult:
    """Everything of one part. ``document_bytes`` is the size of what was worked on."""

    name: str
    title: str
    document_bytes: int
    sections: tuple[Section, ...]

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks of all sections."""
        return tuple(check for section in self.sections for check in section.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def as_json(self) -> dict[str, Any]:
        """Return everything in it, and whether every check passed."""
        sections = [each.as_json() for each in self.sections]
        return {
            "name": self.name,
            "title": self.title,
            "passed": not self.failed,
            "document_bytes": self.document_bytes,
            "sections": sections,
        }
