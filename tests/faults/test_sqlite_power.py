"""A power cut, as far as fsync is true to its word: ``durability="power"`` loses nothing that was acknowledged, and
``"process"`` leaves a sound file. See `power_cuts`."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import power_cuts
import pytest

sys.path.insert(0, str(Path(__file__).with_name("programs")))

from sqlite_units import units_in

pytestmark = [
    pytest.mark.needs_install("cc", package="gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD and /proc/self/fd are Linux's"),
]

UNITS = 120


@pytest.fixture
def cuts(start, shim, tmp_path):
    """``cuts(durability)`` runs a program that writes, and yields what a power cut would leave at each acknowledgement:
    the units acknowledged so far, and those in the file."""

    def make(durability):
        directory = Path(os.path.realpath(tmp_path)) / "here"
        log = tmp_path / "log"
        directory.mkdir()
        log.mkdir()
        environment = {"LD_PRELOAD": str(shim), "FSYNC_SHIM": str(log)}
        start("sqlite_acknowledge", directory / "app.db", durability, UNITS, environment=environment).end()
        acknowledged = set()
        for _, unit, files in power_cuts.left(log):
            acknowledged.add(unit)
            yield acknowledged, restored(tmp_path / "restored", files)

    return make


def restored(directory, files):
    """Open what was left as the next program would; return its units."""
    directory.mkdir()
    for name, copy in files.items():
        if copy is not None:
            shutil.copy(copy, directory / os.path.basename(name))
    with closing(sqlite3.connect(directory / "app.db")) as connection:
        [(tables,)] = connection.execute("SELECT count(*) FROM sqlite_schema")
        units = units_in(connection) if tables else set()
    shutil.rmtree(directory)
    return units


def test_with_power_nothing_acknowledged_is_lost(cuts):
    seen = 0
    for acknowledged, units in cuts("power"):
        assert acknowledged <= units
        seen += 1
    assert seen == UNITS


def test_without_power_the_last_commits_are_lost_and_the_file_is_sound(cuts):
    left = [(len(acknowledged), len(acknowledged & units)) for acknowledged, units in cuts("process")]
    assert len(left) == UNITS
    assert any(kept < acknowledged for acknowledged, kept in left), "nothing was lost: the cuts prove little"
    assert left[UNITS // 2] >= (UNITS // 2 + 1, UNITS // 2), "what was closed is flushed"
