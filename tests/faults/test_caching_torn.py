"""What strikes between any two steps leaves a cache whole: the end of the stack, an interrupt, a fork."""

import os
import signal
import sys
import threading

import pytest

from perfkit.caching import FrequencyBoostLRU, cached
from perfkit.caching.entry import SIZE
from perfkit.testing import FakeClock

PATIENCE = 20  # seconds; nothing here takes them unless it hangs


def what_is_wrong(cache):
    cache.expire()
    store = cache._store
    known = {id(entry) for entry in store._policy.entries()}
    wrong = [] if known == {id(entry) for entry in store.data.values()} else ["policy and dictionary disagree"]
    wrong += ["over the limit"] * (len(store.data) > store.max_count or store.size > store.max_size)
    wrong += ["flights"] * bool(store.flights)
    if store._weigh is not None and store.size != sum(entry[SIZE] for entry in store.data.values()):
        wrong += ["the sum is off"]
    return wrong


def stack_depth():
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


def with_few_frames(operation, frames):
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(stack_depth() + frames)
        operation()
    except RecursionError:
        return True
    finally:
        sys.setrecursionlimit(limit)
    return False


OPTIONS = {
    "plain": {},
    "expiring": {"ttl": 5},
    "all": {"ttl": 5, "stale_if_error": 5, "refresh_ahead": 0.5, "error_ttl": {KeyError: 3}, "tags": lambda key: ["t"]},
    "bytes": {"max_bytes": 300},
    "told": {"on_evict": lambda *args: None},
}


OPERATIONS = {
    "call": lambda function: [function(key) for key in (7, 8, 7, 9, 1)],
    "put": lambda function: function.cache.put(11, 1),
    "pop": lambda function: function.cache.pop(1, None),
    "setdefault": lambda function: function.cache.setdefault(12, 1),
    "popitem": lambda function: function.cache.popitem(),
    "invalidate": lambda function: function.cache.invalidate(match="*"),
    "shrink": lambda function: function.cache.shrink(fraction=0.5),
    "clear": lambda function: function.cache.clear(),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_end_of_the_stack_at_any_depth(options, operation):
    """It raises in our code, too, and so may mending what that left; whoever comes next finds a cache that is whole."""
    outcomes = []
    for frames in range(4, 40):
        clock = FakeClock()
        function = cached(maxsize=3, timer=clock, **options)(lambda key: key)
        for key in range(5):
            function(key)
        clock.advance(3)
        outcomes.append(with_few_frames(lambda function=function: operation(function), frames))
        assert what_is_wrong(function.cache) == []
        assert function(3) == 3
    assert outcomes[0]
    assert not outcomes[-1]


def test_a_recursion_without_end_leaves_the_limit_in_force():
    @cached(maxsize=3)
    def function(key):
        return key

    def descend(number):
        function(number)
        descend(number + 1)

    for number in range(20):
        with pytest.raises(RecursionError):
            descend(number * 100_000)
    assert what_is_wrong(function.cache) == []


def test_an_interrupt_between_letting_in_and_letting_out():
    """The one let in is over the limit then, and another goes instead, of which ``on_evict`` is told."""
    told = []
    cache = FrequencyBoostLRU(3, on_evict=lambda key, value, cause: told.append(key))
    cache.update({0: 0, 1: 1, 2: 2})

    def interrupt(frame, event, argument):
        if event == "call" and frame.f_code.co_name == "_let_go":
            sys.settrace(None)
            raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            cache["new"] = 1
    finally:
        sys.settrace(before)
    assert what_is_wrong(cache) == []
    assert len(cache) == 3
    assert len(told) == 1


def held_elsewhere(lock, leave):
    """Have a lock held by another thread until ``leave`` is set."""
    is_held = threading.Event()

    def hold():
        with lock:
            is_held.set()
            leave.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    assert is_held.wait(PATIENCE)
    return thread


class Thing:
    @cached
    def method(self):
        return 1


def locks_of_failures():
    @cached(error_ttl={ValueError: 60})
    def fail(key):
        raise ValueError(key)

    def ask(key):
        with pytest.raises(ValueError, match=key):
            fail(key)

    ask("one")
    return fail.cache._store.failures.lock, lambda: ask("two")


def locks_of_methods():
    Thing().method()
    return Thing.method._perfkit_methods._model.lock, Thing.method.cache_info


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork: run it on a POSIX system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("locks", [locks_of_failures, locks_of_methods])
def test_no_lock_that_another_thread_held_is_held_in_a_forked_child(locks):
    lock, ask = locks()
    leave = threading.Event()
    thread = held_elsewhere(lock, leave)
    child = os.fork()
    if not child:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        try:
            ask()
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    leave.set()
    thread.join(PATIENCE)
