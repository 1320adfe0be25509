"""What has become of a mail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Delivery"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What has become of one mail.

    Attributes:
        message_id: its Message-ID, the mail's own or the one it was given.
        accepted: the addresses that the server has taken it for, in the order they were given.
        refused: the others, with what the server said of each: ``{address: (code, text)}``.
        code: the server's last word on the mail, such as 250; 0 if there was none.
        text: the text of it, which often has the server's number for the mail.
        error: why nobody gets it, or why that isn't known (`perfkit.errors.DeliveryUnknown`); None otherwise.
            `SMTPPool.send` raises it, `SMTPPool.send_many` returns it here.
    """

    message_id: str
    accepted: tuple[str, ...] = ()
    refused: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    code: int = 0
    text: str = ""
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether the server has taken it for every recipient."""
        return self.error is None and not self.refused
