"""The mail demo: a real SMTP server with TLS and a login, 20 ms away, and one that ends connections as servers do.

First the same mails with smtplib, as programs ordinarily send them, and with `perfkit.SMTPPool`. Then what arrives when
connections end: the ordinary way connects again and sends again what failed.
"""

from __future__ import annotations

import itertools
import smtplib
from collections import Counter
from email import message_from_bytes
from email.message import EmailMessage
from time import perf_counter
from typing import TYPE_CHECKING, Any

import perfkit
from perfkit.demo.results import Check, Comparison, Count, Latency, Options, PartResult, Progress, Section
from perfkit.demo.smtp_server import PASSWORD, USERNAME, Authority, Mailbox, MailServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Mails = Sequence[EmailMessage]

__all__ = ["run"]

ROUND_TRIP = 0.02  # seconds
BATCH = 20
BUSY, MUTE = 7, 10  # the bad server puts off each so-manieth mail, and takes each so-manieth without a word

_numbers = itertools.count(1)


def run(options: Options, progress: Progress) -> PartResult:
    """Run both halves. ``options.input`` is for other parts."""
    mails, batches, risky = (3, 1, 60) if options.quick else (8, 3, 150)
    site = Site()
    far = far_away(site, mails, batches, progress)
    ending = connections_end(site, risky, progress)
    return PartResult("smtp", "Mail: reports to a crew", len(report().as_bytes()), (far, ending))


def report() -> EmailMessage:
    """Return a mail, another each time."""
    number = next(_numbers)
    mail = EmailMessage()
    mail["From"] = "Mission Control <control@example.com>"
    mail["To"] = "crew@example.com"
    mail["Message-ID"] = f"<{number}@example.com>"
    mail["Subject"] = f"Telemetry of orbit {number}"
    mail.set_content("Battery at 87 %, antenna locked, two packets lost.\n" * 20)
    return mail


class Site:
    """How the servers are reached, and the ways to send mails to one."""

    def __init__(self) -> None:
        self.authority = Authority()
        self._context = self.authority.client_context()

    def connect(self, port: int) -> smtplib.SMTP:
        """Connect as programs ordinarily do."""
        smtp = smtplib.SMTP("localhost", port, local_hostname="demo.example.com")
        smtp.starttls(context=self._context)
        smtp.login(USERNAME, PASSWORD)
        return smtp

    def pool(self, port: int) -> perfkit.SMTPPool:
        """Make a pool, as it comes but for the demo's own authority."""
        return perfkit.SMTPPool("localhost", port, username=USERNAME, password=PASSWORD, context=self._context)

    def send_each(self, port: int, mails: Mails) -> None:
        """Connect for each mail."""
        for mail in mails:
            with self.connect(port) as smtp:
                smtp.send_message(mail)

    def send_over_one(self, port: int, mails: Mails) -> None:
        """Connect once."""
        with self.connect(port) as smtp:
            for mail in mails:
                smtp.send_message(mail)

    def send_again(self, port: int, mails: Mails) -> set[str]:
        """Connect once, and again whenever something fails, and send what failed again; return what failed twice."""
        failed, smtp = set(), self.connect(port)
        for mail in mails:
            try:
                smtp.send_message(mail)
            except smtplib.SMTPException:
                smtp.close()
                smtp = self.connect(port)
                try:
                    smtp.send_message(mail)
                except smtplib.SMTPException:
                    failed.add(str(mail["Message-ID"]))
                    smtp = self.connect(port)
        smtp.close()
        return failed

    def send_by_pool(self, port: int, mails: Mails) -> set[str]:
        """Send all by a pool; return those of which it says that they failed, or that nobody knows."""
        with self.pool(port) as pool:
            return {delivery.message_id for delivery in pool.send_many(mails) if delivery.error is not None}


class Arrivals:
    """What was sent in which way, how long that took, and what of it arrived."""

    def __init__(self) -> None:
        self.took: dict[str, list[float]] = {}
        self._sent: dict[str, list[str]] = {}

    def measure(self, way: str, send: Callable[[Mails], Any], count: int) -> Any:
        """Send so many mails."""
        mails = [report() for _ in range(count)]
        started = perf_counter()
        told = send(mails)
        self.took.setdefault(way, []).append(perf_counter() - started)
        self._sent.setdefault(way, []).extend(str(mail["Message-ID"]) for mail in mails)
        return told

    def missing(self, box: Mailbox, *ways: str) -> Count:
        """Count the mails of some ways that did not arrive, or not once."""
        came, sent = arrived(box), [mail for way in ways for mail in self._sent[way]]
        return Count(sum(came[mail] != 1 for mail in sent), len(sent))

    def lost(self, box: Mailbox, way: str, told: set[str]) -> Count:
        """Count the mails that didn't arrive without anybody being told."""
        came, sent = arrived(box), self._sent[way]
        return Count(sum(not came[mail] and mail not in told for mail in sent), len(sent))

    def doubled(self, box: Mailbox, way: str) -> Count:
        """Count the mails that arrived more than once."""
        came, sent = arrived(box), self._sent[way]
        return Count(sum(came[mail] > 1 for mail in sent), len(sent))


def arrived(box: Mailbox) -> Counter[str]:
    """Return how often each mail is in a mailbox."""
    return Counter(str(message_from_bytes(taken.content)["Message-ID"]) for taken in box.mails)


def far_away(site: Site, mails: int, batches: int, progress: Progress) -> Section:
    """Send mails one by one, and batches of them, each way in turns."""
    each, send, one, many = "smtplib, connecting", "SMTPPool.send()", "smtplib, one connection", "SMTPPool.send_many()"
    arrivals = Arrivals()
    with MailServer(site.authority, round_trip=ROUND_TRIP) as server, site.pool(server.port) as pool:
        for number in range(mails):
            progress(f"smtp: mail {number + 1} of {mails}")
            arrivals.measure(each, lambda these: site.send_each(server.port, these), 1)
            arrivals.measure(send, lambda these: pool.send(these[0]), 1)
        for number in range(batches):
            progress(f"smtp: batch {number + 1} of {batches}")
            arrivals.measure(one, lambda these: site.send_over_one(server.port, these), BATCH)
            arrivals.measure(many, pool.send_many, BATCH)
    took = {way: Latency.of(way, seconds) for way, seconds in arrivals.took.items()}
    before, after = arrivals.missing(server.box, each, one), arrivals.missing(server.box, send, many)
    return Section(
        f"A server {ROUND_TRIP * 1000:.0f} ms away",
        (Comparison("A mail", took[each], (took[send],)), Comparison(f"{BATCH} mails", took[one], (took[many],))),
        (Check("Mails that did not arrive once", before, after, both=True),),
        "Connecting, TLS, a login and a mail are a dozen round trips; in a pool a mail is two, and among many one.",
    )


class EndingBox(Mailbox):
    """Says 421 to each `BUSY`-th mail of a connection, and takes each `MUTE`-th of all, and closes without a word."""

    def __init__(self) -> None:
        super().__init__()
        self._begun: Counter[int] = Counter()

    async def handle_MAIL(  # noqa: N802 (so aiosmtpd calls it)
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a sender, or end the session."""
        self._begun[id(session)] += 1
        if self._begun[id(session)] % BUSY == 0:
            return "421 4.7.0 that was enough for one connection"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        del server
        return "250 2.1.0 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (so aiosmtpd calls it)
        """Take a mail, and say so or not."""
        said = await super().handle_DATA(server, session, envelope)
        if len(self.mails) % MUTE == 0:
            server.transport.abort()
        return said


def connections_end(site: Site, mails: int, progress: Progress) -> Section:
    """Send as many mails each way to a server that ends connections; count what arrived, and how often."""
    took, doubled, lost = zip(
        *(
            _sent_to_one_that_ends(site, way, send, mails, progress)
            for way, send in (("smtplib, sending again", site.send_again), ("SMTPPool.send_many()", site.send_by_pool))
        ),
        strict=True,
    )
    return Section(
        "A server that ends connections",
        (Comparison(f"{mails} mails", took[0], took[1:]),),
        (
            Check("Mails that arrived twice", doubled[0], doubled[1]),
            Check("Mails lost without a word", lost[0], lost[1]),
        ),
        f"It says 421 to each {BUSY}th mail of a connection, and takes each {MUTE}th of all without a word and closes. "
        "Of those nobody can know: perfkit says so, and sends none again by itself.",
    )


def _sent_to_one_that_ends(
    site: Site, way: str, send: Callable[[int, Mails], set[str]], mails: int, progress: Progress
) -> tuple[Latency, Count, Count]:
    """Return how long that took, the mails that arrived twice, and those lost without a word."""
    progress(f"smtp: a server that ends connections, {way}")
    arrivals = Arrivals()
    with MailServer(site.authority, box=EndingBox()) as server:
        told = arrivals.measure(way, lambda these: send(server.port, these), mails)
    took = Latency.of(way, arrivals.took[way])
    return took, arrivals.doubled(server.box, way), arrivals.lost(server.box, way, told)
