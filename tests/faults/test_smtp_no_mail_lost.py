"""Hundreds of mails to a real server, over connections that are cut at random: none is lost, and none comes twice.

The server is asked what it has. A mail that was reported as delivered is there once; one of which nobody knows is there
once or not at all; nothing else happens.
"""

import asyncio
import email
import itertools
import random
import threading
from collections import Counter

import pytest
from smtp_servers import Proxy, message

import perfkit.pooling
from perfkit.pooling.smtp_errors import DeliveryUnknown

MAILS = 400
HANDSHAKE = 10_000  # bytes, and more than it has: what is cut is sending


def mail(number):
    made = message(number, Message_ID=f"<{number}@example.com>")
    made.set_content("x\n" * random.Random(number).randrange(1, 1500))
    return made


def by_send_many(pool):
    return pool.send_many(mail(number) for number in range(MAILS))


def by_send_from_threads(pool):
    numbers, deliveries, lock = iter(range(MAILS)), [], threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            deliveries.append(outcome(pool, number))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return deliveries


def outcome(pool, number):
    try:
        return pool.send(mail(number))
    except DeliveryUnknown as error:
        return perfkit.pooling.Delivery(error.message_id, error=error)


def in_tasks(work):
    def run(port, **options):
        async def main():
            async with perfkit.pooling.AsyncSMTPPool("localhost", port, **options) as pool:
                return await work(pool)

        return asyncio.run(main())

    return run


def in_threads(work):
    def run(port, **options):
        with perfkit.pooling.SMTPPool("localhost", port, **options) as pool:
            return work(pool)

    return run


async def send_from_tasks(pool):
    numbers = itertools.count()

    async def work():
        deliveries = []
        while (number := next(numbers)) < MAILS:
            try:
                deliveries.append(await pool.send(mail(number)))
            except DeliveryUnknown as error:
                deliveries.append(perfkit.pooling.Delivery(error.message_id, error=error))
        return deliveries

    return list(itertools.chain(*await asyncio.gather(*(work() for _ in range(8)))))


async def send_many_in_a_task(pool):
    return await pool.send_many(mail(number) for number in range(MAILS))


WAYS = {
    "send_many": in_threads(by_send_many),
    "send from 8 threads": in_threads(by_send_from_threads),
    "async send_many": in_tasks(send_many_in_a_task),
    "async send from 8 tasks": in_tasks(send_from_tasks),
}


@pytest.mark.parametrize("way", WAYS)
def test_none_is_lost_and_none_comes_twice(mail_server, secured, way):
    server = mail_server()
    with Proxy(server.port, cut_after=lambda rng: HANDSHAKE + rng.randrange(8_000), seed=way) as proxy:
        deliveries = WAYS[way](proxy.port, **secured)
        assert proxy.cuts > 30
    there = Counter(email.message_from_bytes(taken.content)["Message-ID"] for taken in server.box.mails)
    assert len(deliveries) == MAILS
    assert {delivery.message_id for delivery in deliveries} == {f"<{number}@example.com>" for number in range(MAILS)}
    assert {type(delivery.error) for delivery in deliveries} <= {type(None), DeliveryUnknown}
    assert [delivery for delivery in deliveries if delivery.ok and there[delivery.message_id] != 1] == []
    assert [delivery for delivery in deliveries if there[delivery.message_id] > 1] == []
