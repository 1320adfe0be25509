"""The mail server of the benchmarks, a process of its own: ``python mail_server.py ROUND_TRIP``.

It prints its port, and the certificate of its authority; it ends with its standard input. It keeps no mails: ``VRFY``
tells how many have come for an address.
"""

import logging
import sys
from collections import Counter
from typing import Any

from perfkit.demo.smtp_server import Authority, Mailbox, MailServer


class CountingBox(Mailbox):
    """Counts mails by recipient."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 (so aiosmtpd calls it)
        del server, session
        self.sessions.clear()
        self.counts.update(envelope.rcpt_tos)
        return "250 2.0.0 counted"

    async def handle_VRFY(self, server: Any, session: Any, envelope: Any, address: str) -> str:  # noqa: N802 (so, too)
        del server, session, envelope
        return f"250 {self.counts[address]}"


def main() -> None:
    logging.disable(logging.CRITICAL)  # aiosmtpd logs each line
    authority = Authority()
    with MailServer(authority, round_trip=float(sys.argv[1]), box=CountingBox()) as server:
        print(server.port, flush=True)
        print(authority.pem().decode(), end="", flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
