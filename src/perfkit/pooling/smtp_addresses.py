"""Addresses: what may stand between the angle brackets of MAIL and RCPT. Pure.

A line break in an address would begin a command of somebody else's making, so it is refused, as is whatever could be
read as more than one address. Headers are read by the parser of `email.headerregistry`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.errors import NonASCIILocalPartDefect
from email.headerregistry import AddressHeader
from email.policy import SMTP
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["address", "addresses", "header_addresses"]

_PLAIN = re.compile(r"[^\s\x00-\x20\x7f<>()\[\],;:\\\"@]+@[^\s\x00-\x20\x7f<>()\\\",;@]+")  # nearly every one
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_MAX_LENGTH = 320


def address(text: object, what: str = "an address") -> str:
    """Return the one address in ``text``, which may have a name before it: ``"Ada <ada@example.com>"``.

    Raises TypeError or ValueError, saying why, for what isn't one.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str such as 'ada@example.com', not {text!r}")
    _refuse_control(text, what)
    if _is_plain(text):
        return text
    found = _parsed(text, what)
    if len(found) != 1:
        many = "is more than one: pass a list" if len(found) > 1 else "is none"
        raise ValueError(f"{what} must be one address, and {text!r} {many}")
    return found[0]


def addresses(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return recipients as they were passed: one, or an iterable of them; each once."""
    each = [given] if isinstance(given, str) else given
    if not isinstance(each, Iterable):
        raise TypeError(f"to_addrs must be an address, or a list of addresses, not {given!r}")
    return tuple(dict.fromkeys(address(one, "a recipient") for one in each))


def header_addresses(name: str, value: Any) -> list[str]:
    """Return the addresses in a header's value, of whichever policy."""
    found = value.addresses if hasattr(value, "addresses") else None
    if found is None:
        text = value.encode() if hasattr(value, "encode") and not isinstance(value, str) else str(value)
        return _parsed(re.sub(r"\r?\n(?=[ \t])", "", text), f"the header {name}")
    return [_checked(one.addr_spec, f"the header {name}") for one in found]


def _is_plain(text: str) -> bool:
    return len(text) <= _MAX_LENGTH and _PLAIN.fullmatch(text) is not None


def _parsed(text: str, what: str) -> list[str]:
    if _is_plain(text):
        return [text]
    _refuse_control(text.replace("\t", " "), what)
    try:
        header = SMTP.header_factory("to", text)
    except Exception as error:  # the parser falls over some; which errors it raises is not documented
        raise ValueError(f"{what} can't be read as addresses: {text!r}") from error
    defects = [one for one in getattr(header, "defects", ()) if not isinstance(one, NonASCIILocalPartDefect)]
    if defects or not isinstance(header, AddressHeader):
        raise ValueError(f"{what} can't be read as addresses: {text!r}")
    return [_checked(one.addr_spec, what) for one in header.addresses]


def _checked(spec: str, what: str) -> str:
    """Return an address from a parser, which lets much through."""
    _refuse_control(spec, what)
    local, at, domain = spec.rpartition("@")
    is_quoted = local.startswith('"') and local.endswith('"') and len(local) > 1
    if not at or not local or not domain or len(spec) > _MAX_LENGTH:
        raise ValueError(f"{what} has {spec!r}, which is no address: it must be name@domain")
    if re.search(r"[<> ]", domain) or (not is_quoted and re.search(r"[<> @]", local)):
        raise ValueError(f"{what} has {spec!r}, which is no address: it must be name@domain")
    return spec


def _refuse_control(text: str, what: str) -> None:
    if _CONTROL.search(text):
        raise ValueError(f"{what} must not have line breaks, other control characters or lone surrogates: {text!r}")
