"""KeyboardInterrupt in the middle of sending, at any place of the mail pool's: the next mail goes, none comes twice."""

import logging
import os
import warnings

import interrupting
import pytest
from smtp_servers import message

import perfkit.pooling

OURS = os.path.join(os.path.dirname(perfkit.pooling.__file__), "smtp")
ENOUGH = 3  # places found wrong
THE_POOLS = "is_quiet"  # it calls this to look after a connection: what an interrupt does there is its own concern


@pytest.mark.parametrize("used", [False, True], ids=["a new connection", "a kept one"])
def test_interrupted_anywhere(fault, pool, used, monkeypatch, caplog):
    monkeypatch.setattr(interrupting, "OURS", (OURS,))
    caplog.set_level(logging.CRITICAL)  # a connection left in nobody's hands is told of
    server = fault()
    wrong, at, struck = [], 0, ""
    while struck is not None and len(wrong) < ENOUGH:
        made = pool(server, max_size=1, timeout=1)
        if used:
            made.send(message(f"{at} before"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            struck = interrupting.interrupted(lambda made=made, at=at: made.send(message(at)), at)
            try:
                made.send(message(f"{at} after"))
            except OSError as error:
                wrong += [f"{struck}: {error!r}"] if struck is None or THE_POOLS not in struck else []
        at += 1
        made.close(0.1)
    assert wrong == []
    assert at > 50
    subjects = [taken.content.split(b"Subject: ")[1].split(b"\r\n")[0] for taken in server.taken]
    assert len(subjects) == len(set(subjects))
