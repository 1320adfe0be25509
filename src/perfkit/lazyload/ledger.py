"""What was declared lazily, where, and what became of it: one record for each place in a program that declares."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType

    from perfkit.lazyload.report import LazyStats

__all__ = ["Attempt", "Ledger", "Record", "ledger", "place"]


class Attempt:
    """A load that has begun: when by both clocks, how much memory there was, and which code asked for it."""

    __slots__ = ("at", "code", "line", "rss", "started")

    def __init__(self, started: float, at: float, rss: int | None, frame: FrameType) -> None:
        self.started = started
        self.at = at
        self.rss = rss
        self.code = frame.f_code
        self.line = frame.f_lineno


class Record:
    """One declaration. Threads that race for the first use each have an attempt; the first to begin is told of."""

    __slots__ = (
        "attempts",
        "error",
        "failed",
        "hint",
        "is_eager",
        "is_from",
        "is_native",
        "name",
        "require",
        "rss",
        "seconds",
        "where",
    )

    def __init__(self, name: str, where: tuple[str, int], hint: str = "", require: str = "") -> None:
        self.name = name
        self.where = where
        self.hint = hint
        self.require = require
        self.is_from = False  # `from a import b`: an attribute b of a goes before a module a.b
        self.is_native = False  # the interpreter's own lazy import, which tells nothing
        self.is_eager = False  # a statement in a block that can't wait
        self.attempts: list[Attempt] = []
        self.seconds: float | None = None
        self.rss: int | None = None
        self.error = ""  # of the last use, if that failed, which is `failed`
        self.failed: Attempt | None = None

    @property
    def declared_at(self) -> str:
        """Its file and line."""
        return place(*self.where)

    @property
    def first(self) -> Attempt | None:
        """The load that was: of those who raced for it, the first to begin."""
        return self.attempts[0] if self.is_done else None

    @property
    def is_done(self) -> bool:
        """Whether it has been loaded."""
        return self.seconds is not None


class Ledger:
    """All records. A program declares in as many places as it has lines, so this stays bounded."""

    name = "imports"

    def __init__(self) -> None:
        self._is_shown = False
        self._records: dict[tuple[str, str, int, str, str], Record] = {}

    def record(self, name: str, filename: str, line: int, hint: str = "", require: str = "") -> Record:
        """Return the record of a declaration, which is made when its line is first reached with these options."""
        key = name, filename, line, hint, require
        found = self._records.get(key)
        # setdefault is one step: threads that come by together get the same record
        return found or self._records.setdefault(key, Record(name, (filename, line), hint, require))

    def show(self) -> None:
        """Appear in `perfkit.stats()`, from the first load on: who only declares doesn't pay for the registry."""
        if self._is_shown:
            return
        from perfkit import registry

        registry.register(self, part="lazyload")
        self._is_shown = True

    def records(self) -> list[Record]:
        """Return all of them, in the order they were declared."""
        return list(self._records.values())

    def stats(self) -> LazyStats:
        """Return the figures of all lazy imports together."""
        from perfkit.lazyload.report import lazy_stats

        return lazy_stats(self.name, self.records())


ledger = Ledger()


def place(file: str | CodeType, line: int) -> str:
    """Write a file and line as tracebacks, editors and terminals know them."""
    return f"{file if isinstance(file, str) else file.co_filename}:{line}"
