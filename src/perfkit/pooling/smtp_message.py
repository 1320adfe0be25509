"""From a message to a `Letter`: who gets it, what is sent, under which Message-ID."""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncIterable, Iterable, Mapping
from email.generator import BytesGenerator
from email.message import Message
from email.parser import HeaderParser
from email.policy import compat32
from email.utils import formatdate, make_msgid
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from perfkit.pooling.smtp_addresses import address, addresses, header_addresses
from perfkit.pooling.smtp_errand import Letter

if TYPE_CHECKING:
    Mail = Message[Any, Any] | bytes
    Recipients = str | Iterable[str] | None

__all__ = ["check_are_many", "prepare", "prepare_nth"]

_NAME = re.compile(r"[!-9;-~]+")  # RFC 5322, section 3.6.8
_BREAK = re.compile(r"\r\n(?![ \t])|\r(?!\n)|(?<!\r)\n(?![ \t])")  # that no folding is
_FIELD = re.compile(rb"[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*")
_END_OF_HEAD = re.compile(rb"\A\r?\n|\n\r?\n|\Z")
_BARE_CR = re.compile(rb"\r(?!\n)")
_SECRET = (b"bcc", b"resent-bcc")


def prepare(message: Mail, to_addrs: Recipients = None, from_addr: str | None = None) -> Letter:
    """Return the mail as it is sent. The message stays as it is.

    Raises TypeError or ValueError for what can't be sent, saying why.
    """
    _check_is_one(message, "a message")
    if isinstance(message, Message):
        return _of_message(message, to_addrs, from_addr)
    return _of_bytes(bytes(message), to_addrs, from_addr)


def prepare_nth(message: Mail, place: int) -> Letter:
    """Return the mail as it is sent, which is the one at a place of several."""
    _check_is_one(message, f"messages[{place}]")
    return prepare(message)


def check_are_many(messages: object, *, may_await: bool) -> None:
    """Raise TypeError for what `send_many` can't take one message after the other from."""
    if isinstance(messages, Message | bytes | bytearray):
        raise TypeError(
            "send_many takes a list of messages, or anything else that gives one after the other; this is one message: "
            "use send, or put it into a list"
        )
    kinds = Iterable | AsyncIterable if may_await else Iterable
    if isinstance(messages, str | Mapping) or not isinstance(messages, kinds):
        hint = "; use a perfkit.AsyncSMTPPool" if isinstance(messages, AsyncIterable) else ""
        raise TypeError(
            "send_many takes a list of messages, or anything else that gives one after the other, not "
            f"{type(messages).__name__}{hint}"
        )


def _check_is_one(given: object, what: str) -> None:
    if isinstance(given, Message | bytes | bytearray):
        return
    hint = "; encode it, text.encode(), or make an EmailMessage of it" if isinstance(given, str) else ""
    raise TypeError(f"{what} must be an email.message.EmailMessage or bytes, not {type(given).__name__}{hint}")


def _of_message(message: Message[Any, Any], to_addrs: Recipients, from_addr: str | None) -> Letter:
    sender, recipients = _envelope(message, to_addrs, from_addr)
    # The generator gives parts without a boundary one, also those inside.
    ours = copy.deepcopy(message) if message.is_multipart() else copy.copy(message)
    for name in ("Bcc", "Resent-Bcc"):  # deleting makes the copy's headers a list of its own
        del ours[name]
    message_id, missing = _missing(message, sender)
    needs_utf8 = not "".join((sender, *recipients)).isascii()

    def made(cte_type: str) -> bytes:
        head, body = _split(_flat(ours, needs_utf8=needs_utf8, cte_type=cte_type))
        return b"%b%b\r\n%b" % (head, missing, body)

    letter = partial(_letter, sender, recipients, message_id, needs_utf8=needs_utf8)
    return letter(made("8bit"), to_7bit=lambda: letter(made("7bit")))


def _of_bytes(raw: bytes, to_addrs: Recipients, from_addr: str | None) -> Letter:
    """Take the message as it stands, but for Bcc and what is missing: what was signed stays signed."""
    # Readers differ on what a bare carriage return is. If one ended the headers, those after it would be body: Bcc too.
    if _BARE_CR.search(raw, 0, _END_OF_HEAD.search(raw).end()):  # type: ignore[union-attr]  # there is an end
        raise ValueError(
            "the message has a carriage return without a line feed in its headers: end lines by CRLF or LF"
        )
    head, body = _split(_with_crlf(raw))
    fields = _FIELD.findall(head)
    if b"".join(fields) != head:
        raise ValueError("the message must begin with headers, such as b'From: …', and an empty line after them")
    headers = HeaderParser(policy=compat32).parsestr(head.decode("utf-8", "surrogateescape"))
    sender, recipients = _envelope(headers, to_addrs, from_addr)
    message_id, missing = _missing(headers, sender)
    head = b"".join([field for field in fields if field.partition(b":")[0].strip().lower() not in _SECRET])
    needs_utf8 = not head.isascii() or not "".join((sender, *recipients)).isascii()
    return _letter(sender, recipients, message_id, b"%b%b\r\n%b" % (head, missing, body), needs_utf8=needs_utf8)


def _envelope(headers: Message[Any, Any], to_addrs: Recipients, from_addr: str | None) -> tuple[str, tuple[str, ...]]:
    """Return sender and recipients, from the headers where they weren't given, as smtplib finds them there."""
    resent = headers.get_all("Resent-Date", [])
    if len(resent) > 1 and (to_addrs is None or from_addr is None):
        raise ValueError("the message was resent more than once: pass to_addrs and from_addr")
    prefix = "Resent-" if resent else ""
    sender = _sender(headers, prefix, from_addr)
    if to_addrs is None:
        found = [one for name in ("To", "Cc", "Bcc") for one in _in_header(headers, prefix + name)]
        recipients = tuple(dict.fromkeys(found))
    else:
        recipients = addresses(to_addrs)
    if not recipients:
        raise ValueError("a mail must have a recipient: pass to_addrs, or set To, Cc or Bcc")
    return sender, recipients


def _sender(headers: Message[Any, Any], prefix: str, from_addr: str | None) -> str:
    if from_addr is not None:
        return address(from_addr, "from_addr") if from_addr else ""  # nothing: nobody is told of failures
    for name in (f"{prefix}Sender", f"{prefix}From"):
        if found := _in_header(headers, name):
            return found[0]
    raise ValueError(f"a mail must have a sender: pass from_addr, or set {prefix}From")


def _in_header(headers: Message[Any, Any], name: str) -> list[str]:
    return [one for value in headers.get_all(name, []) for one in header_addresses(name, value)]


def _missing(headers: Message[Any, Any], sender: str) -> tuple[str, bytes]:
    """Return the Message-ID, and the header lines that a mail must have and this one lacks."""
    message_id = "".join(str(headers.get("Message-ID", "")).splitlines()).strip()  # it may be folded
    lines = b"" if "Date" in headers else b"Date: %b\r\n" % formatdate(localtime=True).encode()
    if not message_id:
        message_id = _new_id(sender)
        lines += b"Message-ID: %b\r\n" % message_id.encode()
    return message_id, lines


def _new_id(sender: str) -> str:
    domain = sender.rpartition("@")[2]
    return make_msgid(domain=domain if domain and domain.isascii() else "localhost")  # a domain given: no DNS is asked


def _check_headers(message: Message[Any, Any]) -> None:
    """Raise ValueError for a header, of the message or a part of it, that would begin another."""
    for part in message.walk():
        for name, value in part.raw_items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"a header's name may have visible ASCII characters but the colon, not {name!r}")
            if isinstance(value, str) and _BREAK.search(value):
                raise ValueError(f"the header {name} has a line break in it, which would begin another header")


def _flat(message: Message[Any, Any], *, needs_utf8: bool, cte_type: str) -> bytes:
    _check_headers(message)
    policy: Any = message.policy.clone(linesep="\r\n", cte_type=cte_type)
    if hasattr(policy, "utf8"):
        policy = policy.clone(utf8=needs_utf8)
    sink = BytesIO()
    BytesGenerator(sink, mangle_from_=False, policy=policy).flatten(message)
    flat = sink.getvalue()
    if len(_FIELD.findall(_split(flat)[0])) != len(message):
        raise ValueError("a header of the message has a line break in it, which would begin another header")
    return flat


def _letter(
    sender: str, recipients: tuple[str, ...], message_id: str, flat: bytes, *, needs_utf8: bool, to_7bit: Any = None
) -> Letter:
    content = _with_crlf(flat)
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    size = len(content)
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    is_8bit = not content.isascii()
    return Letter(sender, recipients, message_id, stuffed, size, is_8bit, needs_utf8, to_7bit)


def _split(flat: bytes) -> tuple[bytes, bytes]:
    """Return the headers, each with its line end, and the body."""
    if flat.startswith(b"\r\n"):
        return b"", flat[2:]
    head, _, body = flat.partition(b"\r\n\r\n")
    return head.removesuffix(b"\r\n") + b"\r\n", body


def _with_crlf(content: bytes) -> bytes:
    """Return it with CRLF for every line end: a bare CR or LF may look like one to the next server (smuggling)."""
    pairs = content.count(b"\r\n")
    if content.count(b"\n") == pairs == content.count(b"\r"):
        return content
    return re.sub(rb"\r\n|\r|\n", b"\r\n", content)
