"""Where perfkit logs."""

import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import perfkit
from perfkit._base.logs import logger


@pytest.fixture
def top():
    """The logger above all, without the handlers it has."""
    found = logging.getLogger("perfkit")
    before, found.handlers = found.handlers, []
    yield found
    found.handlers = before


def test_each_part_has_its_logger(top):
    assert logger("pooling").name == "perfkit.pooling"
    assert logger() is top


def test_however_many_ask_at_once_there_is_one_handler(top):
    barrier = threading.Barrier(8)

    def ask():
        barrier.wait(20)
        for _ in range(50):
            logger("caching")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [type(handler) for handler in top.handlers] == [logging.NullHandler]


def test_a_program_that_configures_its_logging_anew_has_it_again(top):
    logger("caching")
    top.handlers.clear()
    logger("caching")
    assert len(top.handlers) == 1


SILENT = """
import os
import sys
import perfkit
from perfkit import registry
breaker = perfkit.CircuitBreaker(consecutive=1)
breaker.trip()                                              # resilience
pool = perfkit.Pool(lambda: 1 / 0)
try:
    pool.acquire(0.01)                                      # pooling
except ZeroDivisionError:
    pass
pool.close()
cache = perfkit.FrequencyBoostLRU(1, on_evict=lambda *_: 1 / 0)
cache["a"] = cache["b"] = 1                                 # caching
class Bad:
    name = "bad"
    def stats(self): raise ValueError
bad = Bad()
registry.register(bad, part="test")
perfkit.stats()                                             # the registry
os.chdir(sys.argv[1])
with open("state.json", "w") as file:
    file.write("{")
state = perfkit.StateFile("state.json", default=dict, recover="backup")
state.update(lambda doc: None)                              # state files
assert len(os.listdir()) >= 2
"""


def test_a_program_without_logging_hears_nothing_of_any_part(tmp_path):
    command = [sys.executable, "-c", SILENT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


EXHAUSTED = """
import gc
import os
import resource
import sys
import perfkit
gc.disable()  # or it might free the place of an attempt that nobody has ended
held = []
class Mine(Exception): pass
def exhaust():
    try:
        while True:
            held.append(os.open("/dev/null", 0))
    except OSError:
        raise Mine from None
def raised(call):
    try:
        call()
    except Exception as error:
        return type(error)
breaker = perfkit.CircuitBreaker(consecutive=1)
pool = perfkit.Pool(lambda: exhaust() if is_short else object(), max_size=1, backoff=(0.01, 0.02))
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (20, limits[1]))
is_short = True
assert raised(lambda: breaker.call(exhaust)) is Mine
assert raised(lambda: pool.acquire(1)) is Mine
assert "logging" not in sys.modules, "it was loaded, so this has tried nothing"
is_short = False
for descriptor in held:
    os.close(descriptor)
pool.release(pool.acquire(20))
pool.close()
"""


def test_what_fails_for_want_of_descriptors_fails_as_it_would_though_logging_cannot_be_loaded():
    command = [sys.executable, "-W", "error", "-c", EXHAUSTED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_nobody_has_a_logger_of_his_own():
    root = Path(perfkit.__file__).parent
    asking = [path for path in root.rglob("*.py") if re.search(r"getLogger\(.perfkit", path.read_text())]
    assert asking == [root / "_base" / "logs.py"]
