"""Mail pools as a typed program uses them. mypy checks this; nothing runs it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager
from email.message import EmailMessage
from smtplib import SMTP
from typing import assert_type

from perfkit import AsyncSMTPPool, Delivery, SMTPPool
from perfkit.errors import DeliveryRefused, DeliveryUnknown
from perfkit.pooling import SMTPStats


def log_in(offered: tuple[str, ...]) -> tuple[str, str]:
    return offered[0], "token"


async def log_in_later(offered: tuple[str, ...]) -> tuple[str, bytes]:
    return offered[0], b"token"


def threads(mail: EmailMessage) -> None:
    with SMTPPool("smtp.example.com", username="ada", password="x", max_uses=None, name="reports") as pool:
        delivery = pool.send(mail, to_addrs=["a@x.org"], from_addr="b@x.org")
        assert_type(delivery, Delivery)
        assert_type(delivery.accepted, tuple[str, ...])
        assert_type(delivery.refused, Mapping[str, tuple[int, str]])
        assert_type(pool.send(b"From: a@x.org\n\n", "b@x.org").ok, bool)
        assert_type(pool.send_many((mail for _ in range(3)), progress=print), list[Delivery])
        lending: AbstractContextManager[SMTP] = pool.connection()
        with lending as smtp:
            smtp.send_message(mail)
        assert_type(pool.stats(), SMTPStats)
        pool.send("text")  # type: ignore[arg-type]  # a message, or bytes
    SMTPPool("smtp.example.com", 465, tls="implicit", auth=log_in)
    SMTPPool("smtp.example.com", tls="ssl")  # type: ignore[arg-type]  # one of three words


async def tasks(mail: EmailMessage) -> None:
    async def mails() -> AsyncIterator[EmailMessage]:
        yield mail

    async with AsyncSMTPPool("smtp.example.com", auth=log_in_later) as pool:
        assert_type(await pool.send(mail), Delivery)
        assert_type(await pool.send_many([mail, b""]), list[Delivery])
        assert_type(await pool.send_many(mails()), list[Delivery])


def failures(pool: SMTPPool, mail: EmailMessage) -> None:
    try:
        pool.send(mail)
    except DeliveryRefused as refused:
        assert_type(refused.permanent, bool)
        assert_type(refused.refused, dict[str, tuple[int, str]])
    except DeliveryUnknown as unknown:
        assert_type(unknown.recipients, tuple[str, ...])
