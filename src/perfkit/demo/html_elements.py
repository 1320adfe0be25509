"""HTML elements as text. Whatever is no `Markup` already is escaped, so nothing can be forgotten."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "joined"]


class Markup(str):
    """What is HTML already."""

    __slots__ = ()


def element(tag: str, *content: str, **attributes: object) -> Markup:
    """Return an element; of attributes ``class_`` stands for ``class``, and ``aria_label`` for ``aria-label``."""
    named = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    given = "".join(f' {name}="{escape(str(value))}"' for name, value in named)
    return Markup(f"<{tag}{given}>{joined(*content)}</{tag}>")


def joined(*content: str) -> Markup:
    """Return one after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(each) for each in content))
