"""What ``python -X importtime`` prints, as a tree. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

__all__ = ["Import", "cost", "every", "parse", "split", "without"]

_SIGN = "import time:"


@dataclass(frozen=True, slots=True)
class Import:
    """A module that was imported: the seconds it took ``own`` and with all it was the first to import, ``children``."""

    name: str
    own: float
    cumulative: float
    children: tuple[Import, ...] = ()


def split(line: str) -> tuple[str, str]:
    """Return what a line of stderr has of the program's, and what of importtime's; they may be in one line."""
    before, sign, rest = line.partition(_SIGN)
    return before, sign + rest


def parse(lines: Iterable[str]) -> tuple[Import, ...]:
    """Return the modules that nothing else imported first. A module's line comes after its children's.

    Lines that are none of importtime's are passed over. Modules whose importer never ended come last.
    """
    waiting: dict[int, list[Import]] = {}  # by depth: those whose importer has not come yet
    for line in lines:
        if (found := _read(line)) is None:
            continue
        depth, name, own, cumulative = found
        children = tuple(waiting.pop(depth + 1, ()))
        waiting.setdefault(depth, []).append(Import(name, own, cumulative, children))
    return tuple(each for depth in sorted(waiting) for each in waiting[depth])


def _read(line: str) -> tuple[int, str, float, float] | None:
    """Return depth, name, own and cumulative seconds."""
    if not line.startswith(_SIGN):
        return None
    own, _, rest = line.removeprefix(_SIGN).partition("|")
    cumulative, _, name = rest.rstrip("\r\n").partition("|")
    if not (own.strip().isdigit() and cumulative.strip().isdigit()):
        return None  # the heading, or a module that was there
    depth = (len(name) - len(name.lstrip()) - 1) // 2
    return depth, name.strip(), int(own) / 1e6, int(cumulative) / 1e6


def every(imports: Iterable[Import]) -> Iterator[Import]:
    """Yield the imports and all below them."""
    for each in imports:
        yield each
        yield from every(each.children)


def without(imports: Iterable[Import], names: Collection[str]) -> tuple[Import, ...]:
    """Leave out modules, such as those that the interpreter itself starts with; what is below them is left out, too."""
    return tuple(each for each in imports if each.name not in names)


def cost(imports: Iterable[Import], name: str) -> float:
    """Return the seconds that a module took, with the packages it is in where they were loaded for it."""
    wanted = {name, *(name[:at] for at, sign in enumerate(name) if sign == ".")}
    return sum(_topmost(imports, wanted))


def _topmost(imports: Iterable[Import], wanted: Collection[str]) -> Iterator[float]:
    for each in imports:
        if each.name in wanted:
            yield each.cumulative
        else:
            yield from _topmost(each.children, wanted)
