"""Objects are told of a fork in the child, for as long as they live."""

import gc
import subprocess
import sys

from perfkit._base import fork


class Told:
    def __init__(self):
        self.times = 0

    def _after_fork_in_child(self):
        self.times += 1


def test_it_keeps_nothing_alive():
    gc.collect()  # what earlier tests left in cycles would be missed below
    before = len(fork._told)
    kept, gone = Told(), Told()
    fork.after_in_child(kept)
    fork.after_in_child(gone)
    assert len(fork._told) == before + 2
    del gone
    gc.collect()
    assert len(fork._told) == before + 1
    fork._end_in_child()
    assert kept.times == 1


def test_the_child_is_told_and_the_parent_is_not():
    program = """
import os, sys
from perfkit._base import fork
class Told:
    times = 0
    def _after_fork_in_child(self): self.times += 1
told = Told()
fork.after_in_child(told)
pid = os.fork()
if pid == 0:
    os._exit(told.times)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
assert told.times == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_one_that_fails_keeps_no_other_from_being_told_and_python_says_so():
    program = """
import os, sys
from perfkit._base import fork
class Bad:
    def _before_fork(self): raise ValueError("bad before")
    def _after_fork_in_parent(self): raise ValueError("bad in parent")
    def _after_fork_in_child(self): raise ValueError("bad in child")
class Good:
    def __init__(self): self.told = []
    def _before_fork(self): self.told.append("before")
    def _after_fork_in_parent(self): self.told.append("parent")
    def _after_fork_in_child(self): self.told.append("child")
said = []
sys.unraisablehook = lambda found: said.extend(map(str, found.exc_value.exceptions))
bad, good = Bad(), Good()
fork.around(bad)
fork.around(good)
pid = os.fork()
if pid == 0:
    os._exit(0 if (good.told, said) == (["before", "child"], ["bad before", "bad in child"]) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert (good.told, said) == (["before", "parent"], ["bad before", "bad in parent"]), (good.told, said)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
