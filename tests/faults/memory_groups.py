"""Control groups of our own with a memory limit, version 1 or 2, made below the one we are in."""

import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

import pytest

from perfkit.memory.cgroups import groups_of

_numbers = itertools.count(1)


class Limited:
    """A control group with a limit, and processes of ours in it alone."""

    def __init__(self, version, path):
        self.version, self.path = version, path

    @property
    def limit_file(self):
        return str(self.path / ("memory.max" if self.version == 2 else "memory.limit_in_bytes"))

    @property
    def peak(self):
        """The most that was ever charged, file cache included."""
        name = "memory.peak" if self.version == 2 else "memory.max_usage_in_bytes"
        try:
            return int((self.path / name).read_text())
        except FileNotFoundError:
            pytest.skip(f"this kernel has no {name}: run on Linux 5.19 or later")


@contextlib.contextmanager
def limited(megabytes, below=None):
    """Make a group with so many MB, below one of ours or the one that this process is in."""
    version, parent = (below.version, below.path) if below else _parent()
    path = parent / f"perfkit-test-{os.getpid()}-{next(_numbers)}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made ({error.strerror}): run as root where they are writable")
    group = Limited(version, path)
    try:
        if megabytes is not None:
            _write(group.limit_file, megabytes * 1_000_000)
            for name in ("memory.swap.max", "memory.memsw.limit_in_bytes"):  # no way out to a disk
                with contextlib.suppress(OSError, pytest.skip.Exception):
                    _write(path / name, 0 if version == 2 else megabytes * 1_000_000)
        yield group
    finally:
        _remove(path)


def _write(path, value):
    try:
        Path(path).write_text(str(value))
    except OSError as error:
        pytest.skip(f"{path} can't be written ({error.strerror}): run as root where control groups are writable")


def _parent():
    """Return the version and the directory of a group that may have others with limits below it."""
    with open("/proc/self/cgroup") as cgroup, open("/proc/self/mountinfo") as mountinfo:
        groups = groups_of(cgroup.read(), mountinfo.read())
    for group in groups:
        own = Path(group.directory)
        if group.version == 1 and (own / "memory.limit_in_bytes").exists():
            return 1, own
    for group in reversed(groups):  # in version 2 a group with processes in it has no others below, but for the root
        root = Path(group.directory)
        with contextlib.suppress(OSError):
            if group.version == 2 and "memory" in (root / "cgroup.subtree_control").read_text().split():
                return 2, root
    pytest.skip("no control group with a memory controller is mounted: run as root on Linux")


def _remove(path):
    with contextlib.suppress(OSError):
        for pid in (path / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    until = time.monotonic() + 20
    while True:
        try:
            path.rmdir()
            return
        except OSError:  # a process of it is still ending
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
