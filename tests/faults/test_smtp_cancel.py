"""A task that is cancelled while its mail is on the way: at each word of the dialogue, and at random moments.

Wherever it is: the pool has its place back, the connection is not used again in the middle of something, and whoever
was cancelled is told if nobody knows whether the mail was delivered.
"""

import asyncio
import contextlib
import random
import threading

import pytest
from smtp_servers import HANG, message

import perfkit.pooling

WORDS = ["GREETING", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "CONTENT"]
FEATURES = ("SIZE 1000000", "8BITMIME", "AUTH PLAIN")
ALL = {
    "tls": "none",
    "username": "ada",
    "password": "x",
    "allow_insecure_auth": True,
    "max_size": 1,
    "timeout": 0.5,
    "backoff": (0.01, 0.05),
}


@pytest.fixture(params=[FEATURES, (*FEATURES, "PIPELINING")], ids=["one by one", "pipelining"])
def features(request):
    return request.param


def hanging_at(word):
    """Return a plan that hangs at a word of the first connection, and the event that tells when."""
    reached = threading.Event()

    def plan(connection, command, nth):
        if connection or command != word:
            return None
        reached.set()
        return HANG

    return plan, reached


async def sent_in_the_end(pool, mail):
    """Send a mail, once the pool has given up a connection that hangs."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(TimeoutError):
                assert (await pool.send(mail)).ok
                return


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
def test_cancelled_at_each_word(fault, features, word, many):
    plan, reached = hanging_at(word)
    server = fault(plan, features=features)

    async def main():
        async with perfkit.pooling.AsyncSMTPPool("localhost", server.port, **ALL) as pool:
            work = pool.send_many([message(0)]) if many else pool.send(message(0))
            task = asyncio.create_task(work)
            await asyncio.to_thread(reached.wait, 20)
            await asyncio.sleep(0.2)  # until it is back to waiting
            task.cancel()
            with pytest.raises(asyncio.CancelledError) as cancelled:
                await task
            await sent_in_the_end(pool, message(1))
            return cancelled.value, pool.stats()

    cancelled, figures = asyncio.run(main())
    is_unknown = word == "CONTENT"
    assert figures.unknown == is_unknown
    assert [
        note for note in getattr(cancelled, "__notes__", []) if "may have been delivered" in note
    ] != [] or not is_unknown
    assert len(server.taken) == 1 + is_unknown  # the server takes content before it hangs
    assert server.taken[-1].connection == 1


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
            for number in range(0, 400, 4):
                await asyncio.gather(*(one(pool, number + at) for at in range(4)))
            async with asyncio.timeout(20):
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
