"""What must never happen: a password for all to read, TLS that isn't, commands of somebody else's making."""

import asyncio
import base64
import hmac
import logging
import pickle
import ssl
import threading
import traceback

import pytest
from smtp_servers import CLOSE, FEATURES, HANG, PATIENCE, Proxy, message

import perfkit.pooling
from perfkit.demo.smtp_server import Authority
from perfkit.pooling import smtp_errors as errors
from perfkit.pooling.smtp_aio_transport import LoopConnection
from perfkit.pooling.smtp_transport import SocketConnection

SECRET = "s3cret-p4ss-word"


def credentials(server):
    return [line for _, line in server.lines if line.startswith("AUTH") or not line.isascii()]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_over_tls_with_a_password(mail_server, pools, tls):
    server = mail_server(tls=tls)
    pool = pools(server, tls=tls)
    assert pool.send(message()).ok
    assert all(delivery.ok for delivery in pool.send_many(message(number) for number in range(9)))
    assert len(server.box.mails) == 10
    sessions = [session for session in server.box.sessions if session.authenticated]
    assert sessions
    assert {session.ssl is not None for session in sessions} == {tls == "starttls"}  # of the other it doesn't know


def test_starttls_that_is_not_offered_is_refused(fault, pools, authority):
    server = fault()
    with pytest.raises(errors.MailUnsupported, match="does not offer STARTTLS"):
        pools(server, **over_tls(authority)).send(message())
    assert [line.split()[0] for _, line in server.lines] == ["EHLO"]


def over_tls(authority, **options):
    return {"tls": "starttls", "context": authority.client_context(), "username": "ada", "password": SECRET, **options}


def test_an_offer_of_starttls_that_was_taken_out_is_missed(mail_server, pools, secured):
    server = mail_server()
    with Proxy(server.port, change=lambda data: data.replace(b"250-STARTTLS\r\n", b"")) as proxy:
        with pytest.raises(errors.MailUnsupported, match="somebody on the way"):
            pools(proxy, **secured).send(message())
    assert server.box.mails == []
    assert not any(session.authenticated for session in server.box.sessions)


def test_what_was_said_before_tls_counts_for_nothing(fault, pools, authority):
    """In particular not who may log in how, and what is offered."""

    def plan(connection, command, nth):
        if command == "EHLO" and not nth:
            return "250-x\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH CRAM-MD5"
        return "250-x\r\n250 AUTH PLAIN" if command == "EHLO" else None

    server = fault(plan, tls=authority.server_context())
    assert pools(server, **over_tls(authority)).send(message()).ok
    assert [line.split()[:2] for _, line in server.lines if line.startswith("AUTH")] == [["AUTH", "PLAIN"]]


def test_bytes_slipped_in_before_tls_are_an_error(fault, pools, authority):
    def plan(connection, command, nth):
        return "220 go ahead\r\n250-evil\r\n250 AUTH PLAIN" if command == "STARTTLS" else None

    server = fault(plan, features=(*FEATURES, "STARTTLS"), tls=authority.server_context())
    with pytest.raises(OSError) as caught:
        pools(server, **over_tls(authority)).send(message())
    assert isinstance(caught.value, errors.MailProtocolError)
    assert "between its answer to STARTTLS and TLS" in str(caught.value)
    assert credentials(server) == []


def test_implicit_tls_on_a_plain_port_is_final(fault, pools, authority):
    server = fault()
    with pytest.raises(errors.MailUnsupported, match=r"from the first byte.* pass tls='starttls'") as no:
        pools(server, **over_tls(authority, tls="implicit", timeout=PATIENCE)).send(message())
    assert no.value.permanent
    assert server.connections == 1


@pytest.mark.parametrize("tls", ["starttls", "none"])
def test_a_port_that_waits_for_tls_is_told_of(fault, pools, authority, tls):
    """Both wait for the other to begin."""
    server = fault(tls=authority.server_context(), implicit=True)
    options = over_tls(authority) if tls == "starttls" else {"tls": "none"}
    pool = pools(server, **options, timeout=0.3)
    said = ""
    while "did not greet us" not in said:  # a busy machine may not even have begun to connect by then
        with pytest.raises(TimeoutError) as late:
            pool.send(message())
        said = str(late.value)
    assert "for 0.24 seconds; if it is one that encrypts from the first byte (port 465), pass tls='implicit'" in said


def test_a_refused_starttls_is_an_error(fault, pools, authority):
    server = fault(
        lambda connection, command, nth: "554 not ever" if command == "STARTTLS" else None, features=("STARTTLS",)
    )
    with pytest.raises(errors.MailRefused, match="does not begin TLS: 554 not ever"):
        pools(server, **over_tls(authority)).send(message())
    assert credentials(server) == []


@pytest.mark.parametrize("context", [None, Authority().client_context()], ids=["the system's", "another's"])
def test_a_certificate_of_an_unknown_authority_is_refused(mail_server, pools, context):
    server = mail_server()
    with pytest.raises(ssl.SSLCertVerificationError, match="shows a certificate that is not trusted"):
        pools(server, context=context).send(message())
    assert not any(session.authenticated for session in server.box.sessions)


def test_a_certificate_for_another_name_is_refused(mail_server, pools, secured):
    class Elsewhere:
        port = mail_server(host="smtp.example.com").port

    with pytest.raises(ssl.SSLCertVerificationError, match="shows a certificate that is not trusted") as caught:
        pools(Elsewhere, **secured).send(message())
    assert str(caught.value).endswith("; give the host as its certificate names it")
    assert ".;" not in str(caught.value)


@pytest.mark.parametrize("kind", [perfkit.pooling.SMTPPool, perfkit.pooling.AsyncSMTPPool])
def test_the_context_is_one_that_verifies(kind):
    context = kind("smtp.example.com")._options.context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("how", [{"username": "ada", "password": SECRET}, {"auth": lambda offered: ("PLAIN", "x")}])
@pytest.mark.parametrize("kind", [perfkit.pooling.SMTPPool, perfkit.pooling.AsyncSMTPPool])
def test_no_password_without_tls(kind, how):
    with pytest.raises(ValueError, match="allow_insecure_auth=True"):
        kind("smtp.example.com", tls="none", **how)


def plain(offer):
    return lambda connection, command, nth: f"250-x\r\n250 AUTH {offer}" if command == "EHLO" else None


def test_without_tls_the_password_is_not_shown_where_that_can_be(fault, pools):
    challenge = b"<1896.6971@x>"
    digest = hmac.new(SECRET.encode(), challenge, "md5").hexdigest()

    def plan(connection, command, nth):
        if command == "EHLO":
            return "250-x\r\n250 AUTH PLAIN LOGIN CRAM-MD5"
        if command == "AUTH":
            return "334 " + base64.b64encode(challenge).decode()
        return "235 ok" if command == b64(f"ada {digest}").upper() else None

    server = fault(plan)
    assert pools(server, username="ada", password=SECRET, allow_insecure_auth=True).send(message()).ok
    assert [line for _, line in server.lines][1:3] == ["AUTH CRAM-MD5", b64(f"ada {digest}")]


def test_login_in_two_answers(fault, pools):
    def plan(connection, command, nth):
        if command == "EHLO":
            return "250-x\r\n250 AUTH LOGIN"
        challenges = {"AUTH": "334 VXNlcm5hbWU6", b64("ada").upper(): "334 UGFzc3dvcmQ6", b64(SECRET).upper(): "235 ok"}
        return challenges.get(command)

    server = fault(plan)
    assert pools(server, username="ada", password=SECRET, allow_insecure_auth=True).send(message()).ok
    assert [line for _, line in server.lines][1:4] == ["AUTH LOGIN", b64("ada"), b64(SECRET)]


def b64(text):
    return base64.b64encode(text.encode()).decode()


def test_a_mechanism_that_is_only_offered_is_followed_by_the_next(fault, pools):
    def plan(connection, command, nth):
        if command == "EHLO":
            return "250-x\r\n250 AUTH CRAM-MD5 PLAIN"
        return "504 not really" if (command, nth) == ("AUTH", 0) else None

    server = fault(plan)
    assert pools(server, username="ada", password=SECRET, allow_insecure_auth=True).send(message()).ok
    assert [line.split()[1] for _, line in server.lines if line.startswith("AUTH")] == ["CRAM-MD5", "PLAIN"]


def test_no_mechanism_that_is_known(fault, pools):
    with pytest.raises(errors.MailUnsupported, match="it has GSSAPI NTLM, known are CRAM-MD5 PLAIN LOGIN; pass auth="):
        pools(fault(plain("GSSAPI NTLM")), username="ada", password=SECRET, allow_insecure_auth=True).send(message())


def token(offered):
    assert "XOAUTH2" in offered
    return "XOAUTH2", "user=ada\1auth=Bearer t0ken-t0ken\1\1"


async def token_later(offered):
    return token(offered)


def test_a_function_that_knows_how_to_log_in(fault, pools):
    server = fault(plain("PLAIN XOAUTH2"))
    assert pools(server, auth=token, allow_insecure_auth=True).send(message()).ok
    [line] = [line for _, line in server.lines if line.startswith("AUTH")]
    assert line == "AUTH XOAUTH2 " + b64("user=ada\1auth=Bearer t0ken-t0ken\1\1")


def test_a_coroutine_function_that_knows_how_to_log_in(fault):
    import asyncio

    server = fault(plain("XOAUTH2"))

    async def main():
        options = {"tls": "none", "auth": token_later, "allow_insecure_auth": True}
        async with perfkit.pooling.AsyncSMTPPool("localhost", server.port, **options) as pool:
            return await pool.send(message())

    assert asyncio.run(main()).ok


def test_a_token_that_is_refused_gets_its_reason(fault, pools):
    """XOAUTH2 says why in a challenge; an empty answer brings the refusal."""

    def plan(connection, command, nth):
        match command:
            case "EHLO":
                return "250-x\r\n250 AUTH XOAUTH2"
            case "AUTH":
                return "334 " + b64('{"status":"401"}')
            case "":
                return "535 5.7.8 expired: t0ken-t0ken"

    with pytest.raises(errors.MailAuthRefused) as refused:
        pools(fault(plan), auth=token, allow_insecure_auth=True).send(message())
    assert str(refused.value).endswith(" by XOAUTH2: 535 5.7.8")
    assert refused.value.text == "5.7.8"


def test_a_long_token_is_sent_by_itself(fault, pools):
    long = "user=ada\1auth=Bearer " + "t" * 2000 + "\1\1"

    def plan(connection, command, nth):
        if command == "EHLO":
            return "250-x\r\n250 AUTH XOAUTH2"
        return {"AUTH": "334 ", b64(long).upper(): "235 ok"}.get(command)

    server = fault(plan)
    assert pools(server, auth=lambda offered: ("XOAUTH2", long), allow_insecure_auth=True).send(message()).ok
    assert [line for _, line in server.lines][1:3] == ["AUTH XOAUTH2", b64(long)]


ECHOES = [
    f"535 5.7.8 no such user or password: {SECRET}",
    "535 what is AUTH PLAIN " + b64(f"\0ada\0{SECRET}"),
    "535 what is " + b64(SECRET),
    f'535 what is "AUTH PLAIN {b64(chr(0) + "ada" + chr(0) + SECRET)[:-2]}..."',
    f"535-5.7.8 {SECRET[:9]}\r\n535 5.7.8 {SECRET[9:]}",
    f"535 5.7.8 {SECRET[:9]}\t{SECRET[9:]}",
]


@pytest.mark.parametrize("echo", ECHOES)
def test_the_password_is_nowhere_to_be_seen(fault, pools, echo, caplog):
    """Not even if the server repeats it."""
    caplog.set_level(logging.DEBUG)

    def plan(connection, command, nth):
        return "250-x\r\n250 AUTH PLAIN" if command == "EHLO" else echo if command == "AUTH" else None

    pool = pools(fault(plan), username="ada", password=SECRET, allow_insecure_auth=True)
    with pytest.raises(errors.MailAuthRefused, match="refused to log in ada by PLAIN: 535") as refused:
        pool.send(message())
    told = "".join(traceback.format_exception(refused.value)) + repr(refused.value) + repr(vars(refused.value))
    real = getattr(pool, "inner", pool)
    shown = repr(real) + repr(real._options) + repr(pool.stats()) + str(pickle.dumps(refused.value)) + caplog.text
    for hidden in (SECRET[:9], SECRET[9:], b64(SECRET)[:-2], b64(f"\0ada\0{SECRET}")[:-2]):
        assert hidden not in told + shown
    assert "\n" not in str(refused.value) + refused.value.text
    assert (refused.value.code, refused.value.smtp_code, refused.value.permanent) == (535, 535, True)


def test_a_server_that_only_repeats_shows_no_password(fault, pools, caplog):
    """What it says is no reply at all then."""
    caplog.set_level(logging.DEBUG)
    server = fault(lambda connection, command, nth: server.lines[-1][1] if command == "AUTH" else PLAIN.get(command))
    with pytest.raises(errors.MailProtocolError) as wrong:
        pools(server, username="ada", password=SECRET, allow_insecure_auth=True).send(message())
    assert b64(f"\0ada\0{SECRET}") in server.lines[-1][1]
    assert b64(f"\0ada\0{SECRET}")[:12] not in "".join(traceback.format_exception(wrong.value)) + caplog.text


PLAIN = {"EHLO": "250-x\r\n250 AUTH PLAIN"}


def test_a_server_that_asks_for_ever_is_left(fault, pools):
    def plan(connection, command, nth):
        return "250-x\r\n250 AUTH LOGIN" if command == "EHLO" else "334 "

    server = fault(lambda connection, command, nth: plan(connection, command, nth) if command != "GREETING" else None)
    with pytest.raises(errors.MailProtocolError, match="still asks after 20 answers to log in"):
        pools(server, username="ada", password=SECRET, allow_insecure_auth=True).send(message())
    assert server.connections == 1


def by_a_thread(options):
    return SocketConnection(options)


def by_a_task(options):
    return asyncio.run(LoopConnection.open(options))


@pytest.mark.parametrize("opened", [by_a_thread, by_a_task])
def test_a_session_is_opened_in_time_or_not_at_all(fault, opened):
    """However long each step of it takes."""
    server = fault(lambda connection, command, nth: HANG if command == "AUTH" else PLAIN.get(command))

    def slow(offered):
        threading.Event().wait(options.opening_timeout)
        return "PLAIN", "x"

    pool = perfkit.pooling.SMTPPool(
        "localhost", server.port, tls="none", auth=slow, allow_insecure_auth=True, timeout=0.5
    )
    options = pool._options
    with pytest.raises(errors.MailTimeout, match=r"localhost:\d+ did not get a session open for 2\.5 seconds"):
        opened(options)


@pytest.mark.parametrize("opened", [by_a_thread, by_a_task])
@pytest.mark.parametrize(
    ("does", "kind", "says"),
    [
        (HANG, errors.MailTimeout, "did not come to the end of the TLS handshake for 0.4 seconds"),
        (CLOSE, errors.MailConnectionLost, "is gone"),
    ],
)
def test_a_handshake_that_does_not_end_names_the_server(fault, authority, opened, does, kind, says):
    plan = {"STARTTLS": ["220 go ahead", does]}
    server = fault(lambda connection, command, nth: plan.get(command), features=("STARTTLS",))
    pool = perfkit.pooling.SMTPPool("localhost", server.port, context=authority.client_context(), timeout=0.5)
    with pytest.raises(kind, match=rf"localhost:\d+ {says}"):
        opened(pool._options)


def test_a_wrong_password_is_tried_once(fault, pools):
    """Servers lock out who tries it often."""
    server = fault(lambda connection, command, nth: "535 no" if command == "AUTH" else plain("PLAIN")(0, command, nth))
    pool = pools(server, username="ada", password=SECRET, allow_insecure_auth=True, timeout=20, max_size=1)
    with pytest.raises(errors.MailAuthRefused):
        pool.send(message())
    assert [line.split()[0] for _, line in server.lines] == ["EHLO", "AUTH"]
    assert {type(each.error) for each in pool.send_many(message(number) for number in range(9))} == {
        errors.MailAuthRefused
    }
    assert len(server.lines) <= 2 * 4


def test_frames_show_no_password(fault, pool):
    """Some loggers write the variables of each frame."""
    made = pool(fault(plain("PLAIN")), username="ada", password=SECRET, allow_insecure_auth=True)
    with made.connection() as smtp:
        assert SECRET not in repr(vars(smtp)) + repr(vars(made))


@pytest.mark.parametrize(
    "address",
    [
        "a@x.org\r\nRCPT TO:<evil@x.org>",
        "a@x.org\nDATA",
        "a@x.org\0",
        "a@x.org> NOTIFY=NEVER <b@x.org",
        "a@x.org, b@x.org",
        "a b@x.org",
        "a@",
        "@x.org",
        "a@x\x85.org",
    ],
)
@pytest.mark.parametrize("where", ["to_addrs", "from_addr"])
def test_an_address_that_would_be_a_command_is_refused(fault, pools, address, where):
    server = fault()
    with pytest.raises(ValueError):
        pools(server).send(message(), **{where: [address] if where == "to_addrs" else address})
    assert server.connections == 0


def test_what_a_server_says_cannot_write_to_a_terminal(fault, pools):
    server = fault(lambda connection, command, nth: "550 \x1b[2Jgone" if command == "MAIL" else None)
    with pytest.raises(errors.DeliveryRefused) as refused:
        pools(server).send(message())
    assert "\x1b" not in str(refused.value) + refused.value.text
