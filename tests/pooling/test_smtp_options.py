"""What the pools are told: wrong arguments say what is allowed, and what a pool tells of itself."""

import asyncio

import pytest
from smtp_servers import message

import perfkit.pooling
from perfkit import registry

WRONG = [
    ({"host": ""}, "host must be a name"),
    ({"host": "smtp.example.com\r\n"}, "host must be a name"),
    ({"host": "smtp.example.com:587"}, "without the port, which is an argument of its own, port="),
    ({"host": "mail..example.com"}, "host must have 1 to 63 characters between its dots"),
    ({"host": "a" * 64 + ".example.com"}, "host must have 1 to 63 characters between its dots"),
    ({"port": 0}, "port must be a number from 1 to 65535"),
    ({"port": "587"}, "port must be a number from 1 to 65535"),
    ({"tls": "ssl"}, "'starttls' .port 587., 'implicit' .port 465. or 'none'"),
    ({"tls": True}, "tls must be"),
    ({"username": "ada"}, "go together"),
    ({"password": "x"}, "go together"),
    ({"username": "ada", "password": b"x"}, "password must be a str without NUL characters, not bytes"),
    ({"username": "ada", "password": "x\0y"}, "password must be a str without NUL"),
    ({"username": "ada", "password": "secret\ud800"}, "password has characters that UTF-8 has no form for"),
    ({"auth": "XOAUTH2"}, "auth must be a function"),
    ({"auth": print, "username": "ada", "password": "x"}, "pass no password beside it"),
    ({"context": "default"}, "context must be an ssl.SSLContext"),
    ({"max_uses": 0}, "max_uses must be a number of mails"),
    ({"timeout": 0}, "timeout must be more than 0 seconds"),
    ({"timeout": 1e10}, "timeout must be more than 0 seconds, and a day .86400. at most"),
    ({"timeout": None}, "timeout must be a number of seconds"),
    ({"final_timeout": float("inf")}, "final_timeout must be more than 0 seconds, and a day .86400. at most"),
    ({"local_hostname": "a b"}, "local_hostname must be our own name"),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG)
@pytest.mark.parametrize("kind", [perfkit.pooling.SMTPPool, perfkit.pooling.AsyncSMTPPool])
def test_wrong_arguments_say_what_is_allowed(kind, wrong, says):
    with pytest.raises((TypeError, ValueError), match=says) as refused:
        kind(**({"host": "smtp.example.com"} | wrong))
    assert "x\0y" not in str(refused.value)


def test_figures(fault, pools):
    def plan(connection, command, nth):
        return "550 no" if (command, nth) == ("RCPT", 1) else "550 never" if (command, nth) == ("MAIL", 1) else None

    pool = pools(fault(plan), name="reports")
    pool.send(message(0), to_addrs=["a@x.org", "b@x.org"])
    with pytest.raises(OSError):
        pool.send(message(1))
    figures = pool.stats()
    assert (figures.name, figures.delivered, figures.partly, figures.refused) == ("reports", 1, 1, 1)
    assert (figures.unknown, figures.failed, figures.resent, figures.times.count) == (0, 0, 0, 2)
    assert ("pooling", "reports", figures) in registry.stats()


def test_our_own_name(fault, pools):
    server = fault()
    pools(server, local_hostname="app.example.com").send(message())
    assert server.lines[0] == (0, "EHLO app.example.com")
    shown = "<SMTPPool 'smtp.example.com:587' size=0/3 idle=0>"
    assert repr(perfkit.pooling.SMTPPool("smtp.example.com")) == shown
    assert (
        repr(perfkit.pooling.AsyncSMTPPool("smtp.example.com", name="news")) == "<AsyncSMTPPool 'news' size=0/3 idle=0>"
    )


def test_a_server_from_before_ehlo(fault, pools):
    server = fault(lambda connection, command, nth: "502 what?" if command == "EHLO" else None)
    assert pools(server).send(message()).ok
    assert [line.split()[0] for _, line in server.lines][:3] == ["EHLO", "HELO", "MAIL"]


def test_a_server_that_takes_no_connection(fault, pools):
    from perfkit.pooling.smtp_errors import MailRefused

    server = fault(lambda connection, command, nth: "554 no" if command == "GREETING" else None)
    with pytest.raises((MailRefused, TimeoutError)):
        pools(server, timeout=0.5, backoff=(0.01, 0.02)).send(message())


@pytest.mark.parametrize("host", ["::1", "127.0.0.1", "fe80::1"])
def test_a_host_may_be_an_address(host):
    assert perfkit.pooling.SMTPPool(host).name == f"{host}:587"


def test_the_wrong_block_names_the_other_pool():
    async def main():
        with pytest.raises(TypeError, match=r"for threads .* use a perfkit\.AsyncSMTPPool"):
            async with perfkit.pooling.SMTPPool("smtp.example.com"):
                pass
        with pytest.raises(TypeError, match=r"for tasks: use `async with`, or a perfkit\.SMTPPool"):
            with perfkit.pooling.AsyncSMTPPool("smtp.example.com"):
                pass

    asyncio.run(main())


@pytest.mark.parametrize("kind", [perfkit.pooling.SMTPPool, perfkit.pooling.AsyncSMTPPool])
def test_an_argument_that_there_is_not_names_the_pool(kind):
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\.__init__\(\) got an unexpected keyword argument 'size'"):
        kind("smtp.example.com", size=3)


def test_recipients_that_are_none_are_refused():
    pool = perfkit.pooling.SMTPPool("smtp.example.com")
    with pytest.raises(TypeError, match="to_addrs must be an address, or a list of addresses, not 5"):
        pool.send(b"From: ada@example.com\r\n\r\nx", to_addrs=5)
