"""A session with an SMTP server, once it is open: how mails are handed over in it. Pure.

Where the server offers PIPELINING (RFC 2920), a mail's envelope is one write, and it goes out together with the content
of the mail before: one round trip a mail. DATA is the last command of a group, content may be the first.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from perfkit.pooling.smtp_errand import SessionEnds
from perfkit.pooling.smtp_errors import MailProtocolError, MailUnsupported
from perfkit.pooling.smtp_steps import VERDICT, Content, reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from perfkit.pooling.smtp_errand import Errand, Letter
    from perfkit.pooling.smtp_opening import Features
    from perfkit.pooling.smtp_replies import Reply
    from perfkit.pooling.smtp_steps import Dialogue

    Take = Callable[[], Errand | None]

__all__ = ["Session"]

# Commands under way at once. Their replies have to fit into the buffers between us: a server that can't write any more
# reads no more either, and both would wait for ever (RFC 2920, section 3.1).
_MAX_AHEAD = 64
_DOT = b".\r\n"


class Kind(Enum):
    """What a command is about."""

    RESET = "RSET"
    MAIL = "MAIL"
    RECIPIENT = "RCPT"
    DATA = "DATA"


class Command(NamedTuple):
    """A line to the server."""

    kind: Kind
    line: bytes
    address: str = ""


_RESET = Command(Kind.RESET, b"RSET\r\n")
_DATA = Command(Kind.DATA, b"DATA\r\n")


class Session:
    """What is known of a session that lasts, and the dialogues in it."""

    def __init__(self, server: str, features: Features, max_mails: float) -> None:
        self.server = server
        self.features = features
        self.mails = 0  # begun in it
        self._has_begun = False  # with one, since it was lent
        self.times_lent = 0
        self._max_mails = max_mails
        self._pipelines = "PIPELINING" in features
        self._needs_reset = False
        self._has_answered = True  # since it was lent

    def begin(self) -> None:
        """It is lent. Where that costs no round trip, RSET goes first: what is dead or out of step shows by it."""
        self.times_lent += 1
        self._has_answered = self._has_begun = False
        self._needs_reset |= self._pipelines and not self.is_fresh

    def was_used(self) -> None:
        """Somebody else has spoken in it: the next mail begins with RSET."""
        self._needs_reset = True

    @property
    def is_fresh(self) -> bool:
        """Whether it is lent for the first time."""
        return self.times_lent <= 1

    @property
    def is_spent(self) -> bool:
        """Whether it has had as many mails as it may."""
        return self.mails >= self._max_mails

    @property
    def was_stale(self) -> bool:
        """Whether it had ended while it was idle: others that old may have too."""
        return not self.is_fresh and not self._has_answered

    def deliver(self, take: Take) -> Dialogue[None]:
        """Hand over what ``take()`` gives, until it gives None or the session is spent.

        Raises SessionEnds, MailProtocolError, and what the connection raises; then mails may be left without a
        delivery.
        """
        self.begin()
        waiting: Errand | None = None  # its envelope is accepted: the server waits for its content
        errand = self._next(take)
        while errand is not None or waiting is not None:
            groups = list(self._groups(errand)) if errand is not None else []
            ahead = groups[0] if groups and self._pipelines else ()
            if waiting is not None:
                yield from self._hand_over(waiting, ahead)
            elif ahead:
                yield _lines(ahead)
            waiting = None
            if errand is not None and (yield from self._introduce(errand, groups, is_ahead=bool(ahead))):
                waiting = errand
            errand = self._next(take)

    def _next(self, take: Take) -> Errand | None:
        """Return the next mail that the server can take; those it can't fail on the way."""
        while not self.is_spent and (errand := take()) is not None:
            try:
                errand.letter = self._fitting(errand.letter)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is this mail's alone)
                errand.fail(error)
                continue
            errand.begin(is_first=not self._has_begun)
            self._has_begun = True
            self.mails += 1
            return errand
        return None

    def _fitting(self, letter: Letter) -> Letter:
        features = self.features
        if letter.needs_utf8 and "SMTPUTF8" not in features:
            raise MailUnsupported(
                f"{self.server} does not offer SMTPUTF8, which characters beyond ASCII in addresses, and raw ones in "
                f"headers, need: mail {letter.message_id} was not sent"
            )
        if letter.is_8bit and "8BITMIME" not in features:
            seven = _in_7bit(letter)
            if seven is None:
                raise MailUnsupported(
                    f"{self.server} does not offer 8BITMIME, and mail {letter.message_id} has 8-bit characters: encode "
                    "its parts as base64 or quoted-printable"
                )
            letter = seven
        if features.max_size is not None and letter.size > features.max_size:
            raise MailUnsupported(
                f"{self.server} takes mails of up to {features.max_size} bytes, and mail {letter.message_id} has "
                f"{letter.size}: it was not sent"
            )
        return letter

    def _groups(self, errand: Errand) -> Iterator[Sequence[Command]]:
        """Yield the envelope in groups of commands that may be under way together."""
        commands = list(self._envelope(errand.letter))
        many = _MAX_AHEAD if self._pipelines else 1
        return (commands[at : at + many] for at in range(0, len(commands), many))

    def _envelope(self, letter: Letter) -> Iterator[Command]:
        if self._needs_reset:
            yield _RESET
        options = "".join(self._options(letter))
        yield Command(Kind.MAIL, f"MAIL FROM:<{letter.sender}>{options}\r\n".encode())
        for address in letter.recipients:
            yield Command(Kind.RECIPIENT, f"RCPT TO:<{address}>\r\n".encode(), address)
        yield _DATA

    def _options(self, letter: Letter) -> Iterator[str]:
        if "SIZE" in self.features:
            yield f" SIZE={letter.size}"
        if letter.is_8bit:
            yield " BODY=8BITMIME"
        if letter.needs_utf8:
            yield " SMTPUTF8"

    def _introduce(self, errand: Errand, groups: Sequence[Sequence[Command]], *, is_ahead: bool) -> Dialogue[bool]:
        """Have the envelope answered; tell whether the server waits for the content.

        ``is_ahead``: the first group has been written. A mail that isn't wanted is concluded here.
        """
        said: Reply | None = None  # the last reply to the last command, DATA
        for number, group in enumerate(groups):
            if number or not is_ahead:
                if errand.sender_refused or (group[0] is _DATA and not errand.accepted):
                    break
                yield _lines(group)
            for command in group:
                said = yield from reply()
                self._hear(errand, command, said)
        self._needs_reset = True
        waits = said is not None and said.code == 354
        if errand.sender_refused is not None:
            errand.conclude(errand.sender_refused, self.server)
        elif not errand.accepted:
            errand.conclude_without_recipients(self.server)
        elif waits:
            self._needs_reset = False  # content, whatever comes of it, ends the transaction
            return True
        elif said is not None:
            errand.conclude(said, self.server)
        if waits:  # for content that nobody would get
            yield from self._give_nothing(errand)
        return False

    def _hear(self, errand: Errand, command: Command, said: Reply) -> None:
        kind = command.kind
        if said.code == 421 or (kind is Kind.RESET and not said.is_good) or (kind is Kind.MAIL and said.code == 503):
            raise SessionEnds(said)
        self._has_answered = errand.is_at_stake = True
        is_expected = said.code == 354 if kind is Kind.DATA else said.is_good
        if not is_expected and not said.is_refusal:
            raise MailProtocolError(f"{self.server} answers {kind.value} with {said}")
        if kind is Kind.MAIL and said.is_refusal:
            errand.sender_refused = said
        elif kind is Kind.RECIPIENT:
            errand.hear_recipient(command.address, said)

    def _give_nothing(self, errand: Errand) -> Dialogue[None]:
        """End content that the server waits for although nobody would get it (RFC 2920, section 3.1)."""
        if errand.sender_refused is not None:
            raise MailProtocolError(f"{self.server} wants the content of a mail whose sender it has refused")
        yield _DOT
        yield from reply()

    def _hand_over(self, errand: Errand, ahead: Sequence[Command]) -> Dialogue[None]:
        """Give the server the content, and with it the next envelope; hear its verdict."""
        content = errand.letter.content + _DOT
        early: Reply | None = yield Content(errand, content + _lines(ahead), len(content))
        said = early or (yield from reply(VERDICT))
        if said.code == 421:
            errand.is_out = False  # it said no
            raise SessionEnds(said)
        if not said.is_refusal and not errand.is_out:
            raise MailProtocolError(
                f"{self.server} answers a mail's content before its end, when nothing may come: {said}"
            )
        if not said.is_good and not said.is_refusal:
            raise MailProtocolError(f"{self.server} answers a mail's content with {said}")
        errand.conclude(said, self.server)
        if early is not None:  # what it makes of the rest of the content is no matter any more
            raise SessionEnds(said)


def _in_7bit(letter: Letter) -> Letter | None:
    try:
        return letter.to_7bit() if letter.to_7bit else None
    except UnicodeError:  # a part that isn't text
        return None


def _lines(commands: Sequence[Command]) -> bytes:
    return b"".join([command.line for command in commands])
