"""Servers that speak when it isn't their turn: what they say is never taken for the word on a mail that it isn't."""

import itertools
import socket

import pytest
from smtp_servers import CLOSE, FEATURES, HANG, PATIENCE, message

from perfkit.pooling import smtp_errors as errors

SLOW = tuple(each for each in FEATURES if each != "PIPELINING")
LARGE = b"From: ada@example.com\nTo: crew@example.com\nSubject: 0\n\n" + (b"x" * 70 + b"\n") * 180_000
RECORD = 16 * 1024  # bytes of a TLS record at most


@pytest.fixture(params=[FEATURES, SLOW], ids=["pipelining", "one by one"])
def features(request):
    return request.param


def answering(answers):
    """Return a plan that has one answer for each occurrence of a command."""
    return lambda connection, command, nth: answers.get(command)


def at_first(answers):
    return lambda connection, command, nth: None if connection or nth else answers.get(command)


def test_a_good_word_before_the_end_is_not_taken_for_the_verdict(fault, pools, features):
    server = fault(answering({"DATA": "354 go on\r\n250 ok", "CONTENT": "554 spam"}), features=features)
    with pytest.raises(errors.MailProtocolError, match=r"when nothing may come: 250 ok"):
        pools(server).send(message())
    assert server.taken == []
    assert server.connections == 3


def test_a_server_that_is_out_of_step_once_gets_the_mail_again(fault, pools, features):
    server = fault(at_first({"DATA": "354 go on\r\n250 ok"}), features=features)
    assert pools(server).send(message()).ok
    assert [mail.connection for mail in server.taken] == [1]


def test_half_a_word_before_the_end_is_heard_out(fault, pools, features):
    server = fault(at_first({"DATA": ["354 go on\r\n552-5.3.4 too", "552 big", HANG]}), features=features)
    with pytest.raises(errors.DeliveryRefused, match=r"552 5\.3\.4 too / big"):
        pools(server, timeout=PATIENCE).send(message())
    assert server.taken == []


@pytest.mark.parametrize("command", ["GREETING", "EHLO"])
def test_a_word_too_many_while_a_session_is_opened_ends_it(fault, pools, command):
    said = {"GREETING": "220 hi\r\n250 and more", "EHLO": "250-x\r\n250 AUTH PLAIN\r\n235 and more"}
    server = fault(answering({command: said[command]}))
    options = {"username": "ada", "password": "x", "allow_insecure_auth": True, "tls": "none"}
    with pytest.raises(errors.MailProtocolError, match="came at a moment when nothing may come"):
        pools(server, **options).send(message())
    assert len(server.lines) == (command == "EHLO")


def test_a_goodbye_right_behind_an_answer_is_not_noticed(fault, pools, features):
    server = fault(at_first({"CONTENT": "250 taken\r\n421 enough"}), features=features)
    deliveries = pools(server, max_size=1).send_many(message(number) for number in range(4))
    assert [delivery.error for delivery in deliveries] == [None] * 4
    assert len(server.taken) == 4


@pytest.mark.parametrize("end", [CLOSE, HANG], ids=["and closes", "and stops reading"])
@pytest.mark.parametrize("read", [1, 1_000_000], ids=["at the beginning", "in the middle"])
def test_a_refusal_in_the_content_is_heard(fault, pools, features, end, read):
    """It isn't sent again either, to be refused again."""
    server = fault(answering({"DATA": ["354 go on", read, "552 5.3.4 too big", end]}), features=features)
    with pytest.raises(errors.DeliveryRefused, match=r"552 5\.3\.4 too big") as refused:
        pools(server, timeout=PATIENCE).send(LARGE)
    assert (refused.value.code, refused.value.permanent) == (552, True)
    assert server.connections == 1


def test_a_mail_behind_one_that_is_refused_in_its_content_goes_on_another_connection(fault, pools, features):
    server = fault(at_first({"DATA": ["354 go on", 1_000_000, "552 5.3.4 too big", CLOSE]}), features=features)
    bad, good = pools(server, max_size=1, timeout=PATIENCE).send_many([LARGE, message(1)])
    assert (bad.code, good.ok) == (552, True)
    assert [mail.connection for mail in server.taken] == [1]


def test_a_goodbye_in_the_content_is_made_good(fault, pools, features):
    server = fault(at_first({"DATA": ["354 go on", 1_000_000, "421 going down"]}), features=features)
    assert pools(server, timeout=PATIENCE).send(LARGE).ok
    assert [mail.connection for mail in server.taken] == [1]


def small(sock):
    """Have little room for what is under way."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, 2048)


def test_a_record_that_arrives_of_a_write_that_fails_is_not_sent_again(fault, pool, authority):
    """Over TLS one write is several records: the final dot is in the first, and what fails is the envelope behind."""
    server = fault(at_first({"CONTENT": CLOSE}), tls=authority.server_context(), implicit=True)
    small(server._socket)
    made = pool(server, tls="implicit", context=authority.client_context(), max_size=1, timeout=PATIENCE)
    with made.connection() as smtp:
        small(smtp.sock)
    head = b"From: a@x.org\r\nTo: b@x.org\r\nMessage-ID: <1@x.org>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n"
    fills = head + b"y" * (RECORD - len(head) - len(b"\r\n.\r\n")) + b"\r\n"
    many = ", ".join(f"{number:064}@{'d' * 60}.{'d' * 60}.{'d' * 60}.org" for number in range(60))
    first, second = made.send_many([fills, message(2, to=many)])
    assert isinstance(first.error, errors.DeliveryUnknown)
    assert second.ok
    assert [mail.connection for mail in server.taken] == [0, 1]


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_no_error_breaks_the_line(fault, pools, features, command, caplog):
    """Nor does a header that is folded: whoever reads a log takes what follows for another entry."""
    mail = b"From: a@x.org\r\nTo: b@x.org\r\nMessage-ID: <folded\r\n .1@x.org>\r\n\r\nHello\r\n"
    server = fault(answering({command: "550-5.7.1 not\r\n550 here"}), features=features)
    with pytest.raises(errors.DeliveryRefused, match=r"550 5\.7\.1 not / here") as refused:
        pools(server).send(mail)
    shown = itertools.chain([str(refused.value), refused.value.message_id], caplog.messages)
    assert [text for text in shown if "\n" in text or "\r" in text] == []


def test_raw_characters_in_a_header_are_told_of(fault, pools):
    server = fault(features=("8BITMIME",))
    with pytest.raises(errors.MailUnsupported, match="characters beyond ASCII in addresses, and raw ones in headers"):
        pools(server).send("From: a@x.org\r\nTo: b@x.org\r\nSubject: Grüße\r\n\r\nHello\r\n".encode())
