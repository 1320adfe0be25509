"""What ``python -X importtime`` prints, as a tree. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Import", "cost", "every", "inclusive", "parse", "split", "without"]

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


def without(imports: Collection[Import], names: Collection[str]) -> tuple[Import, ...]:
    """Leave out modules, such as those that the interpreter itself starts with; what is below them is left out, too.

    So is what comes a second time: another process that the program has started says it.
    """
    first = {each.name: each for each in reversed(list(imports))}
    return tuple(each for each in imports if each.name not in names and first[each.name] is each)


def cost(imports: Iterable[Import], name: str, ours: Collection[str] = (), stubbed: Collection[str] = ()) -> float:
    """Return the seconds that a module took, with the packages it is in where they were loaded for it.

    Without what perfkit itself took: modules that are ``ours``, and the reading of stubs in packages that are
    ``stubbed``.
    """
    wanted = {name, *(name[:at] for at, sign in enumerate(name) if sign == ".")}
    found = list(_topmost(imports, wanted))
    below = [child for each in found for child in each.children]
    free = sum(each.cumulative for each in _topmost(below, ours))
    free += sum(each.own for each in every(found) if each.name in stubbed)
    return max(0.0, sum(each.cumulative for each in found) - free)


def _topmost(imports: Iterable[Import], wanted: Collection[str]) -> Iterator[Import]:
    for each in imports:
        if each.name in wanted:
            yield each
        else:
            yield from _topmost(each.children, wanted)


def inclusive(imports: Iterable[Import], brought: Mapping[str, int]) -> dict[str, int]:
    """Return the memory of each import with all below it: as it was weighed, and never less than those together.

    It would be less if one of them gave memory back.
    """
    found = dict(brought)
    for each in reversed(list(every(imports))):  # those below come first
        if each.name in found:
            found[each.name] = max(found[each.name], sum(found.get(child.name, 0) for child in each.children))
    return found
