"""A watchdog that is stopped in the middle of a pass, and descriptors that were closed under perfkit."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import perfkit
from perfkit.memory import sampling

PATIENCE = 20.0

CLOSED_THEN_FORKED = """
import os, sys
from perfkit.memory import sampling

sampling.rss()
statm = next(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")
             and os.readlink(f"/proc/self/fd/{fd}").endswith("/statm"))
os.close(statm)
if sys.argv[1] == "reused":
    log = os.open("log", os.O_CREAT | os.O_WRONLY)
    assert log == statm, (log, statm)
pid = os.fork()
if pid == 0:
    if sys.argv[1] == "reused":
        os.write(log, b"the child's")
    assert sampling.rss() > 0
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def forked_after_closing(how, folder):
    environment = os.environ | {"PYTHONPATH": str(Path(perfkit.__file__).parents[1])}
    command = [sys.executable, "-c", CLOSED_THEN_FORKED, how]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_descriptor_that_somebody_closed_is_no_hindrance_to_a_fork(tmp_path):
    forked_after_closing("free", tmp_path)


def test_nor_is_one_whose_number_is_another_files_now(tmp_path):
    forked_after_closing("reused", tmp_path)
    assert (tmp_path / "log").read_bytes() == b"the child's"


def test_stopped_in_the_middle_of_a_pass_it_does_nothing_more(eventually):
    begun, gate, called = threading.Event(), threading.Event(), []
    before = sys.getswitchinterval()
    dog = perfkit.MemoryWatchdog(sampling.rss(), restart=called.append)  # hopeless from the beginning

    @dog.reclaimer(tier=3, cooldown=0)
    def slow(need):
        begun.set()
        gate.wait(PATIENCE)

    dog.start()
    thread = next(thread for thread in threading.enumerate() if thread.name == "perfkit-memory")
    assert begun.wait(PATIENCE)
    dog.stop()
    gate.set()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert called == []
    eventually(lambda: sys.getswitchinterval() == before)
