"""What an SMTP pool can be told, checked when it is made."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perfkit.pooling.smtp_auth import Login
from perfkit.pooling.smtp_opening import Terms

if TYPE_CHECKING:
    from perfkit.pooling.smtp_auth import Auth

__all__ = ["Options", "options_of"]

_SHARE = 0.8
_ANSWERS = 5  # that may each take the whole timeout while a session is opened
_DAY = 86_400.0  # seconds; sockets take three weeks at most
_TLS = ("starttls", "implicit", "none")
_HOSTNAME = re.compile(r"[A-Za-z0-9.:_\-\[\]]+")


@dataclass(frozen=True, slots=True)
class Options:
    """How a connection is made and used."""

    host: str
    port: int
    terms: Terms
    timeout: float
    final_timeout: float
    max_uses: float
    local_hostname: str | None
    source_address: tuple[str, int] | None
    given_context: ssl.SSLContext | None
    _made: list[ssl.SSLContext] = field(default_factory=list, repr=False)

    @property
    def connect_timeout(self) -> float:
        """Seconds to connect, and for the greeting: less than others wait for a connection, so that they learn why."""
        return self.timeout * _SHARE

    @property
    def opening_timeout(self) -> float:
        """Seconds for all of opening a session, however many answers it takes."""
        return self.timeout * _ANSWERS

    def context(self) -> ssl.SSLContext:
        """Return the TLS context; ours verifies certificates, and is made once, at the first connection."""
        if self.given_context is not None:
            return self.given_context
        if not self._made:  # two threads may make one each: the first to be kept is used
            context = ssl.create_default_context()
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._made.append(context)
        return self._made[0]


def options_of(
    host: object,
    port: object,
    *,
    username: str | None,
    password: str | None,
    auth: Auth | None,
    tls: Any,
    context: ssl.SSLContext | None,
    allow_insecure_auth: bool,
    timeout: float,
    final_timeout: float,
    max_uses: int | None,
    local_hostname: str | None,
    source_address: tuple[str, int] | None,
) -> Options:
    """Check the arguments of `SMTPPool`, which documents them."""
    if not isinstance(host, str) or not _HOSTNAME.fullmatch(host):
        raise ValueError(f"host must be a name or an address such as 'smtp.example.com', not {host!r}")
    if host.count(":") == 1:
        raise ValueError(f"host must be without the port, which is an argument of its own, port=: not {host!r}")
    if not _is_name(host):
        raise ValueError(f"host must have 1 to 63 characters between its dots, not {host!r}")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(
            f"port must be a number from 1 to 65535 (587 for STARTTLS, 465 for implicit TLS), not {port!r}"
        )
    if tls not in _TLS:
        raise ValueError(f"tls must be 'starttls' (port 587), 'implicit' (port 465) or 'none', not {tls!r}")
    if context is not None and (tls == "none" or not isinstance(context, ssl.SSLContext)):
        raise ValueError("context must be an ssl.SSLContext, and needs tls='starttls' or 'implicit'")
    login = _login(username, password, auth)
    if login is not None and tls == "none" and not allow_insecure_auth:
        raise ValueError(
            "with tls='none' the password would go over the network for all to read: use tls='starttls' or 'implicit', "
            "or say allow_insecure_auth=True"
        )
    if max_uses is not None and (isinstance(max_uses, bool) or not isinstance(max_uses, int) or max_uses < 1):
        raise ValueError(f"max_uses must be a number of mails a connection, 1 or more, or None, not {max_uses!r}")
    if local_hostname is not None and not _HOSTNAME.fullmatch(local_hostname):
        raise ValueError(
            f"local_hostname must be our own name for EHLO, such as 'app.example.com', not {local_hostname!r}"
        )
    return Options(
        host=host,
        port=port,
        terms=Terms(f"{host}:{port}", tls, login, allow_insecure_auth),
        timeout=_seconds(timeout, "timeout"),
        final_timeout=_seconds(final_timeout, "final_timeout"),
        max_uses=float("inf") if max_uses is None else max_uses,
        local_hostname=local_hostname or _own_name(),
        source_address=source_address,
        given_context=context,
    )


def _login(username: str | None, password: str | None, auth: Auth | None) -> Login | None:
    if auth is not None:
        if not callable(auth):
            raise TypeError(f"auth must be a function that returns (mechanism, answer), not {type(auth).__name__}")
        if password is not None:
            raise ValueError("auth= says how to log in, so pass no password beside it")
        return Login(username, None, auth)
    if (username is None) != (password is None):
        raise ValueError("username and password go together: pass both, or none, or auth=")
    for name, value in (("username", username), ("password", password)):
        if value is not None and (not isinstance(value, str) or "\0" in value):
            raise TypeError(f"{name} must be a str without NUL characters, not {type(value).__name__}")
        if value is not None and not _is_encodable(value):
            raise ValueError(f"{name} has characters that UTF-8 has no form for (half of a surrogate pair)")
    return None if username is None else Login(username, password, None)


def _is_name(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # which quotes all of it
        return False
    return True


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not 0 < value <= _DAY:
        raise ValueError(
            f"{name} must be more than 0 seconds, and a day ({_DAY:g}) at most: a server that hangs would hang us, "
            f"not {value!r}"
        )
    return float(value)


def _own_name() -> str | None:
    """Return the host's name if it is one that others know; no DNS is asked, which can take long."""
    name = socket.gethostname()
    return name if "." in name and _HOSTNAME.fullmatch(name) else None
