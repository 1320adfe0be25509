"""Logging in: which mechanism, and what is said in it. Pure.

PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), and whatever else the user's own function knows, such as XOAUTH2. Nothing
of what is sent here appears in an error. The server may repeat it, whole or cut or changed, so of what it says to it
only the numbers are kept.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from binascii import Error as NotBase64
from binascii import a2b_base64
from typing import TYPE_CHECKING

from perfkit.pooling.smtp_errors import MailAuthRefused, MailProtocolError, MailUnsupported
from perfkit.pooling.smtp_steps import Ask, reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from perfkit.pooling.smtp_replies import Reply
    from perfkit.pooling.smtp_steps import Dialogue

    Answer = str | bytes
    Chosen = tuple[str, Answer | Callable[[bytes], Answer]]
    Auth = Callable[[tuple[str, ...]], Chosen | Awaitable[Chosen]]

__all__ = ["Login", "logging_in"]

_LONGEST_LINE = 500  # RFC 4954: an initial response that makes the line longer is sent by itself
_WRONG_CREDENTIALS = 535
_MOST_CHALLENGES = 20  # more than any mechanism has


class Login:
    """Who logs in, and how; it shows nothing of the password."""

    __slots__ = ("_password", "auth", "username")

    def __init__(self, username: str | None, password: str | None, auth: Auth | None) -> None:
        self.username = username
        self._password = password
        self.auth = auth

    def __repr__(self) -> str:
        return f"<login of {self.username!r}>"

    def chosen(self, mechanism: str) -> Chosen:
        """Return what a mechanism of ours says first, or what answers its challenges."""
        user, password = (self.username or "").encode(), (self._password or "").encode()
        if mechanism == "PLAIN":
            return mechanism, b"\0" + user + b"\0" + password
        if mechanism == "LOGIN":
            answers = iter((user, password))
            return mechanism, lambda _: next(answers, b"")
        return mechanism, lambda challenge: user + b" " + hmac.new(password, challenge, "md5").hexdigest().encode()


def logging_in(login: Login, offered: tuple[str, ...], server: str, *, encrypted: bool) -> Dialogue[None]:
    """Log in by the best mechanism that the server offers.

    Raises MailUnsupported if there is none, MailAuthRefused if the server refuses.
    """
    if login.auth is not None:
        yield from _exchange(login, (yield Ask(login.auth, (offered,))), server)
        return
    # Over TLS the simplest is as safe as any, and the quickest; without, the one that doesn't show the password.
    preferred = ("PLAIN", "LOGIN", "CRAM-MD5") if encrypted else ("CRAM-MD5", "PLAIN", "LOGIN")
    known = [mechanism for mechanism in preferred if mechanism in offered]
    if not known:
        raise MailUnsupported(
            f"{server} offers no way to log in that is known here: it has {' '.join(offered) or 'none at all'}, "
            f"known are {' '.join(preferred)}; pass auth= for another"
        )
    for mechanism in known[:-1]:
        try:
            yield from _exchange(login, login.chosen(mechanism), server)
        except MailAuthRefused as refused:  # some offer what they don't have
            if refused.code == _WRONG_CREDENTIALS or not refused.permanent:
                raise
        else:
            return
    yield from _exchange(login, login.chosen(known[-1]), server)


def _exchange(login: Login, chosen: Chosen, server: str) -> Dialogue[None]:
    mechanism, answer = chosen
    said = None if callable(answer) else _bytes(answer)
    line = b"AUTH " + _bytes(mechanism)
    if said is not None:
        full = line + b" " + (b64encode(said) or b"=")
        if len(full) <= _LONGEST_LINE:
            line, said = full, None
    yield line + b"\r\n"
    said_back = yield from reply()
    challenges = 0
    while said_back.code == 334:
        challenges += 1
        if challenges > _MOST_CHALLENGES:
            raise MailProtocolError(f"{server} still asks after {_MOST_CHALLENGES} answers to log in")
        if said is None and callable(answer):
            said = _bytes((yield Ask(answer, (_challenge(said_back, server),))))
        # To a challenge after the only answer: nothing, and the server tells why.
        yield b64encode(said or b"") + b"\r\n"
        said = None
        said_back = yield from reply()
    if said_back.is_good:
        return
    text = said_back.status
    raise MailAuthRefused(
        f"{server} refused to log in {login.username or 'by auth='} by {mechanism}: {said_back.code} {text}".rstrip(),
        code=said_back.code,
        text=text,
    )


def _challenge(said: Reply, server: str) -> bytes:
    try:
        return a2b_base64(said.text.encode(), strict_mode=True)
    except NotBase64:
        raise MailProtocolError(f"{server} sent a challenge to log in that is not base64") from None


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
