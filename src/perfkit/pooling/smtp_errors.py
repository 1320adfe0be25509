"""What can go wrong with mail. ``perfkit.errors`` has the whole tree."""

import smtplib
import ssl

from perfkit.errors import PerfkitError

__all__ = [
    "DeliveryRefused",
    "DeliveryUnknown",
    "MailAuthRefused",
    "MailConnectionLost",
    "MailError",
    "MailProtocolError",
    "MailRefused",
    "MailTimeout",
    "MailUnsupported",
    "MailUntrusted",
]


class MailError(PerfkitError, smtplib.SMTPException):
    """The root of the errors of mail pools. Whoever catches smtplib's errors catches these.

    ``permanent`` is True where trying again is of no use.
    """

    permanent = False


class DeliveryUnknown(MailError):
    """The connection ended after a mail was handed over whole and before the server said whether it has it.

    It may have been delivered or not, so it isn't sent again by itself. Whoever sends it again keeps ``message_id``: by
    that, receivers and people tell that it is the same mail. ``recipients`` are those the server had accepted.
    """

    message_id: str
    recipients: tuple[str, ...]


class MailConnectionLost(MailError, smtplib.SMTPServerDisconnected, ConnectionError):
    """The connection ended in the middle of a dialogue, before the mail was handed over. Nothing was delivered."""


class MailTimeout(MailError, smtplib.SMTPServerDisconnected, TimeoutError):
    """The server did not answer, or did not take what was sent to it, in ``timeout`` seconds. Nothing was delivered."""

    timeout: float


class MailProtocolError(MailError):
    """What the server sent is not SMTP, or came at a moment when nothing may come. The connection was closed."""

    permanent = True


class MailUnsupported(MailError, smtplib.SMTPNotSupportedError):
    """The server doesn't offer what is needed: STARTTLS, a way to log in, SMTPUTF8, 8BITMIME, or so big a mail."""

    permanent = True


class MailUntrusted(MailError, ssl.SSLCertVerificationError):
    """The server's certificate is not one that is trusted, or not for its name. Nothing was sent."""

    permanent = True

    def __str__(self) -> str:
        return str(self.args[0])  # SSLError's shows a tuple


class MailRefused(MailError, smtplib.SMTPResponseException):
    """The server said no, with ``code`` (such as 554) and ``text``: to the connection itself, or see below."""

    code: int
    text: str

    @property
    def permanent(self) -> bool:  # type: ignore[override]  # a 4xx is not, a 5xx is
        """Whether trying again is of no use, as after a 5xx; with a 4xx the server asks to try later."""
        return self.code >= 500

    @property
    def smtp_code(self) -> int:  # type: ignore[override]  # what smtplib's have as an attribute
        """``code``, under the name it has in smtplib."""
        return self.code

    @property
    def smtp_error(self) -> bytes:  # type: ignore[override]  # so is this
        """``text``, in the form and under the name it has in smtplib."""
        return self.text.encode()


class DeliveryRefused(MailRefused):
    """The server refused a mail: its sender, its content or every recipient. Nobody gets it.

    ``refused`` has what was said of recipients: ``{address: (code, text)}``.
    """

    message_id: str
    refused: dict[str, tuple[int, str]]


class MailAuthRefused(MailRefused, smtplib.SMTPAuthenticationError):
    """The server refused to log us in, or wants a login before it takes a mail.

    The message has no part of what was sent to log in.
    """
