"""Alarms: they ring once, in time, weakly held; one that fails or is gone harms no other."""

import contextvars
import gc
import logging
import multiprocessing
import subprocess
import sys
import threading
import time
import weakref

import pytest

from perfkit._base import maintenance
from perfkit._base.maintenance import Alarm

PATIENCE = 20
who = contextvars.ContextVar("who", default="nobody")


class Owner:
    def __init__(self, act=lambda: None):
        self.rung = threading.Semaphore(0)
        self.times = []
        self.act = act
        self.alarm = Alarm(self.ring)

    def ring(self):
        self.times.append((time.monotonic(), who.get(), threading.current_thread().name))
        self.rung.release()
        self.act()

    def wait(self):
        assert self.rung.acquire(timeout=PATIENCE)


def test_it_rings_once_and_not_too_early():
    owner, before = Owner(), time.monotonic()
    owner.alarm.set(0.05)
    owner.wait()
    assert owner.times[0][0] - before >= 0.05
    assert owner.times[0][2] == "perfkit-maintenance"
    assert not owner.rung.acquire(timeout=0.1)


def test_the_earliest_rings_first_however_they_were_set():
    order = []
    owners = [Owner(lambda number=number: order.append(number)) for number in range(20)]
    now = time.monotonic()
    for owner, delay in zip(owners, reversed(range(20)), strict=True):
        owner.alarm.set(now + 0.05 + delay / 200 - time.monotonic())  # this thread may have to wait in between
    for owner in owners:
        owner.wait()
    assert order == list(reversed(range(20)))


def test_the_last_delay_counts_and_a_cancelled_one_does_not_ring():
    late, early, never = Owner(), Owner(), Owner()
    late.alarm.set(0.0001)
    late.alarm.set(0.1)
    early.alarm.set(PATIENCE * 10)
    early.alarm.set(0.01)
    never.alarm.set(0.01)
    never.alarm.cancel()
    early.wait()
    late.wait()
    assert len(late.times) <= 2
    assert never.times == []


def test_one_that_is_set_ever_again_takes_no_more_room(eventually):
    owner = Owner()
    for _ in range(10_000):
        owner.alarm.set(PATIENCE * 10)
    eventually(maintenance._thread._added.empty)
    assert len(maintenance._thread._times) <= 1000


def test_it_may_set_itself_again():
    owner = Owner(lambda: owner.alarm.set(0.001) if len(owner.times) < 5 else None)
    owner.alarm.set(0)
    for _ in range(5):
        owner.wait()


def test_one_that_fails_is_logged_and_the_others_ring(caplog):
    def fail():
        raise ValueError("broken")

    bad, good = Owner(fail), Owner()
    with caplog.at_level(logging.ERROR, "perfkit"):
        bad.alarm.set(0)
        bad.wait()
        good.alarm.set(0)
        good.wait()
    assert "broken" in caplog.text


def test_it_keeps_nobody_alive():
    owner, later = Owner(), Owner()
    watch, rung = weakref.ref(owner), owner.rung
    owner.alarm.set(0.02)
    del owner
    gc.collect()
    assert watch() is None
    later.alarm.set(0.05)
    later.wait()
    assert not rung.acquire(blocking=False)


def test_it_runs_in_its_makers_context():
    token = who.set("me")
    owner = Owner()
    who.reset(token)
    owner.alarm.set(0)
    owner.wait()
    assert owner.times[0][1] == "me"


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context"), reason="needs fork")
def test_a_child_has_a_thread_of_its_own():
    parent = Owner()
    parent.alarm.set(0.2)

    def child(answers):
        own = Owner()
        own.alarm.set(0.01)
        own.wait()
        time.sleep(0.3)
        answers.put((len(own.times), len(parent.times)))

    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=child, args=[answers])
    process.start()
    assert answers.get(timeout=PATIENCE) == (1, 0)
    process.join(PATIENCE)
    parent.wait()


SHORT_OF_THREADS = """
import threading
from perfkit._base.maintenance import Alarm
class Owner:
    def __init__(self):
        self.rung = threading.Event()
        self.alarm = Alarm(self.ring)
    def ring(self):
        self.rung.set()
first, second = Owner(), Owner()
threading.stack_size(1 << 47)  # more than there is room for: no thread can be started
assert not first.alarm.set(0)
assert not first.alarm.set(0)
threading.stack_size(0)
assert second.alarm.set(0)
assert first.rung.wait(20)
assert second.rung.wait(20)
"""


def test_where_no_thread_was_to_be_had_the_next_alarm_starts_one():
    subprocess.run([sys.executable, "-W", "error", "-c", SHORT_OF_THREADS], check=True, timeout=60)
