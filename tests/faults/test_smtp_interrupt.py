"""KeyboardInterrupt in the middle of sending, at any place of the mail pool's: the next mail goes, none comes twice.

Whoever was interrupted is told if the mail was taken, or may have been; and the figures have every mail once.
"""

import logging
import os
import re
import threading
import warnings

import interrupting
import pytest
from interrupting import FIRST, STEP
from smtp_servers import PATIENCE, message

import perfkit.pooling

OURS = os.path.join(os.path.dirname(perfkit.pooling.__file__), "smtp")
ENOUGH = 3  # places found wrong
SPARSE = 7  # places from one that is tried to the next, where they are many
THE_POOLS = "is_quiet"  # it calls this to look after a connection: what an interrupt does there is its own concern


class Sending:
    """A mail that is sent, perhaps interrupted, and what the sender knows of it then."""

    def __init__(self, pool, number):
        self.subject = f"Report {number}"
        self._send = lambda: pool.send(message(number))
        self.told = ""

    def __call__(self):
        try:
            self._send()
        except KeyboardInterrupt as error:
            self.told = " ".join(getattr(error, "__notes__", []))
            raise
        else:
            self.told = "it is delivered"

    @property
    def possible(self):
        """How many of it there may be."""
        return {1} if "it is delivered" in self.told else {0, 1} if "may have been delivered" in self.told else {0}

    def is_counted(self, figures, others):
        """Tell whether the figures say the same. Interrupted early, there is no mail yet to have failed."""
        expected = (others + (self.possible == {1}), self.possible == {0, 1})
        return (figures.delivered, figures.unknown) == expected and figures.failed <= (self.possible == {0})


@pytest.mark.parametrize("used", [False, True], ids=["a new connection", "a kept one"])
def test_interrupted_anywhere(fault, pool, used, monkeypatch, caplog):
    monkeypatch.setattr(interrupting, "OURS", (OURS,))
    caplog.set_level(logging.CRITICAL)  # a connection left in nobody's hands is told of
    server, sent, wrong, at, struck = fault(), [], [], FIRST, ""
    while struck is not None and len(wrong) < ENOUGH:
        made = pool(server, max_size=1, timeout=1)
        sending = Sending(made, at)
        if used:
            made.send(message(f"{at} before"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            struck = interrupting.interrupted(sending, at)
            sent.append((sending, struck))
            try:
                made.send(message(f"{at} after"))
            except OSError as error:
                wrong += [f"{struck}: {error!r}"] if struck is None or THE_POOLS not in struck else []
            else:
                if not sending.is_counted(made.stats(), others=1 + used):
                    wrong.append(f"{struck}: {sending.told!r}, {made.stats()}")
        at += STEP
        made.close(0.1)
    assert wrong == []
    assert at > 50
    subjects = [re.search(rb"Subject: (.+)\r\n", taken.content)[1].decode() for taken in server.taken]
    assert len(subjects) == len(set(subjects))
    assert [(struck, it.told) for it, struck in sent if subjects.count(it.subject) not in it.possible] == []


def test_interrupted_in_the_middle_of_many(fault, pool):
    reached, may_go_on = threading.Event(), threading.Event()

    def plan(connection, command, nth):
        if (command, nth) == ("CONTENT", 2):
            reached.set()
            may_go_on.wait(PATIENCE)

    def mails():
        yield from (message(number, Message_ID=f"<{number}@example.com>") for number in range(3))
        assert reached.wait(PATIENCE)
        raise KeyboardInterrupt

    made = pool(fault(plan), max_size=1, timeout=PATIENCE)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        made.send_many(mails())
    [note] = interrupted.value.__notes__
    assert "had taken 2 of its mails; these may have been delivered or not: <2@example.com>; the others were" in note
    may_go_on.set()
    assert made.send(message(4)).ok


def test_interrupted_anywhere_in_many(fault, pool, monkeypatch, caplog):
    """What was taken, once nobody sends any more, is what the account says, or one of those nobody knows of more."""
    monkeypatch.setattr(interrupting, "OURS", (OURS,))
    caplog.set_level(logging.CRITICAL)
    server, told, wrong, at, struck = fault(), [], [], 0, ""

    def send_some():
        try:
            made.send_many(message(number, Message_ID=f"<{at}.{number}@example.com>") for number in range(3))
        except KeyboardInterrupt as error:
            told[:] = getattr(error, "__notes__", [""])
            raise

    while struck is not None:
        made = pool(server, max_size=1, timeout=PATIENCE)
        told[:] = ["had taken 3 of"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            struck = interrupting.interrupted(send_some, at)
        for thread in threading.enumerate():
            if thread.name == "perfkit-smtp":
                thread.join(PATIENCE)
        made.close(0.1)
        there = sum(f"Message-ID: <{at}.".encode() in mail.content for mail in server.taken)
        sure = sum(int(number) for number in re.findall(r"had taken (\d) of", told[0]))
        if len(told) != 1 or not sure <= there <= sure + len(re.findall(r"<\d+\.\d@", told[0])):
            wrong.append(f"{struck}: {there} are there, and {told}")
        at += SPARSE
    assert wrong == []
    assert at > 10 * SPARSE
