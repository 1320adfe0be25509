"""One mail on its way, and what becomes of it. Pure.

What decides whether a mail may be sent again is `Errand.is_out`: whether its final dot can have reached the server. Up
to there nothing is delivered, and it is sent again on another connection. From there on until the reply nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from perfkit.pooling.delivery import Delivery
from perfkit.pooling.smtp_errors import DeliveryRefused, DeliveryUnknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.pooling.smtp_replies import Reply

__all__ = ["MAX_TRIES", "Errand", "Letter", "SessionEnds"]

_SHOWN = 3  # of the recipients that were refused
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

    __slots__ = ("accepted", "delivery", "is_out", "letter", "place", "refused", "sender_refused", "since", "tries")

    def __init__(self, letter: Letter, place: int = 0) -> None:
        self.letter = letter
        self.place = place  # among those of one call
        self.tries = 0
        self.since = 0.0  # when its turn came
        self.delivery: Delivery | None = None
        self.begin()

    def begin(self) -> None:
        """Begin with it in a session: nothing has been said yet."""
        self.is_out = False
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
        self.is_out = False
        if said.is_good:
            accepted, refused = tuple(self.accepted), self.refused
            self.delivery = Delivery(self.letter.message_id, accepted, refused, said.code, said.text)
        else:
            self._refuse(said.code, said.text, f"{server} refused mail {self.letter.message_id}: {said}")

    def conclude_without_recipients(self, server: str) -> None:
        """Every recipient was refused. If one of them for now only, it is worth another try later."""
        code, text = min(self.refused.values())  # 4xx before 5xx
        each = [f"{address}: {code} {text}" for address, (code, text) in self.refused.items()]
        said = ", ".join(each[:_SHOWN]) + (f", and {len(each) - _SHOWN} more" if len(each) > _SHOWN else "")
        self._refuse(code, text, f"{server} refused every recipient of mail {self.letter.message_id}: {said}")

    def _refuse(self, code: int, text: str, message: str) -> None:
        mine, refused = self.letter.message_id, self.refused
        self.fail(DeliveryRefused(message, code=code, text=text, message_id=mine, refused=refused), code, text)

    def fail(self, error: Exception, code: int = 0, text: str = "") -> None:
        """Nobody gets it, or nobody knows."""
        self.delivery = Delivery(self.letter.message_id, (), self.refused, code, text, error)

    def session_ended(self, error: Exception, server: str, *, fresh: bool) -> None:
        """Its session ended before the last word. It fails, or stays without a delivery: then it is to be sent again.

        ``fresh``: the connection was a new one. One that doesn't even answer then is no matter of another try.
        """
        if self.delivery is not None:
            return
        if self.is_out:
            self.fail(self.unknown(error, server))
            return
        self.tries += 1
        if self.tries < MAX_TRIES and not (fresh and isinstance(error, TimeoutError)):
            return
        if isinstance(error, SessionEnds):
            self.conclude(error.reply, server)
        else:
            self.fail(error)

    def outcome(self) -> Delivery:
        """Return the delivery of a mail that has one, or raise its error."""
        delivery = self.delivery
        assert delivery is not None  # noqa: S101 (a trip that has come to its end leaves none without)
        if delivery.error is not None:
            raise delivery.error
        return delivery

    def unknown(self, error: BaseException, server: str) -> DeliveryUnknown:
        """Return the error that says that nobody knows."""
        mine = self.letter.message_id
        unknown = DeliveryUnknown(
            f"{server} had all of mail {mine} and did not say whether it takes it ({_told(error)}): it may have been "
            "delivered. If you send it again, keep its Message-ID",
            message_id=mine,
            recipients=tuple(self.accepted),
        )
        unknown.__cause__ = error
        return unknown


def _told(error: BaseException) -> str:
    return str(error) or type(error).__name__
