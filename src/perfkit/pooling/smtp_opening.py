"""How a session begins: greeting, EHLO, STARTTLS, logging in. Pure.

RFC 5321, RFC 3207, RFC 4954. What the server said before TLS counts for nothing after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from perfkit.pooling.smtp_auth import logging_in
from perfkit.pooling.smtp_errors import MailRefused, MailUnsupported
from perfkit.pooling.smtp_steps import GREETING, SECURE, reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfkit.pooling.smtp_auth import Login
    from perfkit.pooling.smtp_replies import Reply
    from perfkit.pooling.smtp_steps import Dialogue

    Tls = Literal["starttls", "implicit", "none"]

__all__ = ["Features", "Terms", "opening", "quitting"]

_MOST_DIGITS = 20  # of a SIZE (RFC 1870, section 4)


@dataclass(frozen=True, slots=True)
class Terms:
    """On which terms a session is begun: with whom, how encrypted, as whom."""

    server: str  # host and port, for messages
    tls: Tls
    login: Login | None
    allow_insecure_auth: bool


@dataclass(frozen=True, slots=True)
class Features:
    """What a server offers, by its answer to EHLO: keywords in capitals, and what stands behind them."""

    names: Mapping[str, str]
    text: str = ""
    encrypted: bool = False

    @classmethod
    def of(cls, said: Reply, *, encrypted: bool) -> Features:
        """Read the answer to EHLO."""
        names: dict[str, str] = {}
        for line in said.text.split("\n")[1:]:
            keyword, _, parameters = line.replace("AUTH=", "AUTH ", 1).partition(" ")  # as servers did before RFC 2554
            keyword = keyword.upper()
            names[keyword] = f"{names.get(keyword, '')} {parameters}".strip()
        return cls(names, said.text, encrypted)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The ways to log in."""
        return tuple(dict.fromkeys(self.names.get("AUTH", "").upper().split()))

    @property
    def max_size(self) -> int | None:
        """The bytes a mail may have; None if the server doesn't say."""
        size = self.names.get("SIZE", "")
        return int(size) or None if size.isdecimal() and len(size) <= _MOST_DIGITS else None


def opening(terms: Terms, local_hostname: str) -> Dialogue[Features]:
    """Begin a session; return what the server offers in it.

    Raises MailRefused, MailUnsupported, MailAuthRefused.
    """
    greeting = yield from reply(GREETING)
    if greeting.code != 220:
        raise _refused(terms, "does not take our connection", greeting)
    encrypted = terms.tls == "implicit"
    features = yield from _hello(terms, local_hostname, encrypted=encrypted)
    if terms.tls == "starttls":
        yield from _encrypt(terms, features)
        encrypted = True
        features = yield from _hello(terms, local_hostname, encrypted=encrypted)
    if terms.login is not None:
        if not encrypted and not terms.allow_insecure_auth:
            raise MailUnsupported("a password goes over an encrypted connection only, or pass allow_insecure_auth=True")
        yield from logging_in(terms.login, features.mechanisms, terms.server, encrypted=encrypted)
    return features


def _hello(terms: Terms, local_hostname: str, *, encrypted: bool) -> Dialogue[Features]:
    name = local_hostname.encode("ascii")
    yield b"EHLO " + name + b"\r\n"
    said = yield from reply()
    if said.is_good:
        return Features.of(said, encrypted=encrypted)
    if said.code in (500, 502, 504):  # a server from before 1995
        yield b"HELO " + name + b"\r\n"
        said = yield from reply()
        if said.is_good:
            return Features({}, said.text, encrypted)
    raise _refused(terms, f"refuses our EHLO {local_hostname}", said)


def _encrypt(terms: Terms, features: Features) -> Dialogue[None]:
    if "STARTTLS" not in features:
        raise MailUnsupported(
            f"{terms.server} does not offer STARTTLS, or somebody on the way took the offer out: nothing was sent. "
            "If it encrypts from the first byte (port 465), pass tls='implicit'; if it may be plain, tls='none'"
        )
    yield b"STARTTLS\r\n"
    said = yield from reply()
    if said.code != 220:
        raise _refused(terms, "does not begin TLS", said)
    yield SECURE


def quitting() -> Dialogue[None]:
    """End a session as RFC 5321 wants it ended."""
    yield b"QUIT\r\n"
    yield from reply()


def _refused(terms: Terms, what: str, said: Reply) -> MailRefused:
    return MailRefused(f"{terms.server} {what}: {said}", code=said.code, text=said.text)
