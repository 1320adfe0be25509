"""Replies: whatever pieces they come in, and whatever comes instead of one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.pooling.smtp_errors import MailProtocolError
from perfkit.pooling.smtp_opening import Features
from perfkit.pooling.smtp_replies import MAX_LINE, MAX_REPLY, Reply, ReplyParser

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
REPLIES = st.tuples(st.integers(200, 599), st.lists(TEXT, min_size=1, max_size=4))


def written(code, lines, end=b"\r\n"):
    marks = ["-"] * (len(lines) - 1) + [" "]
    return b"".join(f"{code}{mark}{line}".encode() + end for mark, line in zip(marks, lines, strict=True))


def drained(parser):
    return list(iter(parser.next, None))


@given(st.lists(REPLIES, max_size=4), st.data())
def test_replies_come_out_whatever_the_pieces(replies, data):
    stream = b"".join(written(code, lines) for code, lines in replies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    parser, found = ReplyParser(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        parser.feed(stream[start:end])
        found += drained(parser)
    assert found == [Reply(code, "\n".join(lines)) for code, lines in replies]
    assert parser.is_empty


@given(st.binary(max_size=60))
def test_anything_else_is_an_error_or_waits(data):
    parser = ReplyParser()
    parser.feed(data)
    try:
        found = drained(parser)
    except MailProtocolError:
        return
    assert all(200 <= reply.code <= 599 for reply in found)


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"\r\n",
        b"25 x\r\n",
        b"650 x\r\n",
        b"100 x\r\n",
        b"250_x\r\n",
        b"250-a\r\n251 b\r\n",
        b"\x16\x03\x01\n",
    ],
)
def test_what_is_no_reply_is_an_error(garbage):
    parser = ReplyParser()
    parser.feed(garbage)
    with pytest.raises(MailProtocolError, match="what is no SMTP reply"):
        drained(parser)


def test_what_is_no_greeting_is_shown_and_nothing_later_is():
    """It may repeat what was sent."""
    for before, shown in ((b"", True), (b"220 hi\r\n", False)):
        parser = ReplyParser()
        parser.feed(before + b"HTTP/1.1 400 Bad Request\r\n")
        with pytest.raises(MailProtocolError, match="what is no SMTP reply") as wrong:
            drained(parser)
        assert ("HTTP/1.1" in str(wrong.value)) == shown


@pytest.mark.parametrize(
    "endless", [b"250 " + b"x" * (MAX_LINE + 1), b"250-x\r\n" * (MAX_REPLY // 4), b"250 " + b"x" * MAX_LINE + b"\r\n"]
)
def test_what_does_not_end_is_an_error(endless):
    parser = ReplyParser()
    parser.feed(endless)
    with pytest.raises(MailProtocolError, match="does not end"):
        drained(parser)


def test_bare_line_feeds_are_read_and_what_cannot_be_printed_is_replaced():
    parser = ReplyParser()
    parser.feed(b"250-a\n250 \x1b[2Jb\xff\n")
    assert parser.next() == Reply(250, "a\n\ufffd[2Jb\ufffd")


def test_an_enhanced_status_code_is_found():
    assert Reply(550, "5.1.1 unknown").status == "5.1.1"
    for other in ("unknown", "4.1.1 later", "5.1.1234 x", "5.1.1x", "\u0665.1.1 x"):
        assert Reply(550, other).status == ""
    assert str(Reply(550, "a\nb")) == "550 a / b"


def test_features():
    said = Reply(250, "mx.example.com greets\npipelining\nSIZE 1000\nAUTH=LOGIN\nAUTH PLAIN login\nX-ODD a b")
    features = Features.of(said, encrypted=True)
    assert "PIPELINING" in features
    assert "STARTTLS" not in features
    assert features.max_size == 1000
    assert features.mechanisms == ("LOGIN", "PLAIN")
    assert Features.of(Reply(250, "x\nSIZE"), encrypted=True).max_size is None
    assert Features.of(Reply(250, "x\nSIZE 0"), encrypted=True).max_size is None
    assert Features.of(Reply(250, "x\nSIZE " + "9" * 5000), encrypted=True).max_size is None
