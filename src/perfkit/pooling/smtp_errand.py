"""One mail on its way, and what becomes of it. Pure.

What decides whether a mail may be sent again is `Errand.is_out`: whether its final dot can have reached the server. Up
to there nothing is delivered, and it is sent again on another connection. From there on until the reply nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfkit.pooling.delivery import Delivery
from perfkit.pooling.smtp_errors import (
    DeliveryRefused,
    DeliveryUnknown,
    MailAuthRefused,
    MailConnectionLost,
    MailRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.pooling.smtp_replies import Reply

__all__ = ["MAX_TRIES", "Errand", "Letter", "SessionEnds", "stopped_by"]

_SHOWN = 3  # of the recipients that were refused
_LOGIN_REQUIRED = 530  # RFC 4954; RFC 3207 has the same code for TLS
MAX_TRIES = 3  # connections that may fail under one mail


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail as it is sent: ``content`` has CRLF at the end of each line, and a dot more where a line begins with one.

    ``size`` is that of the content before. ``to_7bit`` makes the same mail without 8-bit characters, if that can be.
    """

    sender: str
    recipients: tuple[str, ...]
    message_id: str
    content: bytes
    size: int
    is_8bit: bool
    needs_utf8: bool
    to_7bit: Callable[[], Letter] | None = None


class SessionEnds(Exception):
    """The server ends the session, or has lost track of it; ``reply`` says so. The mail isn't at fault."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Errand:
    """A letter, what the server has said of it in this session, and in the end its `Delivery`."""

    __slots__ = (
        "accepted",
        "delivery",
        "is_at_stake",
        "is_counted",
        "is_out",
        "letter",
        "place",
        "refused",
        "sender_refused",
        "sessions",
        "since",
        "tries",
    )

    def __init__(self, letter: Letter, place: int = 0) -> None:
        self.letter = letter
        self.place = place  # among those of one call
        self.sessions = 0  # it was begun in
        self.tries = 0  # of those, how many ended under it
        self.since: float | None = None  # when its turn came
        self.is_counted = False
        self.delivery: Delivery | None = None
        self._forget()

    def begin(self, *, is_first: bool = True) -> None:
        """Begin with it in a session: nothing has been said yet.

        ``is_first``: no other mail went before, so if the session ends, that is a try of this one. Behind another one
        it is at stake once the server has answered something to it.
        """
        self._forget()
        self.sessions += 1
        self.is_at_stake = is_first

    def _forget(self) -> None:
        self.is_out = self.is_at_stake = False
        self.sender_refused: Reply | None = None
        self.accepted: list[str] = []
        self.refused: dict[str, tuple[int, str]] = {}

    def hear_recipient(self, address: str, said: Reply) -> None:
        """Take note of what the server said of a recipient."""
        if said.is_good:
            self.accepted.append(address)
        else:
            self.refused[address] = said.code, said.text

    def conclude(self, said: Reply, server: str) -> None:
        """The server has the last word on it: on its sender, on DATA, or on its content."""
        if said.is_good:
            accepted, refused = tuple(self.accepted), self.refused
            self.delivery = Delivery(self.letter.message_id, accepted, refused, said.code, said.text)
        else:
            self._refuse(said.code, said.text, f"{server} refused mail {self.letter.message_id}: {said}")

    def conclude_without_recipients(self, server: str) -> None:
        """Every recipient was refused. If one of them for now only, it is worth another try later."""
        code, text = min(self.refused.values())  # 4xx before 5xx
        each = [f"{address}: {_in_a_line(*refused)}" for address, refused in self.refused.items()]
        said = ", ".join(each[:_SHOWN]) + (f", and {len(each) - _SHOWN} more" if len(each) > _SHOWN else "")
        self._refuse(code, text, f"{server} refused every recipient of mail {self.letter.message_id}: {said}")

    def _refuse(self, code: int, text: str, message: str) -> None:
        if code == _LOGIN_REQUIRED:
            self.fail(_not_let_in(code, text, message), code, text)
            return
        mine, refused = self.letter.message_id, self.refused
        self.fail(DeliveryRefused(message, code=code, text=text, message_id=mine, refused=refused), code, text)

    def fail(self, error: Exception, code: int = 0, text: str = "") -> None:
        """Nobody gets it, or nobody knows."""
        self.delivery = Delivery(self.letter.message_id, (), self.refused, code, text, error)

    def session_ended(self, error: Exception, server: str, *, fresh: bool, stale: bool = False) -> None:
        """Its session ended before the last word. It fails, or stays without a delivery: then it is to be sent again.

        ``fresh``: the connection was a new one. One that doesn't even answer then is no matter of another try.
        ``stale``: it had ended before this mail was begun, which is no try of it.
        """
        if self.delivery is not None:
            return
        if self.is_out:
            self.fail(self._unknown(error, server))
            return
        if stale or not self.is_at_stake:
            return
        self.tries += 1
        if self.tries < MAX_TRIES and not (fresh and isinstance(error, TimeoutError)):
            return
        if isinstance(error, SessionEnds):
            self.conclude(error.reply, server)
        else:
            self.fail(error)

    def broken_off(self, error: BaseException, server: str) -> None:
        """Nobody goes on with it: there is no connection, or whoever sends it is interrupted or cancelled.

        ``error`` is given a note of what it doesn't say itself: that the mail was taken, or that nobody knows.
        """
        if self.delivery is None and self.is_out:
            self.fail(self._unknown(error, server))
        elif self.delivery is None:
            self.fail(stopped_by(error))
        delivery = self.delivery
        if delivery is None or delivery.error is error:
            return
        if isinstance(delivery.error, DeliveryUnknown):
            error.add_note(str(delivery.error))
        elif delivery.error is None:
            error.add_note(
                f"{server} had taken mail {delivery.message_id} by then ({_in_a_line(delivery.code, delivery.text)}): "
                "it is delivered, so don't send it again"
            )

    def outcome(self) -> Delivery:
        """Return the delivery of a mail that has one, or raise its error."""
        delivery = self.delivery
        assert delivery is not None  # noqa: S101 (a trip that has come to its end leaves none without)
        if delivery.error is not None:
            raise delivery.error
        return delivery

    def _unknown(self, error: BaseException, server: str) -> DeliveryUnknown:
        mine = self.letter.message_id
        unknown = DeliveryUnknown(
            f"{server} had all of mail {mine} and did not say whether it takes it ({_told(error)}): it may have been "
            "delivered. If you send it again, keep its Message-ID",
            message_id=mine,
            recipients=tuple(self.accepted),
        )
        unknown.__cause__ = error
        return unknown


def _not_let_in(code: int, text: str, message: str) -> MailRefused:
    """Return the error of what isn't the mail's fault: the server wants a login, or TLS, before it takes any."""
    if "STARTTLS" in text.upper():
        return MailRefused(f"{message}. It asks for TLS: pass tls='starttls'", code=code, text=text)
    return MailAuthRefused(f"{message}. It asks for a login: pass username= and password=", code=code, text=text)


def stopped_by(error: BaseException) -> Exception:
    """Return the error of a mail that was not handed over because of another error, or an interrupt."""
    if isinstance(error, Exception):
        return error
    return MailConnectionLost(f"broken off by {type(error).__name__} before the mail was handed over")


def _in_a_line(code: int, text: str) -> str:
    return f"{code} {text}".replace("\n", " / ")


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
