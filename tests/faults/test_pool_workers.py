"""What pools have done by threads of their own: interrupts while one is started, and the end of the interpreter.

Here an interrupt strikes in `threading` too, where a thread may have begun or not.
"""

import logging
import sys
import threading

import interrupting
import pytest
from interrupting import FIRST, STEP, interrupted

from perfkit._base import maintenance
from perfkit._base import workers as workers_module
from perfkit._base.maintenance import Alarm
from perfkit._base.workers import Workers
from perfkit.pooling import Pool

PATIENCE = 20.0  # seconds; nothing takes them unless it hangs


@pytest.fixture
def in_threading_too(monkeypatch):
    monkeypatch.setattr(interrupting, "OURS", (*interrupting.OURS, threading.__file__))
    if interrupting.MONITORING:
        sys.monitoring.restart_events()


def at_each_place(scene):
    """Play ``scene(at)`` with a strike at each place, until it returns that there was none."""
    at = FIRST
    while scene(at):
        at += STEP
    assert at > 5, "hardly anything was struck"


@pytest.mark.parametrize("most", [1, 5])
@pytest.mark.parametrize("is_idle", [True, False], ids=["one idle", "none there"])
def test_an_interrupt_in_submit_leaves_workers_that_work(in_threading_too, monkeypatch, most, is_idle):
    monkeypatch.setattr(workers_module, "_LINGER", 0.05)

    def scene(at):
        workers, begun, done = Workers(most, "perfkit-test"), [], threading.Event()
        if is_idle:
            workers.submit(done.set)
            assert done.wait(PATIENCE)
            done.clear()
        struck = interrupted(lambda: workers.submit(lambda: begun.append(True)), at)
        workers.submit(done.set)
        assert done.wait(PATIENCE), struck
        assert len(workers) == 0, struck
        assert len(workers._workers) <= most, struck
        return struck

    at_each_place(scene)


def test_a_job_that_comes_as_the_only_worker_ends_is_done(monkeypatch):
    """The worker is counted as idle as long as it takes what comes, and no longer."""
    monkeypatch.setattr(workers_module, "_LINGER", 0.0)
    workers = Workers(1, "perfkit-test")
    for _ in range(300):
        done = threading.Event()
        workers.submit(done.set)
        assert done.wait(PATIENCE)


def test_a_job_does_not_wait_for_one_that_hangs(monkeypatch):
    workers, gate = Workers(100, "perfkit-test"), threading.Event()
    try:
        for _ in range(50):
            workers.submit(lambda: gate.wait(PATIENCE))
            done = threading.Event()
            workers.submit(done.set)
            assert done.wait(PATIENCE)
    finally:
        gate.set()


def test_an_interrupt_while_an_alarm_is_set_leaves_others_ringing(in_threading_too, monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda told: None)

    class Owner:
        def __init__(self):
            self.rung = threading.Event()
            self.alarm = Alarm(self.ring)

        def ring(self):
            self.rung.set()

    def scene(at):
        before, thread = set(threading.enumerate()), maintenance._Thread()
        monkeypatch.setattr(maintenance, "_thread", thread)
        struck, other = Owner(), Owner()
        place = interrupted(lambda: struck.alarm.set(0.0), at)
        other.alarm.set(0.0)
        assert other.rung.wait(PATIENCE), place
        thread._added.put((0.0, 0, sys.exit))  # which ends it, for nobody to see
        for begun in set(threading.enumerate()) - before:
            if begun.name == "perfkit-maintenance" and begun.is_alive():
                begun.join(PATIENCE)
        return place

    at_each_place(scene)


def test_what_is_logged_by_the_upkeep_is_logged_by_a_worker(eventually):
    """A handler that blocks, because it writes to what the pool is for, holds up nobody else's upkeep."""
    gate, names = threading.Event(), []

    class Handler(logging.Handler):
        def emit(self, record):
            names.append(threading.current_thread().name)
            gate.wait(PATIENCE)

    handler, logger = Handler(), logging.getLogger("perfkit.pooling")
    logger.addHandler(handler)
    try:
        with Pool(object, leak_after=0.01) as leaking, Pool(object, max_idle=0.01) as other, leaking.connection():
            eventually(lambda: names)
            with other.connection():
                pass
            eventually(lambda: other.stats().closed["idle"] == 1)
            gate.set()
    finally:
        gate.set()
        logger.removeHandler(handler)
    assert all(name.startswith("perfkit-pool-") for name in names)


@pytest.mark.parametrize("scenario", ["closed_at_exit", "closed_by_a_finaliser", "used_by_a_finaliser", "never_closed"])
def test_the_end_of_the_interpreter(start, scenario):
    """Daemon threads stand still then, and no module can be loaded; nothing hangs, and nobody complains."""
    program = start("pool_exits", scenario)
    printed, complaint = program.process.communicate(timeout=PATIENCE * 3)
    assert complaint == ""
    assert program.process.returncode == 0
    assert printed.split() == ([] if scenario == "never_closed" else ["closed"])
