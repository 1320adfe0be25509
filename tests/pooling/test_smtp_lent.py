"""`connection()`: a plain smtplib.SMTP, and what comes back of it."""

import smtplib

import pytest
from smtp_servers import message


def test_it_is_an_smtp_that_is_connected_and_logged_in(mail_server, pool):
    server = mail_server()
    made = pool(server)
    with made.connection() as smtp:
        assert isinstance(smtp, smtplib.SMTP)
        assert smtp.send_message(message(1)) == {}
        assert smtp.has_extn("pipelining")
        assert smtp.noop()[0] == 250
        assert server.box.sessions[-1].authenticated
    assert made.send(message(2)).ok
    assert len(server.box.mails) == 2
    assert len(server.box.sessions) == 2  # aiosmtpd counts one before TLS and one after


def test_a_connection_left_in_the_middle_of_a_mail_is_good_for_the_next(fault, pool):
    server = fault()
    made = pool(server)
    with made.connection() as smtp:
        smtp.mail("a@x.org")
        smtp.rcpt("b@x.org")
    assert made.send(message()).ok
    assert server.connections == 1
    assert [line.split()[0] for _, line in server.lines][3] == "RSET"


def quit_it(smtp):
    smtp.quit()


def close_it(smtp):
    smtp.close()


def leave_an_answer(smtp):
    smtp.putcmd("NOOP")


def leave_the_content(smtp):
    smtp.mail("a@x.org")
    smtp.rcpt("b@x.org")
    smtp.putcmd("DATA")


def ask_too_much(smtp):
    smtp.send(b"NOOP\r\nNOOP\r\n")
    smtp.getreply()


def test_what_is_not_entered_is_not_the_connection(fault, pool):
    made = pool(fault())
    with pytest.raises(AttributeError, match=r"write `with pool.connection\(\) as conn:`"):
        made.connection().send_message(message())
    assert made.stats().connections.created == 0


@pytest.mark.parametrize("leave", [quit_it, close_it, leave_an_answer, leave_the_content, ask_too_much])
def test_a_connection_that_is_out_of_step_is_replaced(fault, pool, leave):
    server = fault()
    made = pool(server, max_size=1)
    with made.connection() as smtp:
        leave(smtp)
    assert made.send(message()).ok
    assert [mail.connection for mail in server.taken] == [1]


def test_an_exception_gives_it_back_and_an_interrupt_ends_it(fault, pool):
    server = fault()
    made = pool(server, max_size=1)
    with pytest.raises(smtplib.SMTPResponseException), made.connection():
        raise smtplib.SMTPResponseException(550, b"mine")
    assert made.send(message(0)).ok
    with pytest.raises(KeyboardInterrupt), made.connection():
        raise KeyboardInterrupt
    assert made.send(message(1)).ok
    assert [mail.connection for mail in server.taken] == [0, 1]


def test_it_is_of_no_use_afterwards(fault, pool):
    made = pool(fault())
    with made.connection() as smtp:
        pass
    with pytest.raises(smtplib.SMTPServerDisconnected):
        smtp.noop()
    assert made.send(message()).ok


def test_its_mails_count(fault, pool):
    server = fault()
    made = pool(server, max_uses=2, max_size=1)
    with made.connection() as smtp:
        smtp.send_message(message(0))
        smtp.send_message(message(1))
    made.send(message(2))
    assert [mail.connection for mail in server.taken] == [0, 0, 1]


def test_an_error_of_the_server_is_smtplibs(fault, pool):
    server = fault(lambda connection, command, nth: "550 no" if (command, nth) == ("RCPT", 0) else None)
    made = pool(server)
    with made.connection() as smtp:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            smtp.send_message(message(0))
        assert smtp.send_message(message(1)) == {}
    assert server.connections == 1
