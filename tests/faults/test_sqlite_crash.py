"""kill -9 at any moment: what was acknowledged is there, no unit is torn, and the next program works at once."""

import os
import random
import signal
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from interrupting import STEP

sys.path.insert(0, str(Path(__file__).with_name("programs")))

from sqlite_units import units_in

KILLS = -(-50 // STEP)  # for each durability, in `.ci/run` by all interpreters together


@pytest.mark.parametrize("durability", ["process", "power"])
def test_kills_lose_and_tear_nothing(start, tmp_path, eventually, durability):
    path, log = tmp_path / "app.db", tmp_path / "acknowledged"
    server = start("sqlite_crash_server", path, durability)
    acknowledged, in_the_middle = set(), 0
    for number in range(KILLS):
        log.write_bytes(b"")
        server.tell(f"{log} {number * 1_000_000} {random.choice(['AsyncDatabase', 'Database'])}")
        [pid] = server.hear()
        eventually(lambda: log.stat().st_size)
        time.sleep(random.uniform(0, 0.01))
        os.kill(int(pid), signal.SIGKILL)
        assert server.hear() == [str(-signal.SIGKILL)]
        acknowledged |= read(log)
        with closing(sqlite3.connect(path)) as connection:
            there = units_in(connection)
        assert acknowledged <= there
        in_the_middle += there != acknowledged
        acknowledged = there  # the others were committed, and their callers killed
    assert in_the_middle, "no kill struck between a commit and its acknowledgement: the kills prove little"


def read(log):
    data = log.read_bytes()
    return {int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)}
