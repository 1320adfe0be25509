"""Replacing a file: what is kept, what is left behind, and in whose favour doubts are settled."""

import os
import stat
import subprocess
import sys

import pytest

from perfkit._base import atomic


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"old")
    return str(path)


def replace(target, data, durability="process"):
    atomic.replace(target, data, temp=target + ".temp", durability=durability)


@pytest.mark.parametrize("durability", atomic.DURABILITIES)
@pytest.mark.parametrize("data", [b"", b"new", b"x" * 3_000_000])
def test_the_content_is_replaced(target, durability, data):
    with open(target, "rb") as before:
        replace(target, data, durability)
        assert before.read() == b"old", "who has the file open keeps what it had"
    with open(target, "rb") as file:
        assert file.read() == data
    assert os.listdir(os.path.dirname(target)) == ["data"]


def test_a_new_file_has_the_mode_of_the_umask(target):
    before = os.umask(0o026)
    try:
        replace(target + "2", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(target + "2").st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o666, 0o640])
def test_the_mode_is_kept(target, mode):
    os.chmod(target, mode)
    replace(target, b"new")
    assert stat.S_IMODE(os.stat(target).st_mode) == mode


def test_what_a_crash_left_is_not_written_into(target):
    os.link(target, target + ".temp")  # whatever has that name may be somebody's
    replace(target + "2", b"new")
    os.unlink(target + ".temp")
    os.symlink(target, target + ".temp")
    replace(target, b"new")
    assert not os.path.islink(target)
    with open(target, "rb") as file:
        assert file.read() == b"new"


def test_a_failure_leaves_everything_as_it_was(target):
    os.mkdir(target + ".d")
    with pytest.raises(IsADirectoryError):
        replace(target + ".d", b"new")
    assert sorted(os.listdir(os.path.dirname(target))) == ["data", "data.d"]


@pytest.mark.parametrize("durability", atomic.DURABILITIES)
def test_a_check_may_keep_the_new_content_from_the_name(target, durability):
    def check():
        assert os.path.exists(target + ".temp"), "it comes last"
        raise PermissionError

    with pytest.raises(PermissionError):
        atomic.replace(target, b"new", temp=target + ".temp", durability=durability, check=check)
    with open(target, "rb") as file:
        assert file.read() == b"old"
    assert os.listdir(os.path.dirname(target)) == ["data"]


@pytest.mark.parametrize("durability", atomic.DURABILITIES)
def test_a_removal(target, durability):
    atomic.remove(target, durability)
    assert os.listdir(os.path.dirname(target)) == []
    with pytest.raises(FileNotFoundError):
        atomic.remove(target, durability)


def test_the_time_moves_on_where_the_clock_does_not(target):
    ahead = os.stat(target).st_mtime_ns + 1_000_000_000
    os.utime(target, ns=(ahead, ahead))
    replace(target, b"new")
    assert os.stat(target).st_mtime_ns == ahead + 1


def test_a_time_far_in_the_future_is_not_chased(target):
    ahead = os.stat(target).st_mtime_ns + 3600 * 10**9
    os.utime(target, ns=(ahead, ahead))
    replace(target, b"new")
    assert os.stat(target).st_mtime_ns < ahead


STRANGER = """
import os, sys
from perfkit._base import atomic  # while it may still be read
os.chdir(sys.argv[1])
os.setgroups([]); os.setgid({gid}); os.setuid(65534)
atomic.replace("data", b"new", temp="temp", durability="process")
"""


@pytest.mark.needs_privilege
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="changing owners: run it as root")
@pytest.mark.parametrize(
    ("runs_as", "mode", "expected"),
    [
        ("root", 0o640, (1000, 1001, 0o640)),
        ("stranger of the group", 0o664, (65534, 1001, 0o664)),
        ("stranger", 0o666, (65534, 65534, 0o666)),
        ("stranger", 0o664, (65534, 65534, 0o644)),
    ],
)
def test_owners_are_kept_as_far_as_privileges_go(tmp_path, runs_as, mode, expected):
    """Where they aren't, nobody gains a right that "others" did not have."""
    os.chmod(tmp_path, 0o777)
    target = tmp_path / "data"
    target.write_bytes(b"old")
    os.chown(target, 1000, 1001)
    os.chmod(target, mode)
    if runs_as == "root":
        replace(str(target), b"new")
    else:
        program = STRANGER.format(gid=1001 if "group" in runs_as else 65534)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        subprocess.run([sys.executable, "-c", program, tmp_path], check=True, env=environment)
    now = target.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == expected
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("value", ["fast", "", None, True, ["power"]])
def test_the_two_words(value):
    assert [atomic.check_durability(word) for word in atomic.DURABILITIES] == ["process", "power"]
    with pytest.raises(ValueError, match=r"'process'.*'power'"):
        atomic.check_durability(value)
