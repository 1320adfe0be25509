"""From a message to what is sent: nothing is changed but what must be, and the caller's message not at all."""

import contextlib
import email
import email.policy
import re
from email.headerregistry import Address
from email.message import EmailMessage, Message
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from smtp_servers import message

from perfkit.pooling.smtp_addresses import address, addresses
from perfkit.pooling.smtp_message import prepare

HEAD = b"From: Ada <ada@example.com>\nTo: crew@example.com\n"


def unstuffed(letter):
    """Return what a server keeps: a dot at the beginning of a line is taken off."""
    return re.sub(rb"(?m)^\.", b"", letter.content)


def test_recipients_are_those_of_to_cc_and_bcc_and_bcc_is_not_sent():
    mail = message(to="a@x.org, Bo <b@x.org>", Cc="c@x.org, a@x.org", Bcc="d@x.org")
    letter = prepare(mail)
    assert letter.recipients == ("a@x.org", "b@x.org", "c@x.org", "d@x.org")
    assert b"d@x.org" not in letter.content
    assert mail["Bcc"] == "d@x.org"


def test_bytes_lose_bcc_and_nothing_else():
    raw = b"From: a@x.org\nBCC: b@x.org,\n c@x.org\nSubject: odd   spacing\n\tand a tab\nTo: d@x.org\n\nbody\n"
    letter = prepare(raw)
    assert letter.recipients == ("d@x.org", "b@x.org", "c@x.org")
    kept = b"From: a@x.org\r\nSubject: odd   spacing\r\n\tand a tab\r\nTo: d@x.org\r\n"
    assert letter.content.startswith(kept + b"Date: ")
    assert letter.content.endswith(b"\r\n\r\nbody\r\n")


def test_a_message_that_was_resent_goes_to_whom_it_was_resent():
    mail = message(
        to="before@x.org",
        Resent_Date="Thu, 1 Jan 2026 00:00:00 +0000",
        Resent_From="b@x.org",
        Resent_To="c@x.org",
        Resent_Bcc="d@x.org",
    )
    letter = prepare(mail)
    assert (letter.sender, letter.recipients) == ("b@x.org", ("c@x.org", "d@x.org"))
    assert b"d@x.org" not in letter.content
    mail["Resent-Date"] = "Fri, 2 Jan 2026 00:00:00 +0000"
    with pytest.raises(ValueError, match="resent more than once"):
        prepare(mail)
    assert prepare(mail, "e@x.org", "f@x.org").recipients == ("e@x.org",)


def test_the_sender_is_sender_or_from_or_given():
    assert prepare(message()).sender == "ada@example.com"
    assert prepare(message(Sender="bot@example.com")).sender == "bot@example.com"
    assert prepare(message(), from_addr="Bounces <bounces@example.com>").sender == "bounces@example.com"
    assert prepare(message(), from_addr="").sender == ""


def test_what_is_missing_is_added_and_what_is_there_stays():
    letter = prepare(message())
    parsed = email.message_from_bytes(letter.content)
    assert parsed["Message-ID"] == letter.message_id
    assert letter.message_id.endswith("@example.com>")
    assert parsed["Date"]
    there = prepare(message(Message_ID="<one@x.org>", Date="Thu, 01 Jan 2026 00:00:00 +0000"))
    assert there.message_id == "<one@x.org>"
    assert there.content.count(b"Message-ID") == there.content.count(b"Date:") == 1
    assert prepare(message()).message_id != letter.message_id


def multipart():
    inner = MIMEMultipart("alternative")
    inner.attach(MIMEText("plain"))
    inner.attach(MIMEText("<b>html</b>", "html"))
    outer = MIMEMultipart()
    outer.attach(inner)
    outer["From"], outer["To"], outer["Bcc"] = "a@x.org", "b@x.org", "c@x.org"
    return outer


@pytest.mark.parametrize("make", [message, multipart])
def test_the_message_is_not_changed(make):
    mail = make()
    before = [(part.items(), part.get_payload() if not part.is_multipart() else None) for part in mail.walk()]
    prepare(mail)
    assert [(part.items(), part.get_payload() if not part.is_multipart() else None) for part in mail.walk()] == before


BODIES = st.lists(st.sampled_from([b"text", b".", b"..", b"\r\n", b"\n", b"\r", b" ", b"From me"]), max_size=12).map(
    b"".join
)


@given(BODIES)
def test_every_line_end_is_one_and_every_dot_is_stuffed(body):
    letter = prepare(HEAD + b"\n" + body)
    assert re.search(rb"\r(?!\n)|(?<!\r)\n", letter.content) is None
    assert letter.content.endswith(b"\r\n")
    assert b"\r\n.\r\n" not in letter.content
    sent = unstuffed(letter).split(b"\r\n\r\n", 1)[1]
    assert re.split(rb"\r\n", sent.removesuffix(b"\r\n")) == re.split(
        rb"\r\n|\r|\n", re.sub(rb"(\r\n|\r|\n)\Z", b"", body)
    )
    assert letter.size == len(unstuffed(letter))


SECRET = b"hidden@x.org"
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r"])
FOLDS = st.sampled_from([b" ", b"\t", b" \t ", b"\xa0"])
NAMES = st.sampled_from(["Bcc", "bcc", "BCC", "bCc", "Resent-Bcc", "RESENT-bcc", "Bcc ", "Bcc\t"]).map(str.encode)
TEXTS = st.sampled_from(
    [b"x", b"", b"Gr\xc3\xbc\xc3\x9fe", b"\xff\xfe", b"=?utf-8?q?=0ABcc?=", b".", b"a: b", b"\0", b'"']
)


@st.composite
def headers(draw):
    """Return a head with a Bcc field somewhere, folded and ended in whatever way."""

    def field(name, first):
        rest = [draw(ENDS) + draw(FOLDS) + draw(TEXTS) for _ in range(draw(st.integers(0, 2)))]
        return b"%b: %b%b" % (name, first, b"".join(rest)) + draw(ENDS)

    fields = [b"From: a@x.org\r\n", b"To: b@x.org" + draw(ENDS), field(draw(NAMES), SECRET)]
    fields += [field(b"Subject", draw(TEXTS)) for _ in range(draw(st.integers(0, 2)))]
    return b"".join(draw(st.permutations(fields)))


@settings(max_examples=400)
@given(headers(), BODIES)
def test_bcc_never_leaves_whatever_the_lines_end_with(head, body):
    try:
        letter = prepare(head + b"\r\n" + body, "b@x.org", "a@x.org")
    except ValueError:
        return
    assert SECRET not in letter.content


@given(
    st.lists(st.sampled_from(["Bcc", "bcc", "BCC", "Resent-Bcc", "resent-BCC"]), min_size=1, max_size=3, unique=True)
)
def test_bcc_of_a_message_never_leaves(names):
    for made in (message(), MIMEText("body")):
        for name in names:
            if name not in made:
                made[name] = SECRET.decode() + ", Ünders <b@x.org>"
        for letter in forms(prepare(made, "b@x.org", "a@x.org")):
            assert SECRET not in letter.content
            assert b"bcc" not in letter.content.lower()


@pytest.mark.parametrize("end", [b"\r", b"\r\r\n", b"\n\r", b"\r\r"])
def test_a_carriage_return_by_itself_among_the_headers_is_refused(end):
    raw = b"From: a@x.org\r\nTo: b@x.org\r\nSubject: folded" + end + b" here\r\nBcc: hidden@x.org\r\n\r\nbody"
    with pytest.raises(ValueError, match="carriage return without a line feed in its headers: end lines by CRLF or LF"):
        prepare(raw)


LINES = st.lists(
    st.sampled_from([b".", b"..", b"\r", b"\n", b"\r\n", b"MAIL FROM:<evil@x.org>", b"x", b"\xc3\xbc"]), max_size=14
).map(b"".join)


def as_bytes(body):
    return HEAD + b"\n" + body


def as_8bit(body):
    made = message()
    made.set_content(body, "application", "octet-stream", cte="8bit")
    return made


def as_payload(body):
    made = Message()
    made["From"], made["To"] = "a@x.org", "b@x.org"
    made.set_payload(body.decode("ascii", "surrogateescape"))
    return made


def forms(letter):
    """Return it with eight bits and with seven, if there is a way."""
    with contextlib.suppress(UnicodeError):
        return [letter, letter.to_7bit()] if letter.to_7bit else [letter]
    return [letter]


@given(LINES, st.sampled_from([as_bytes, as_8bit, as_payload]))
def test_no_server_finds_an_end_in_a_mail(body, made):
    """Nor one that takes other things than CRLF for the end of a line (CVE-2023-51764 and its kin)."""
    letter = prepare(made(body))
    for each in forms(letter):
        assert re.search(rb"[\r\n]\.[\r\n]", b"\r\n" + each.content) is None
        assert re.search(rb"\r(?!\n)|(?<!\r)\n", each.content) is None


def test_a_message_without_a_body_or_without_headers():
    assert prepare(HEAD.rstrip()).content.endswith(b"@example.com>\r\n\r\n\r\n"[:-2])
    bare = Message()
    bare.set_payload(".body")
    letter = prepare(bare, "b@x.org", "a@x.org")
    assert letter.content.startswith(b"Date: ")
    assert letter.content.endswith(b"\r\n\r\n..body\r\n")
    assert prepare(b"\n.body", "b@x.org", "a@x.org").content.endswith(b"\r\n\r\n..body\r\n")


def test_lines_that_begin_with_from_stay():
    mail = MIMEText("From here on\n")
    mail["From"], mail["To"] = "a@x.org", "b@x.org"
    assert b"\r\nFrom here on\r\n" in prepare(mail).content


def test_eight_bits_are_said_and_can_be_undone():
    mail = message()
    mail.set_content("Grüße\n", cte="8bit")
    letter = prepare(mail)
    assert letter.is_8bit
    assert "Grüße".encode() in letter.content
    seven = letter.to_7bit()
    assert not seven.is_8bit
    assert seven.message_id == letter.message_id
    assert email.message_from_bytes(seven.content, policy=email.policy.default).get_content() == "Grüße\n"


def test_addresses_beyond_ascii_need_smtputf8():
    mail = message(to=[Address("", "jörg", "example.com")])
    letter = prepare(mail)
    assert letter.needs_utf8
    assert letter.recipients == ("jörg@example.com",)
    assert "To: jörg@example.com".encode() in letter.content
    assert not prepare(message(to="Jörg <j@x.org>")).needs_utf8
    assert prepare(message(), to_addrs="jörg@example.com").needs_utf8
    assert prepare("From: a@x.org\nTo: jörg@x.org\n\n".encode()).recipients == ("jörg@x.org",)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("From: a@x.org\n\ntext", "encode it, text.encode"),
        (None, "EmailMessage or bytes, not NoneType"),
        ({"to": "x"}, "not dict"),
    ],
)
def test_what_is_no_message_is_refused(wrong, says):
    with pytest.raises(TypeError, match=says):
        prepare(wrong)


def test_a_mail_needs_a_sender_and_a_recipient():
    mail = EmailMessage()
    mail["To"] = "a@x.org"
    with pytest.raises(ValueError, match="pass from_addr, or set From"):
        prepare(mail)
    mail = message()
    del mail["To"]
    with pytest.raises(ValueError, match="pass to_addrs, or set To, Cc or Bcc"):
        prepare(mail)
    with pytest.raises(ValueError, match="must have a recipient"):
        prepare(message(), to_addrs=[])
    with pytest.raises(ValueError, match="must begin with headers"):
        prepare(b"no headers here\n\nbody", "a@x.org", "b@x.org")


@pytest.mark.parametrize("name", ["X-Tag\r\nReply-To", "X-Tag\nBcc", "\nBcc", "X Tag", "X:Tag", "", "Ã"])
@pytest.mark.parametrize("in_a_part", [False, True], ids=["message", "part"])
def test_a_header_name_that_is_none_is_refused(name, in_a_part):
    mail, part = MIMEMultipart(), MIMEText("body")
    mail["From"], mail["To"] = "a@x.org", "b@x.org"
    mail.attach(part)
    (part if in_a_part else mail)._headers.append((name, "value"))
    with pytest.raises(ValueError, match="a header's name may have"):
        prepare(mail)


@pytest.mark.parametrize("value", ["v\nInjected: 1\n\nx", "v\r\nInjected: 1", "v\rInjected: 1", "v\n\n x"])
def test_a_line_break_in_a_header_of_a_part_is_refused(value):
    mail, part = MIMEMultipart(), MIMEText("body")
    mail["From"], mail["To"] = "a@x.org", "b@x.org"
    mail.attach(part)
    part["X-Tag"] = value
    with pytest.raises(ValueError, match="has a line break in it"):
        prepare(mail)


def test_a_header_that_would_be_two_is_refused():
    mail = Message()
    mail["From"], mail["To"] = "a@x.org", "b@x.org"
    mail["Subject"] = "hello\nBcc: evil@x.org"
    with pytest.raises((ValueError, email.errors.MessageError)):
        prepare(mail)


ONE = {
    "a@x.org": "a@x.org",
    "Ada <a@x.org>": "a@x.org",
    '"Lovelace, Ada" <a@x.org>': "a@x.org",
    "<a@x.org>": "a@x.org",
    '"a b"@x.org': '"a b"@x.org',
    "a@[127.0.0.1]": "a@[127.0.0.1]",
    "=?utf-8?q?L=2C?= <a@x.org>": "a@x.org",
}


@pytest.mark.parametrize("text", ONE)
def test_one_address(text):
    assert address(text) == ONE[text]
    assert addresses(text) == addresses([text, ONE[text]]) == (ONE[text],)


@pytest.mark.parametrize(
    "text",
    ["a@x.org, b@x.org", "Team: a@x.org, b@x.org;", "", "nobody", "a@b@c.org", "a@x.org<b@x.org", "x" * 400 + "@x.org"],
)
def test_what_is_not_one_address(text):
    with pytest.raises(ValueError):
        address(text)


@given(st.text(max_size=20))
def test_nothing_that_could_be_a_command_passes(text):
    try:
        found = address(text)
    except ValueError:
        return
    assert not set(found) & set("<>\r\n\0")
    assert "@" in found


def test_addresses_of_another_kind():
    with pytest.raises(TypeError, match="a recipient must be a str"):
        addresses([b"a@x.org"])
