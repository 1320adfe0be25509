"""What all tests share: the Hypothesis profile, and a fixture to wait with. Skips are explained in ../conftest.py."""

import gc
import signal
import time

import pytest
from hypothesis import HealthCheck, settings

# A shell that starts pytest in the background has it ignore Ctrl-C, and so would the programs that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Random on every run: a failure prints the blob that repeats it. How long an example takes says more about the machine.
settings.register_profile("perfkit", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("perfkit")


@pytest.fixture(scope="module", autouse=True)
def _what_was_there_before_is_no_garbage():
    """Keep the collector from looking at what other modules have left: tests that collect often would take minutes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def eventually():
    """``eventually(condition)`` waits until something comes true that no event tells of, such as others waiting in
    line."""

    def wait(condition):
        until = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < until, "it never came true"
            time.sleep(0.001)

    return wait
