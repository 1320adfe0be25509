"""The memory this process has: it grows with it, in a forked child too; a descriptor that is gone is left alone."""

import os
import subprocess
import sys

import pytest

from perfkit._base.resident import resident

pytestmark = pytest.mark.skipif(resident is None, reason="the system tells nothing that cheaply")

MB = 10**6


def grows():
    before = resident()
    kept = b"x" * (40 * MB)
    return resident() - before > 30 * MB and len(kept)


def test_it_grows():
    assert grows()


FORKS = f"""
import os
from perfkit._base.resident import _names_statm, resident
MB = {MB}
resident()
inherited = resident._fd
pid = os.fork()
if pid == 0:
    before = resident()
    kept = b"x" * (40 * MB)
    others = [fd for fd in range(100) if _names_statm(fd)]
    os._exit(not (resident() - before > 30 * MB and others == [resident._fd]))
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), resident._fd == inherited)
"""


def test_a_forked_child_has_its_own():
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["0", "True"]


@pytest.mark.parametrize("put_there", [None, "/dev/zero", os.devnull])
def test_a_descriptor_that_is_gone_is_left_alone(put_there):
    resident()
    gone = resident._fd
    os.close(gone)
    other = put_there and os.open(put_there, os.O_RDONLY)
    assert grows()
    if put_there:
        os.close(other)
        assert resident._fd != gone or other != gone
