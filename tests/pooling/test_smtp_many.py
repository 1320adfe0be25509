"""`send_many`: in order, spread, taken from an iterator as it goes; and what the caller may do in the middle."""

import asyncio
import threading

import pytest
from smtp_servers import FEATURES, message

import perfkit.pooling
from perfkit.pooling import smtp_errors as errors

SLOW = tuple(each for each in FEATURES if each != "PIPELINING")


def test_results_are_in_order_and_bad_mails_fail_alone(fault, pools):
    mails = [message(0), "text", message(2, to="Team:;"), b"From: a@x.org\nTo: b@x.org\n\nhi", message(4)]
    server = fault()
    first, text, nobody, raw, last = pools(server).send_many(mails)
    assert [first.ok, raw.ok, last.ok] == [True] * 3
    assert isinstance(text.error, TypeError)
    assert "messages[1] must be an email.message.EmailMessage or bytes, not str" in str(text.error)
    assert isinstance(nobody.error, ValueError)
    assert not text.ok
    assert len(server.taken) == 3


@pytest.mark.parametrize("one", [message(), message().as_bytes(), bytearray(b"From: a")])
def test_one_message_is_not_many(fault, pools, one):
    server = fault()
    with pytest.raises(TypeError, match="this is one message: use send, or put it into a list"):
        pools(server).send_many(one)
    assert server.connections == 0


@pytest.mark.parametrize("wrong", ["From: a", {"to": message()}, None, 7])
def test_what_is_no_messages_at_all(fault, pools, wrong):
    server = fault()
    with pytest.raises(TypeError, match=f"takes a list of messages, .*, not {type(wrong).__name__}$"):
        pools(server).send_many(wrong)
    assert server.connections == 0


def test_mails_from_an_asynchronous_iterator_need_an_event_loop(fault, pool):
    async def mails():
        yield message()

    with pytest.raises(TypeError, match=r"not async_generator; use a perfkit\.AsyncSMTPPool"):
        pool(fault()).send_many(mails())


def test_each_has_an_error_of_its_own(fault, pools):
    """Two may be raised, noted upon and kept; they don't share what is added to them."""
    server = fault(lambda connection, command, nth: "554 go away" if command == "GREETING" else None)
    first, second = pools(server).send_many([message(0), message(1)])
    first.error.add_note("of the first")
    assert "of the first" not in getattr(second.error, "__notes__", [])


def test_no_mails(fault, pools):
    server = fault()
    assert pools(server).send_many([]) == []
    assert server.connections == 0


def test_envelopes_go_with_the_content_before(fault, pools):
    """One round trip a mail: the server never waits for the next envelope, if there is a next."""
    all_given = threading.Event()

    def plan(connection, command, nth):
        if (command, nth) == ("MAIL", 0):
            all_given.wait(20)

    def mails():
        yield from (message(number) for number in range(5))
        all_given.set()

    server = fault(plan)
    pools(server, max_size=1).send_many(mails())
    said = [line.split()[0] for _, line in server.lines]
    assert said == ["EHLO", *(["MAIL", "RCPT", "DATA"] * 5)]
    assert server.connections == 1


def test_without_pipelining_each_command_waits_for_its_answer(fault, pools):
    seen = []

    def plan(connection, command, nth):
        seen.append(command)

    server = fault(plan, features=SLOW)
    assert all(delivery.ok for delivery in pools(server, max_size=1).send_many(message(n) for n in range(3)))
    assert seen[:3] == ["GREETING", "EHLO", "MAIL"]
    assert seen[2:14] == ["MAIL", "RCPT", "DATA", "CONTENT"] * 3


def test_mails_are_spread_over_connections(fault, pools):
    meeting = threading.Barrier(3)

    def plan(connection, command, nth):
        if (command, nth) == ("CONTENT", 0):
            meeting.wait(20)

    server = fault(plan)
    assert all(delivery.ok for delivery in pools(server, max_size=3).send_many(message(n) for n in range(30)))
    assert {mail.connection for mail in server.taken} == {0, 1, 2}


def test_an_iterator_is_not_run_ahead_of(fault, pools):
    taken_at = []

    def mails():
        for number in range(60):
            taken_at.append(number - len(server.taken))
            yield message(number)

    server = fault()
    assert len(pools(server, max_size=2).send_many(mails())) == 60
    assert max(taken_at) <= 2 * 8
    assert len(server.taken) == 60


def test_progress_is_told_each_once_in_the_calling_thread(fault, pools):
    told, threads = [], set()

    def progress(delivery):
        told.append(delivery)
        threads.add(threading.get_ident())

    deliveries = pools(fault()).send_many((message(number) for number in range(20)), progress=progress)
    assert sorted(map(id, told)) == sorted(map(id, deliveries))
    assert threads == {threading.get_ident()}


def test_an_iterator_that_fails(fault, pools):
    def mails():
        yield from (message(number) for number in range(10))
        raise RuntimeError("no more")

    server, told = fault(), []
    pool = pools(server)
    with pytest.raises(RuntimeError, match="no more") as failed:
        pool.send_many(mails(), progress=told.append)
    assert all(delivery.ok for delivery in told)
    assert len(told) <= len(server.taken) <= 10
    notes = getattr(failed.value, "__notes__", [])  # a loop may have sent none by then
    said = f"had taken {len(server.taken)} of its mails; the others were not delivered"
    assert [said in note for note in notes] == [True] * bool(server.taken)
    assert pool.send(message(11)).ok


def test_progress_that_fails_stops_it(fault, pools):
    def progress(delivery):
        raise RuntimeError("enough")

    server = fault()
    pool = pools(server)
    with pytest.raises(RuntimeError, match="enough"):
        pool.send_many((message(number) for number in range(100)), progress=progress)
    assert 1 <= len(server.taken) < 30
    assert pool.send(message(101)).ok


def test_without_a_server_every_mail_fails_at_once(fault, pools):
    server = fault(lambda connection, command, nth: "554 go away" if command == "GREETING" else None)
    deliveries = pools(server, backoff=(0.01, 0.02), timeout=2).send_many(message(number) for number in range(200))
    assert len(deliveries) == 200
    assert {type(delivery.error) for delivery in deliveries} <= {errors.MailRefused, TimeoutError}
    assert server.connections < 50


def test_a_server_that_takes_one_connection_gets_all_over_it(fault, pools):
    server = fault(
        lambda connection, command, nth: "421 one is enough" if connection and command == "GREETING" else None
    )
    deliveries = pools(server, max_size=3, max_uses=None, backoff=(0.01, 0.02), timeout=2).send_many(
        message(number) for number in range(40)
    )
    assert [delivery.error for delivery in deliveries] == [None] * 40
    assert {mail.connection for mail in server.taken} == {0}


def test_mails_from_an_asynchronous_iterator(fault):
    server = fault()

    async def mails():
        for number in range(10):
            await asyncio.sleep(0)
            yield message(number)

    async def main():
        async with perfkit.pooling.AsyncSMTPPool("localhost", server.port, tls="none") as pool:
            return await pool.send_many(mails())

    assert [delivery.ok for delivery in asyncio.run(main())] == [True] * 10


def test_what_the_server_does_not_take_is_not_sent(fault, pools):
    def plan(connection, command, nth):
        return "250-x\r\n250 SIZE 500" if command == "EHLO" else None

    server = fault(plan)
    big = message(1)
    big.set_content("x\n" * 500)
    raw = b"From: a@x.org\nTo: b@x.org\n\nGr\xc3\xbc\xc3\x9fe\n"
    eight = message(3)
    eight.set_content("Grüße\n", cte="8bit")
    binary = message(4)
    binary.set_content(b"\xff\r", "application", "octet-stream", cte="8bit")
    pool = pools(server)
    mails = [message(0), big, message(2, to="jö@x.org"), raw, binary, eight]
    small, large, foreign, bits, bytes_, turned = pool.send_many(mails)
    assert small.ok
    assert [type(each.error) for each in (large, foreign, bits, bytes_)] == [errors.MailUnsupported] * 4
    assert "takes mails of up to 500 bytes" in str(large.error)
    assert "does not offer SMTPUTF8" in str(foreign.error)
    assert all("encode its parts as base64" in str(each.error) for each in (bits, bytes_))
    assert turned.ok
    assert server.taken[1].content.isascii()
    assert pool.stats().failed == 4


def test_what_the_server_takes_is_said(fault, pools):
    server = fault()
    mail = message(1, to="jörg@x.org")
    mail.set_content("Grüße\n", cte="8bit")
    assert pools(server).send(mail).accepted == ("jörg@x.org",)
    [line] = [line for _, line in server.lines if line.startswith("MAIL")]
    assert line.startswith("MAIL FROM:<ada@example.com> SIZE=")
    assert line.endswith(" BODY=8BITMIME SMTPUTF8")
    assert server.taken[0].recipients == ["jörg@x.org"]
