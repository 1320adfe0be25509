"""Time and `perfkit.cached`: ttl, jitter, refresh ahead, what serves while a function fails, failures that are kept."""

import asyncio
import logging
import threading

import pytest

from perfkit.caching import cached
from perfkit.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


class Source:
    """A function that counts its calls, returns their number, fails when told to, and can be held up."""

    def __init__(self):
        self.calls = 0
        self.error = None
        self.go_on = threading.Event()
        self.go_on.set()
        self.called = threading.Semaphore(0)

    def __call__(self, key=None):
        self.calls += 1
        self.called.release()
        assert self.go_on.wait(10)
        if self.error is not None:
            raise self.error
        return self.calls

    async def later(self, key=None):
        self.calls += 1
        self.called.release()
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return self.calls


@pytest.fixture
def source():
    return Source()


@pytest.fixture(params=["threads", "tasks"])
def made(request, source):
    """``made(**options)`` returns the cached function, to be called as an ordinary one either way."""
    if request.param == "threads":
        yield lambda **options: cached(lambda key=None: source(key), **options)
        return
    with asyncio.Runner() as runner:

        async def later(key=None):
            return await source.later(key)

        def make(**options):
            function = cached(later, **options)

            async def call_and_let_others(*args):
                try:
                    return await function(*args)
                finally:
                    for _ in range(5):
                        await asyncio.sleep(0)

            def call(*args):
                return runner.run(call_and_let_others(*args))

            call.cache_info = function.cache_info
            return call

        yield make


def test_ttl(made, source, clock):
    function = made(ttl=10, timer=clock)
    assert [function(), function()] == [1, 1]
    clock.advance(9.99)
    assert function() == 1
    clock.advance(0.01)
    assert [function(), function()] == [2, 2]
    assert function.cache_info()[:2] == (3, 2)


def test_a_computed_ttl(made, clock):
    function = made(ttl=lambda key, value: {1: 5, 2: None}.get(value, 0), timer=clock)
    assert function() == 1
    clock.advance(5)
    assert function() == 2
    clock.advance(10**6)
    assert function() == 2
    assert [function("never kept"), function("never kept")] == [3, 4]


def test_jitter(clock):
    function = cached(lambda key: key, maxsize=None, ttl=100, jitter=0.5, timer=clock)
    [function(key) for key in range(200)]
    clock.advance(75)
    assert 60 < function.cache_info().currsize < 140


def test_refresh_ahead_serves_the_old_value_and_fetches_once(source, clock, eventually):
    function = cached(source, ttl=10, refresh_ahead=0.8, timer=clock)
    function()
    clock.advance(7.9)
    assert (function(), source.calls) == (1, 1)
    source.go_on.clear()
    clock.advance(0.1)
    assert [function() for _ in range(10)] == [1] * 10
    for _ in range(2):
        assert source.called.acquire(timeout=10)
    assert [function() for _ in range(10)] == [1] * 10
    source.go_on.set()
    eventually(lambda: function() == 2)
    assert source.calls == 2
    clock.advance(7.9)
    assert function() == 2
    assert function.cache_info().misses == 1


def test_refresh_ahead_in_tasks(source, clock):
    async def main():
        function = cached(source.later, ttl=10, refresh_ahead=0.8, timer=clock)
        await function()
        clock.advance(8)
        assert await asyncio.gather(*(function() for _ in range(10))) == [1] * 10
        for _ in range(5):
            await asyncio.sleep(0)
        assert (await function(), source.calls) == (2, 2)
        clock.advance(9.9)
        source.error = OSError()

    asyncio.run(main())


def test_a_refresh_that_fails_is_logged_and_the_old_value_serves_on(made, source, clock, caplog, eventually):
    function = made(ttl=10, refresh_ahead=0.5, timer=clock)
    function()
    source.error = OSError("down")
    clock.advance(6)
    with caplog.at_level(logging.ERROR, "perfkit.caching"):
        assert function() == 1
        eventually(lambda: "down" in caplog.text)
    assert function() == 1
    clock.advance(4)
    with pytest.raises(OSError, match="down"):
        function()


def test_what_is_not_asked_for_is_not_refreshed(source, clock):
    function = cached(source, ttl=10, refresh_ahead=0.8, timer=clock)
    function()
    clock.advance(10)
    assert function.cache_info().currsize == 0
    assert source.calls == 1


def test_stale_if_error(made, source, clock):
    function = made(ttl=10, stale_if_error=60, timer=clock)
    assert function() == 1
    source.error = OSError("down")
    clock.advance(10)
    assert [function(), function()] == [1, 1]
    assert source.calls == 3
    source.error = None
    assert [function(), function()] == [4, 4]
    source.error = OSError("down")
    clock.advance(70)
    with pytest.raises(OSError, match="down"):
        function()


def test_stale_if_error_and_refresh_ahead_together(made, source, clock, eventually):
    function = made(ttl=10, refresh_ahead=0.5, stale_if_error=10, timer=clock)
    function()
    source.error = OSError("down")
    clock.advance(6)
    assert function() == 1
    eventually(lambda: source.calls == 2)
    clock.advance(10)
    assert function() == 1
    source.error = None
    assert function() == source.calls


def test_failures_that_are_kept(made, source, clock):
    function = made(error_ttl={OSError: 5, ValueError: 100}, timer=clock)
    source.error = ConnectionError("down")
    for _ in range(3):
        with pytest.raises(ConnectionError, match="down"):
            function()
    assert source.calls == 1
    with pytest.raises(ConnectionError):
        function("other")
    source.error = None
    clock.advance(5)
    assert function() == 3
    source.error = KeyError("not listed")
    for _ in range(2):
        with pytest.raises(KeyError):
            function("third")
    assert source.calls == 5


def test_a_kept_failure_goes_with_the_others_when_cleared(clock):
    source = Source()
    function = cached(source, error_ttl={OSError: 5}, timer=clock)
    source.error = OSError()
    with pytest.raises(OSError):
        function(1)
    source.error = None
    function.cache_discard(1)
    assert function(1) == 2
    source.error = OSError()
    with pytest.raises(OSError):
        function(2)
    source.error = None
    function.cache_clear()
    assert function(2) == 4


def test_kept_failures_do_not_grow_with_each_caller(clock):
    def fail():
        raise OSError("down")

    function = cached(fail, error_ttl={OSError: 5}, timer=clock)
    depths = []
    for _ in range(5):
        try:
            function()
        except OSError as error:
            depth, trace = 0, error.__traceback__
            while trace:
                depth, trace = depth + 1, trace.tb_next
            depths.append(depth)
    assert depths[1:] == [depths[1]] * 4


def test_a_kept_failure_and_a_stale_value(made, source, clock):
    function = made(ttl=10, stale_if_error=60, error_ttl={OSError: 5}, timer=clock)
    function()
    source.error = OSError("down")
    clock.advance(10)
    assert [function() for _ in range(3)] == [1, 1, 1]
    assert source.calls == 2


def test_what_is_written_or_removed_meanwhile_wins(source):
    function = cached(source)
    source.go_on.clear()
    for interfere in (
        function.cache_clear,
        lambda: function.cache_discard(1),
        lambda: function.cache.invalidate(match="*"),
    ):
        answers = []
        thread = threading.Thread(target=lambda answers=answers: answers.append(function("1")))
        thread.start()
        assert source.called.acquire(timeout=10)
        function.cache_discard("1")
        interfere()
        source.go_on.set()
        thread.join(10)
        assert len(answers) == 1
        assert function.cache_info().currsize == 0
        source.go_on.clear()
