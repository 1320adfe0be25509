"""What a dialogue asks of whoever carries it out: its steps. Pure.

A dialogue is a generator. It yields bytes to be written, or one of the steps below, and is sent what came of it. A
blocking socket and an event loop carry out the same dialogues. All of them write only when every answer has been read,
so what lies there unread at that moment is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from perfkit.pooling.smtp_errand import Errand
    from perfkit.pooling.smtp_replies import Reply

__all__ = ["GREETING", "REPLY", "SECURE", "VERDICT", "Ask", "Content", "Dialogue", "Wanted", "reply"]

T = TypeVar("T")
Dialogue = Generator["bytes | Wanted | Ask | Content", Any, T]


class Wanted(Enum):
    """What is wanted of the connection."""

    GREETING = "the server's first words"
    REPLY = "the server's next reply"
    VERDICT = "the server's reply to a mail's content, which may take long"
    SECURE = "TLS from here on"


GREETING, REPLY, VERDICT, SECURE = Wanted


@dataclass(frozen=True, slots=True)
class Ask:
    """Call the user's function, await what it returns if that can be, and give the result."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Write ``data``, whose first ``end`` bytes are a mail's content with its final dot.

    Whoever writes keeps ``errand.is_out`` true to the facts: False for certain as long as the dot can't have arrived.
    What comes of it is None, or what the server said before all was written: that ends the writing.
    """

    errand: Errand
    data: bytes
    end: int


def reply(wanted: Wanted = REPLY) -> Dialogue[Reply]:
    """Return the server's next reply."""
    said: Reply = yield wanted
    return said
