"""A task that is cancelled while its mail is on the way: at each word of the dialogue, and at random moments.

Wherever it is: the pool has its place back, the connection is not used again in the middle of something, and whoever
was cancelled is told if nobody knows whether the mail was delivered.
"""

import asyncio
import random
import threading

import pytest
from smtp_servers import CLOSE, PATIENCE, FaultServer, message

import perfkit.pooling

WORDS = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT"]
FEATURES = ("SIZE 1000000", "8BITMIME", "AUTH PLAIN")
ALL = {
    "tls": "none",
    "username": "ada",
    "password": "x",
    "allow_insecure_auth": True,
    "max_size": 1,
    "timeout": 30,
    "backoff": (0.01, 0.05),
}


@pytest.fixture(params=[FEATURES, (*FEATURES, "PIPELINING")], ids=["one by one", "pipelining"])
def features(request):
    return request.param


def silent_at(word):
    """Return a plan that says nothing at a word of the first connection until it may close, and events for both."""
    reached, may_close = threading.Event(), threading.Event()

    def plan(connection, command, nth):
        if connection or command != word:
            return None
        reached.set()
        may_close.wait(PATIENCE)
        return CLOSE

    return plan, reached, may_close


async def cancelled_when(reached, work):
    """Cancel it then; return the error. What the server has heard, the task has sent, and waits for the answer."""
    task = asyncio.create_task(work)
    assert await asyncio.to_thread(reached.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await task
    return cancelled.value


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
def test_cancelled_at_each_word(features, word, many):
    plan, reached, may_close = silent_at(word)

    async def main(port):
        async with perfkit.pooling.AsyncSMTPPool("localhost", port, **ALL) as pool:
            work = pool.send_many([message(0)]) if many else pool.send(message(0))
            cancelled = await cancelled_when(reached, work)
            may_close.set()
            assert (await pool.send(message(1))).ok
            return cancelled, pool.stats()

    with FaultServer(plan, features) as server:
        cancelled, figures = asyncio.run(main(server.port))
    is_unknown = word == "CONTENT"
    assert (figures.unknown, figures.failed, figures.delivered) == (is_unknown, not is_unknown, 1)
    assert ["may have been delivered" in note for note in getattr(cancelled, "__notes__", [])] == [True] * is_unknown
    # the server takes content before it closes
    assert sorted(mail.connection for mail in server.taken) == [0, 1][not is_unknown :]


def test_cancelled_in_the_middle_of_many(features):
    """The error has an account of all of them, and no mail is sent that wasn't under way."""
    plan, reached, may_close = silent_at("CONTENT")

    def from_the_third_on(connection, command, nth):
        return plan(connection, command, nth) if command == "CONTENT" and nth == 2 else None

    async def main(port):
        async with perfkit.pooling.AsyncSMTPPool("localhost", port, **ALL) as pool:
            mails = [message(number, Message_ID=f"<{number}@example.com>") for number in range(9)]
            cancelled = await cancelled_when(reached, pool.send_many(mails))
            may_close.set()
            return cancelled, pool.stats()

    with FaultServer(from_the_third_on, features) as server:
        cancelled, figures = asyncio.run(main(server.port))
    [note] = cancelled.__notes__
    assert "had taken 2 of its mails; these may have been delivered or not: <2@example.com>; the others were" in note
    assert (figures.delivered, figures.unknown) == (2, 1)
    assert len(server.taken) == 3


async def timed_out_when(reached, work):
    """Have the caller's time end then."""
    async with asyncio.timeout(None) as scope:
        task = asyncio.create_task(asyncio.to_thread(reached.wait, PATIENCE))
        task.add_done_callback(lambda _: scope.reschedule(0))
        await work


def test_a_timeout_of_the_callers_has_the_note_in_its_cause(features):
    plan, reached, may_close = silent_at("CONTENT")

    async def main(port):
        async with perfkit.pooling.AsyncSMTPPool("localhost", port, **ALL) as pool:
            with pytest.raises(TimeoutError) as late:
                await timed_out_when(reached, pool.send(message(0)))
            may_close.set()
            return late.value

    with FaultServer(plan, features) as server:
        late = asyncio.run(main(server.port))
    assert "may have been delivered" in late.__cause__.__notes__[0]


def test_cancelled_at_random(fault):
    """What was not delivered for certain is not there, what was is there once; and the pool is whole."""
    server = fault(features=(*FEATURES, "PIPELINING"))
    dice = random.Random(1)
    sure, gone, unknown = set(), set(), set()

    async def one(pool, number):
        subject = f"Report {number}"
        task = asyncio.create_task(pool.send(message(number)))
        await asyncio.sleep(dice.random() * 0.006)
        task.cancel()
        try:
            await task
            sure.add(subject)
        except asyncio.CancelledError as error:
            (unknown if getattr(error, "__notes__", ()) else gone).add(subject)

    async def main():
        async with perfkit.pooling.AsyncSMTPPool("localhost", server.port, **(ALL | {"max_size": 2})) as pool:
            for number in range(0, 240, 4):
                await asyncio.gather(*(one(pool, number + at) for at in range(4)))
            async with asyncio.timeout(PATIENCE):
                assert all(delivery.ok for delivery in await pool.send_many(message(1000 + at) for at in range(4)))
            return pool.stats()

    figures = asyncio.run(main())
    subjects = [mail.content.split(b"Subject: ")[1].split(b"\r\n")[0].decode() for mail in server.taken]
    assert len(subjects) == len(set(subjects))
    assert sure <= set(subjects)
    assert not gone & set(subjects)
    assert sure
    assert gone
    assert figures.unknown == len(unknown)
