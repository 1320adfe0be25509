"""What `perfkit imports` prints: the tree by time, the costliest by themselves, and what to write instead. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from perfkit.lazyload.importtime import Import, every

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from perfkit.lazyload.unread import Unread

__all__ = ["render"]

_HEAD = "cumulative        own       RSS  module"
_WORTH = 0.001  # seconds: what costs less is left out of the text


def render(
    program: str,
    imports: tuple[Import, ...],
    rss: Mapping[str, int],
    unread: Iterable[tuple[Unread, float]],
    *,
    top: int,
    shorten: Callable[[str], str],
) -> str:
    """Return the whole report, for a terminal of 80 columns."""
    modules = list(every(imports))
    total = sum(each.cumulative for each in imports)
    lines = [f"{program}: {len(modules)} modules imported in {_milliseconds(total)}", ""]
    shown = _costliest(modules, top)
    lines += [f"By cumulative time (the {top} costliest, below what imported them)", _HEAD, *_tree(imports, rss, shown)]
    by_own = sorted(modules, key=lambda each: -each.own)[:top]
    lines += ["", "By own time", _HEAD, *(_row(each, rss, 0) for each in by_own)]
    lines += ["", *_unread([(each, seconds) for each, seconds in unread if seconds >= _WORTH], rss, shorten)]
    return "\n".join(lines) + "\n"


def _costliest(modules: list[Import], top: int) -> set[int]:
    return {id(each) for each in sorted(modules, key=lambda each: -each.cumulative)[:top]}


def _tree(imports: Iterable[Import], rss: Mapping[str, int], shown: set[int], depth: int = 0) -> Iterator[str]:
    for each in sorted(imports, key=lambda each: -each.cumulative):
        if id(each) in shown:
            yield _row(each, rss, depth)
            yield from _tree(each.children, rss, shown, depth + 1)


def _row(each: Import, rss: Mapping[str, int], depth: int) -> str:
    brought = rss.get(each.name)
    memory = "" if brought is None else f"{brought / 1e6:.1f} MB"
    figures = f"{_milliseconds(each.cumulative):>10} {_milliseconds(each.own):>10} {memory:>9}"
    return f"{figures}  {'  ' * depth}{each.name}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"


def _unread(found: list[tuple[Unread, float]], rss: Mapping[str, int], shorten: Callable[[str], str]) -> Iterator[str]:
    if not found:
        yield "Each import of the program's own that takes a millisecond was read by a line that ran."
        return
    yield "Read by no line that ran: candidates, not verdicts. Another run may read them,"
    yield "and some imports are there for what they do. At most so much is saved:"
    for each, seconds in found:
        brought = rss.get(each.module)
        memory = "" if brought is None else f"{brought / 1e6:.1f} MB"
        yield f"{_milliseconds(seconds):>10} {memory:>9}  {shorten(each.file)}:{each.line}  {each.statement}"
    yield from _lines([each for each, _ in found if each.is_module], shorten)
    yield from _elsewhere([each for each, _ in found if not each.is_module], shorten)


def _lines(modules: list[Unread], shorten: Callable[[str], str]) -> Iterator[str]:
    """Yield the lines to write for modules, file by file."""
    for file in dict.fromkeys(each.file for each in modules):
        yield ""
        yield f"In {shorten(file)} write"
        yield "    import perfkit"
        yield ""
        yield "    with perfkit.lazy_imports():"
        yield from dict.fromkeys(f"        {each.statement}" for each in modules if each.file == file)


def _elsewhere(attributes: list[Unread], shorten: Callable[[str], str]) -> Iterator[str]:
    """Yield what to do about names that are no modules, and can't be lazy before Python 3.15."""
    if attributes:
        yield ""
        yield "These bind no module: they wait in the block from Python 3.15 on. Until then"
        yield "write them where they are needed, or import the module lazily:"
    for each in attributes:
        readers = ", ".join(map(str, each.readers)) or "none"
        yield f"    {shorten(each.file)}:{each.line}  {each.statement}  (lines that read it: {readers})"
