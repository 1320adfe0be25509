"""What an SMTP server says: pure. Bytes go in as they come, replies come out whole.

RFC 5321, section 4.2: a reply is lines that begin with the same three digits, all but the last with a hyphen after
them. Whatever is something else is an error at once, and so is a line or a reply that doesn't end.
"""

import re
from typing import NamedTuple

from perfkit.pooling.smtp_errors import MailProtocolError

__all__ = ["Reply", "ReplyParser"]

MAX_LINE = 8192  # RFC 5321 allows 512, and servers say more
MAX_REPLY = 128 * 1024
_SHOWN = 60  # of bytes that are no greeting
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?!\S)")


class Reply(NamedTuple):
    """One reply: its code, and its text with a line each. What can't be printed in it is replaced."""

    code: int
    text: str

    @property
    def is_good(self) -> bool:
        """2xx: done."""
        return 200 <= self.code < 300

    @property
    def is_refusal(self) -> bool:
        """4xx, try later; 5xx, never."""
        return self.code >= 400

    @property
    def status(self) -> str:
        """The enhanced status code (RFC 3463), such as ``5.1.1``, or nothing."""
        found = _STATUS.match(self.text)
        return found[0] if found and found[0][0] == str(self.code)[0] else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text}".replace("\n", " / ")


class ReplyParser:
    """Bytes to replies."""

    __slots__ = ("_buffer", "_code", "_has_greeted", "_lines", "_size")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._has_greeted = False
        self._begin()

    def _begin(self) -> None:
        self._code = b""
        self._lines: list[bytes] = []
        self._size = 0

    @property
    def is_empty(self) -> bool:
        """Whether everything that came has been made a reply of."""
        return not self._buffer and not self._lines

    @property
    def is_flooded(self) -> bool:
        """Whether more lies here than any replies that may be due."""
        return len(self._buffer) > 2 * MAX_REPLY

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._buffer += data

    def next(self) -> Reply | None:
        """Return the next reply, or None until more has come. Raises MailProtocolError."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            if self._is_last(line):
                return self._finish()
        if len(self._buffer) > MAX_LINE:
            raise MailProtocolError(f"a line of the server's does not end in {MAX_LINE} bytes")
        return None

    def _is_last(self, line: bytes) -> bool:
        code, rest = line[:3], line[3:]
        if not _is_code(code) or rest[:1] not in (b"", b" ", b"-") or (self._lines and code != self._code):
            # What comes later may repeat what was sent to it: a password, too.
            shown = "" if self._has_greeted else f": {line[:_SHOWN]!r}"
            raise MailProtocolError(f"the server says what is no SMTP reply{shown}")
        self._size += len(line)
        if len(line) > MAX_LINE or self._size > MAX_REPLY:
            raise MailProtocolError(f"a reply of the server's does not end in {MAX_REPLY} bytes")
        self._code = code
        self._lines.append(rest[1:])
        return not rest.startswith(b"-")

    def _finish(self) -> Reply:
        reply = Reply(int(self._code), "\n".join(map(_printable, self._lines)))
        self._has_greeted = True
        self._begin()
        return reply


def _is_code(code: bytes) -> bool:
    return len(code) == 3 and code.isdigit() and b"2" <= code[:1] <= b"5"


def _printable(line: bytes) -> str:
    """Return a line as text that does nothing to a terminal or a log."""
    text = line.decode("utf-8", "replace").strip()
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
