"""Faults made for real: other processes, file systems, kills, forks and interrupts.

What a test has other processes do is in ``programs/``, one file a role, so that no test imports pytest into them. A
program that hangs ends itself and says where it hung, so a test that waits for its answer never waits for ever.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import perfkit

TESTS = Path(__file__).parents[1]
for beside in (Path(__file__).parent, TESTS / "pooling", TESTS / "lazyload"):  # whatever pytest's import mode
    sys.path.insert(0, str(beside))

from lazy_sites import *  # noqa: E402, F403 (after the path to it; fixtures are found by their names)
from smtp_fixtures import *  # noqa: E402, F403 (after the path to it; fixtures are found by their names)

PROGRAMS = Path(__file__).with_name("programs")
NOBODY = 65534

# flock, fork and signals are POSIX's ways of going wrong
collect_ignore_glob = ["test_*.py"] if sys.platform == "win32" else []


class Program:
    """A program of ours that runs, spoken with line by line."""

    def __init__(self, name, *arguments, environment=None, **options):
        found = Path(perfkit.__file__).parents[1]  # the perfkit under test, installed or not
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", PROGRAMS / f"{name}.py", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(found), "PYTHONUNBUFFERED": "1"} | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.pid = self.process.pid

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self):
        """Return the words of the next line it prints."""
        words = self.process.stdout.readline().split()
        if not words:
            pytest.fail(f"{self.name} ended instead of answering:\n{self.process.communicate()[1]}")
        return words

    def end(self):
        """Wait for its end; return what it printed. It fails the test with what it said if it failed."""
        printed, complaint = self.process.communicate()
        if self.process.returncode:
            pytest.fail(f"{self.name} ended with status {self.process.returncode}:\n{complaint}")
        return printed

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(BrokenPipeError):  # a line that it was told and never read
                pipe.close()


@pytest.fixture
def start():
    """``start(name, *arguments)`` runs ``programs/<name>.py``; what still runs when the test ends is killed."""
    with contextlib.ExitStack() as stack:

        def start(name, *arguments, **options):
            return stack.enter_context(contextlib.closing(Program(name, *arguments, **options)))

        yield start


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """A library to preload that records what a program makes durable; see `power_cuts`."""
    library = tmp_path_factory.mktemp("shim") / "fsync_shim.so"
    source = Path(__file__).with_name("fsync_shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def mounted(tmp_path):
    """``mounted(type, options, source)`` mounts a file system below ``tmp_path`` until the test ends."""
    with contextlib.ExitStack() as stack:

        def mount(kind, options, source="none"):
            where = Path(tempfile.mkdtemp(prefix="mounted-", dir=tmp_path))
            _mount("-t", kind, "-o", options, source, where)
            stack.callback(_unmount, where)
            return where

        yield mount


@pytest.fixture
def remount():
    """``remount(where, options)`` changes how something of `mounted` is mounted."""
    return lambda where, options: _mount("-o", f"remount,{options}", where)


@pytest.fixture
def ext3(tmp_path, mounted):
    """``ext3(inode_bytes)`` mounts a new ext3: 256-byte inodes keep stamps of a kernel tick, 128-byte ones of a
    second."""

    def make(inode_bytes):
        image = tmp_path / f"ext3-{inode_bytes}.img"
        image.write_bytes(b"")
        os.truncate(image, 8 << 20)
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
        command = ["mkfs.ext3", "-q", "-F", "-I", str(inode_bytes), image]
        subprocess.run(command, env=os.environ | {"PATH": path}, check=True, capture_output=True)
        return mounted("ext3", "loop", image)

    return make


@pytest.fixture
def memory_disk():
    """A directory in memory that needs no privilege: /dev/shm is a tmpfs."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm is missing: mount a tmpfs there")
    with tempfile.TemporaryDirectory(prefix="perfkit-", dir="/dev/shm") as where:
        yield Path(where)


@pytest.fixture
def public_directory():
    """A directory that every user reaches, as pytest's own is not."""
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o755)
        yield Path(where)


@pytest.fixture
def plain_user():
    """The user id to become so that permissions mean something."""
    return NOBODY if os.geteuid() == 0 else "same"


def _mount(*arguments):
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program: run as root on Linux")
    if done.returncode:
        pytest.skip(f"mounting was refused ({done.stderr.strip()}): run as root where mounting is allowed")


def _unmount(where):
    if subprocess.run(["umount", str(where)], capture_output=True, check=False).returncode:
        subprocess.run(["umount", "--lazy", str(where)], check=True)  # somebody still has a file open there
