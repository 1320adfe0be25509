"""What becomes of a mail, whatever the server does to it: sent once, refused, sent again, or of which nobody knows."""

import smtplib
import threading

import pytest
from smtp_servers import CLOSE, FEATURES, HANG, PATIENCE, FaultServer, Proxy, message

from perfkit.pooling import smtp_errors as errors

SLOW = tuple(each for each in FEATURES if each != "PIPELINING")


@pytest.fixture(params=[FEATURES, SLOW], ids=["pipelining", "one by one"])
def features(request):
    return request.param


def once(connection, command, nth, does):
    """Return a plan that does something at one moment, and the usual else."""
    return lambda *now: does if now == (connection, command, nth) else None


def subjects(server):
    """Return the subjects of the mails that somebody gets."""
    return [mail.content.split(b"Subject: ")[1].split(b"\r\n")[0] for mail in server.taken if mail.recipients]


def test_a_mail_arrives_as_it_is(fault, pools, features):
    server = fault(features=features)
    pool = pools(server)
    delivery = pool.send(message(7))
    [mail] = server.taken
    assert (mail.sender, mail.recipients) == ("ada@example.com", ["crew@example.com"])
    assert b"This is report 7.\r\n.\r\n.. and its end.\r\n" in mail.content
    assert delivery.ok
    assert (delivery.accepted, delivery.refused, delivery.code) == (("crew@example.com",), {}, 250)
    assert delivery.message_id.encode() in mail.content
    assert b"\r\nDate: " in mail.content


def test_a_connection_is_used_again_and_replaced_after_so_many_mails(fault, pools, features):
    server = fault(features=features)
    pool = pools(server, max_uses=3, max_size=1)
    for number in range(7):
        pool.send(message(number))
    assert [mail.connection for mail in server.taken] == [0, 0, 0, 1, 1, 1, 2]
    pool.send_many(message(number) for number in range(5))
    assert [mail.connection for mail in server.taken[7:]] == [2, 2, 3, 3, 3]


@pytest.mark.parametrize("command", ["MAIL", "DATA", "CONTENT"])
@pytest.mark.parametrize("reply", ["451 4.3.0 try later", "554 5.7.1 never"])
def test_a_refused_mail_leaves_the_connection_good(fault, pools, features, command, reply):
    server = fault(once(0, command, 0, reply), features=features)
    pool = pools(server)
    with pytest.raises(errors.DeliveryRefused) as refused:
        pool.send(message(0, Message_ID="<zero@example.com>"))
    error = refused.value
    assert (f"{error.code} {error.text}", error.permanent) == (reply, reply.startswith("5"))
    assert error.message_id == "<zero@example.com>"
    assert isinstance(error, smtplib.SMTPResponseException)
    assert (error.smtp_code, error.smtp_error) == (int(reply[:3]), reply[4:].encode())
    assert pool.send(message(1)).ok
    assert subjects(server) == [b"Report 1"]
    assert server.connections == 1


@pytest.mark.parametrize("command", ["MAIL", "RCPT"])
def test_a_server_that_wants_a_login_says_so(fault, pools, features, command):
    server = fault(once(0, command, 0, "530 5.7.0 Authentication required"), features=features)
    pool = pools(server)
    with pytest.raises(errors.MailAuthRefused, match="asks for a login: pass username= and password=") as refused:
        pool.send(message(0))
    assert (refused.value.code, refused.value.permanent) == (530, True)
    assert pool.send(message(1)).ok
    assert (pool.stats().failed, pool.stats().refused) == (1, 0)


def test_a_server_that_wants_tls_says_so(fault, pools, features):
    server = fault(once(0, "MAIL", 0, "530 Must issue a STARTTLS command first"), features=features)
    with pytest.raises(errors.MailRefused, match="asks for TLS: pass tls='starttls'") as refused:
        pools(server).send(message(0))
    assert type(refused.value) is errors.MailRefused


@pytest.mark.parametrize("kept", [0, 2])
def test_warm_finds_out_whether_the_server_lets_us_in(fault, pool, kept):
    server = fault()
    made = pool(server, min_size=kept)
    made.warm()
    assert made.stats().connections.idle == server.connections == max(1, kept)
    refusing = fault(lambda connection, command, nth: "554 no" if command == "GREETING" else None)
    with pytest.raises(errors.MailRefused, match="does not take our connection"):
        pool(refusing, min_size=kept).warm()


def test_a_mail_that_fails_in_the_middle_of_many_fails_alone(fault, pools, features):
    server = fault(once(0, "DATA", 2, "451 greylisted"), features=features)
    deliveries = pools(server, max_size=1).send_many(message(number) for number in range(6))
    assert [delivery.ok for delivery in deliveries] == [True, True, False, True, True, True]
    assert (deliveries[2].error.code, deliveries[2].code) == (451, 451)
    assert subjects(server) == [b"Report 0", b"Report 1", b"Report 3", b"Report 4", b"Report 5"]


def test_recipients_may_be_refused_one_by_one(fault, pools, features):
    def plan(connection, command, nth):
        return (
            {1: "550 5.1.1 unknown", 2: "452 mailbox full"}.get(nth) if command == "RCPT" and not connection else None
        )

    server = fault(plan, features=features)
    to = ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]
    delivery = pools(server).send(message(), to_addrs=to)
    assert delivery.accepted == ("a@x.org", "d@x.org")
    assert delivery.refused == {"b@x.org": (550, "5.1.1 unknown"), "c@x.org": (452, "mailbox full")}
    assert not delivery.ok
    assert delivery.error is None
    assert server.taken[0].recipients == ["a@x.org", "d@x.org"]


@pytest.mark.parametrize("waits", [False, True], ids=["DATA refused", "DATA accepted"])
def test_all_recipients_refused(fault, pools, features, waits):
    def plan(connection, command, nth):
        if command == "RCPT" and nth < 2:
            return ("550 unknown", "450 busy")[nth]
        return "354 go on" if command == "DATA" and not nth and waits else None

    server = fault(plan, features=features)
    pool = pools(server)
    with pytest.raises(errors.DeliveryRefused) as refused:
        pool.send(message(), to_addrs=["a@x.org", "b@x.org"])
    assert refused.value.refused == {"a@x.org": (550, "unknown"), "b@x.org": (450, "busy")}
    assert (refused.value.code, refused.value.permanent) == (450, False)
    assert pool.send(message(1)).ok
    assert subjects(server) == [b"Report 1"]
    assert server.connections == 1


def test_more_recipients_than_may_be_under_way(fault, pools, features):
    server = fault(features=features)
    to = [f"user{number}@example.com" for number in range(500)]
    assert pools(server).send(message(), to_addrs=to).accepted == tuple(to)
    assert server.taken[0].recipients == to


def test_421_after_so_many_mails_is_not_noticed(fault, pools, features):
    server = fault(
        lambda connection, command, nth: "421 enough" if (command, nth) == ("MAIL", 3) else None, features=features
    )
    pool = pools(server, max_size=1)
    assert all(pool.send(message(number)).ok for number in range(7))
    assert all(delivery.ok for delivery in pool.send_many(message(number) for number in range(7, 20)))
    assert subjects(server) == [b"Report %d" % number for number in range(20)]


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "CONTENT"])
def test_421_that_does_not_end_is_the_servers_refusal(fault, pools, features, command):
    server = fault(lambda connection, heard, nth: "421 overloaded" if heard == command else None, features=features)
    with pytest.raises(errors.DeliveryRefused, match="421 overloaded") as refused:
        pools(server).send(message())
    assert not refused.value.permanent
    assert server.connections == 3
    assert server.taken == []


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
def test_a_death_in_the_envelope_is_made_good(fault, pools, features, command):
    server = fault(once(0, command, 0, CLOSE), features=features)
    pool = pools(server)
    assert pool.send(message()).ok
    assert [mail.connection for mail in server.taken] == [1]
    assert pool.stats().resent == 1


def test_a_death_in_the_content_is_made_good(fault, pools, features):
    """Content that the system took and the server didn't read may have been read, for all we know: so it is large."""
    server = fault(once(0, "DATA", 0, ["354 go on", CLOSE]), features=features)
    mail = b"From: ada@example.com\nTo: crew@example.com\n\n" + (b"x" * 70 + b"\n") * 180_000
    assert pools(server).send(mail).ok
    assert [taken.connection for taken in server.taken] == [1]


def test_a_death_at_each_attempt_ends_the_attempts(fault, pools, features):
    server = fault(lambda connection, command, nth: CLOSE if command == "MAIL" else None, features=features)
    with pytest.raises(errors.MailConnectionLost) as lost:
        pools(server).send(message())
    assert isinstance(lost.value, ConnectionError | smtplib.SMTPServerDisconnected)
    assert server.connections == 3
    assert server.taken == []


def test_a_death_after_the_final_dot_is_reported_and_never_made_good(fault, pools, features):
    server = fault(once(0, "CONTENT", 0, CLOSE), features=features)
    pool = pools(server)
    mail = message(0, Message_ID="<zero@example.com>")
    with pytest.raises(errors.DeliveryUnknown) as unknown:
        pool.send(mail)
    assert unknown.value.message_id == "<zero@example.com>"
    assert unknown.value.recipients == ("crew@example.com",)
    assert len(server.taken) == 1
    assert pool.send(message(1)).ok
    assert subjects(server) == [b"Report 0", b"Report 1"]
    assert (pool.stats().unknown, pool.stats().delivered) == (1, 1)


def test_a_death_in_the_middle_of_many_leaves_one_unknown(fault, pools, features):
    server = fault(once(0, "CONTENT", 2, CLOSE), features=features)
    deliveries = pools(server, max_size=1).send_many(message(number) for number in range(6))
    assert [delivery.ok for delivery in deliveries] == [True, True, False, True, True, True]
    assert isinstance(deliveries[2].error, errors.DeliveryUnknown)
    assert subjects(server) == [b"Report %d" % number for number in range(6)]


def test_a_server_that_ends_each_connection_after_a_mail_without_a_word_gets_all(fault, pools, features):
    """What it cuts is the envelope behind, which is no try of that mail."""
    server = fault(lambda connection, command, nth: ["250 ok", CLOSE] if command == "CONTENT" else None, features)
    deliveries = pools(server, max_size=1).send_many(message(number) for number in range(8))
    assert [delivery.error for delivery in deliveries] == [None] * 8
    assert subjects(server) == [b"Report %d" % number for number in range(8)]


def test_a_mail_that_ends_each_connection_fails_alone(fault, pools, features):
    """Behind another one, too, it is at stake once the server has answered to it."""

    def plan(connection, command, nth):
        return CLOSE if command == "RCPT" and "poison" in server.lines[-1][1] else None

    server = fault(plan, features=features)
    mails = [message(0), message(1, to="poison@x.org"), message(2)]
    good, bad, too = pools(server, max_size=1).send_many(mails)
    assert (good.ok, type(bad.error), too.ok) == (True, errors.MailConnectionLost, True)
    assert server.connections == 4


def test_a_verdict_that_does_not_come_is_not_the_error_of_the_mail_behind(fault, pools, features):
    server = fault(once(0, "CONTENT", 0, HANG), features=features)
    mails = [message(number) for number in range(2)]
    first, second = pools(server, max_size=1, timeout=PATIENCE, final_timeout=0.1).send_many(mails)
    assert isinstance(first.error, errors.DeliveryUnknown)
    assert second.ok


def test_a_mail_that_gets_no_connection_has_failed(fault, pools):
    server = fault(once(0, "GREETING", 0, "554 no"))
    pool = pools(server)
    with pytest.raises(errors.MailRefused):
        pool.send(message())
    assert pool.stats().failed == 1


def test_what_is_no_smtp_is_a_death(fault, pools, features):
    server = fault(once(0, "MAIL", 0, "HTTP/1.1 400 Bad Request"), features=features)
    assert pools(server).send(message()).ok
    assert server.connections == 2


def test_a_verdict_that_is_no_smtp_leaves_the_mail_unknown(fault, pools, features):
    server = fault(once(0, "CONTENT", 0, "yes"), features=features)
    with pytest.raises(errors.DeliveryUnknown):
        pools(server).send(message())


def test_a_server_that_closes_idle_connections_is_not_noticed(fault, pools, features, eventually):
    server = fault(features=features)
    with Proxy(server.port) as proxy:
        pool = pools(proxy)
        assert pool.send(message(0)).ok
        proxy.cut()
        assert pool.send(message(1)).ok
        assert subjects(server) == [b"Report 0", b"Report 1"]


def test_a_goodbye_in_the_idle_time_is_not_noticed(fault, pools, features):
    server = fault(
        lambda connection, command, nth: (
            ["250 ok", "421 idle too long"] if (connection, command) == (0, "CONTENT") else None
        ),
        features=features,
    )
    pool = pools(server)
    assert pool.send(message(0)).ok
    assert pool.send(message(1)).ok
    assert subjects(server) == [b"Report 0", b"Report 1"]


def test_a_restart_of_the_server_is_not_noticed(fault, pools, features):
    with FaultServer(features=features) as first:
        pool = pools(first, max_size=2)
        deliveries = pool.send_many(message(number) for number in range(20))
        assert [delivery.error for delivery in deliveries] == [None] * 20
    with FaultServer(features=features, port=first.port) as second:
        assert all(delivery.ok for delivery in pool.send_many(message(number) for number in range(20)))
        assert len(second.taken) == 20


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_hangs_times_out_and_nothing_is_delivered(fault, pools, command):
    server = fault(lambda connection, heard, nth: HANG if heard == command else None)
    with pytest.raises(errors.MailTimeout, match=r"did not answer for 0\.5 seconds") as late:
        pools(server, timeout=0.5).send(message())
    assert isinstance(late.value, TimeoutError)
    assert late.value.timeout == 0.5
    assert server.taken == []


@pytest.mark.parametrize("command", ["GREETING", "EHLO"])
def test_a_server_that_hangs_at_the_beginning(fault, pools, command):
    server = fault(lambda connection, heard, nth: HANG if heard == command else None)
    with pytest.raises(TimeoutError):
        pools(server, timeout=0.2, backoff=(0.01, 0.02)).send(message())


def test_a_verdict_that_does_not_come_leaves_the_mail_unknown(fault, pools, features):
    server = fault(once(0, "CONTENT", 0, HANG), features=features)
    with pytest.raises(errors.DeliveryUnknown, match=r"did not answer for 0\.3 seconds"):
        pools(server, timeout=PATIENCE, final_timeout=0.3).send(message())


def test_a_verdict_may_take_longer_than_other_replies(fault, pools):
    late = threading.Event()

    def plan(connection, command, nth):
        if command == "CONTENT":
            late.wait(0.7)

    assert pools(fault(plan), timeout=0.5, final_timeout=PATIENCE).send(message()).ok


def test_an_idle_connection_that_hangs_is_replaced(fault, pools):
    """What a firewall does that has forgotten a connection: it drops what comes."""
    server = fault(
        lambda connection, command, nth: (
            HANG if not connection and command in ("RSET", "MAIL") and (command == "RSET" or nth) else None
        )
    )
    pool = pools(server, timeout=0.5)
    assert pool.send(message(0)).ok
    assert pool.send(message(1)).ok
    assert [mail.connection for mail in server.taken] == [0, 1]


def test_a_server_that_has_lost_track_is_left(fault, pools, features):
    server = fault(once(0, "MAIL", 1, "503 nested MAIL"), features=features)
    pool = pools(server)
    assert all(pool.send(message(number)).ok for number in range(2))
    assert server.connections == 2


def test_rset_goes_with_the_mail_and_noop_never(fault, pools):
    server = fault()
    pool = pools(server)
    for number in range(3):
        pool.send(message(number))
    said = [line.split(" ")[0] for _, line in server.lines]
    assert said == ["EHLO", "MAIL", "RCPT", "DATA", *(["RSET", "MAIL", "RCPT", "DATA"] * 2)]
