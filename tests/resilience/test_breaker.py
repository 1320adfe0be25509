"""`CircuitBreaker` around functions, blocks and calls, in threads and tasks."""

import asyncio
import contextlib
import contextvars
import copy
import gc
import inspect
import logging
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

import perfkit
from perfkit.errors import BreakerOpen
from perfkit.resilience import BreakerStats, CircuitBreaker, entered
from perfkit.resilience import breaker as breaker_module
from perfkit.testing import FakeClock


class Down(Exception):
    """What the service says when it doesn't work."""


def made(**options):
    """Return a breaker that opens at the first failure, and its clock."""
    clock = FakeClock()
    return CircuitBreaker(**({"consecutive": 1, "timer": clock} | options)), clock


def fail(error=Down):
    raise error


def finished(coroutine):
    """Run a coroutine to its end without a loop, which would take exits and interrupts for itself."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


def in_block(breaker, function):
    with breaker:
        return function()


async def in_async_block(breaker, function):
    async with breaker:
        return function()


def asynchronous(function):
    async def work():
        await asyncio.sleep(0)
        return function()

    return work


# each: run(breaker, function) has a plain function go through the breaker in some way
WAYS = {
    "decorated": lambda breaker, function: breaker(function)(),
    "called": lambda breaker, function: breaker.call(function),
    "in a block": in_block,
    "async, decorated": lambda breaker, function: finished(breaker(asynchronous(function))()),
    "async, called": lambda breaker, function: finished(breaker.call(asynchronous(function))),
    "in an async block": lambda breaker, function: finished(in_async_block(breaker, function)),
}


@pytest.fixture(params=WAYS)
def run(request):
    return WAYS[request.param]


@pytest.fixture(params=[{}, {"slow_call": 5.0}, {"window_seconds": 60.0}], ids=["quick", "slow_call", "window_seconds"])
def kind(request):
    """Options that each have a path of their own."""
    return request.param


# -- what every way does


def test_a_result_passes_and_a_failure_opens(run, kind):
    breaker, _ = made(**kind)
    assert run(breaker, lambda: "result") == "result"
    with pytest.raises(Down):
        run(breaker, fail)
    assert breaker.state == "open"
    with pytest.raises(BreakerOpen) as caught:
        run(breaker, lambda: pytest.fail("it was called"))
    assert (caught.value.name, caught.value.retry_after) == (breaker.name, 30.0)
    assert isinstance(caught.value, ConnectionError)


def test_a_probe_closes_it(run, kind):
    breaker, clock = made(**kind)
    breaker.trip()
    clock.advance(30)
    assert run(breaker, lambda: breaker.state) == "half-open"
    assert breaker.state == "closed"


def test_a_failing_probe_opens_it_again(run, kind):
    breaker, clock = made(**kind)
    breaker.trip()
    clock.advance(30)
    with pytest.raises(Down):
        run(breaker, fail)
    assert breaker.state == "open"
    assert breaker.stats().retry_after == 30.0


NEUTRAL = [KeyboardInterrupt, SystemExit, GeneratorExit, LookupError]


@pytest.mark.parametrize("error", NEUTRAL)
def test_what_says_nothing_gives_the_place_of_a_probe_back(run, kind, error):
    breaker, clock = made(**kind, ignore=LookupError)
    with pytest.raises(error):
        run(breaker, lambda: fail(error))
    assert (breaker.state, breaker.stats().calls) == ("closed", 0)
    breaker.trip()
    clock.advance(30)
    for _ in range(3):
        with pytest.raises(error):
            run(breaker, lambda: fail(error))
        assert breaker.state == "half-open"
    assert run(breaker, lambda: 1) == 1
    assert breaker.state == "closed"
    assert breaker.stats().neutral == 4


def test_only_what_is_in_on_fails(run):
    breaker, _ = made(on=(Down, OSError), ignore=FileNotFoundError)
    for error in (ValueError, FileNotFoundError):
        with pytest.raises(error):
            run(breaker, lambda error=error: fail(error))
    assert breaker.state == "closed"
    with pytest.raises(OSError):
        run(breaker, lambda: fail(OSError))
    assert breaker.state == "open"


def test_slow_calls_open_it(run):
    breaker, clock = made(consecutive=None, failure_rate=None, slow_call=1.0, slow_rate=0.5, window=4, min_calls=4)
    for seconds in (0, 1, 1.5):
        run(breaker, lambda seconds=seconds: clock.advance(seconds))
    assert breaker.stats().slow_calls == 1
    assert breaker.stats().slow_rate == pytest.approx(1 / 3)
    run(breaker, lambda: clock.advance(2))
    assert breaker.state == "open"
    clock.advance(30)
    run(breaker, lambda: clock.advance(2))  # a slow probe is no proof
    assert breaker.state == "open"
    clock.advance(30)
    run(breaker, lambda: clock.advance(1))
    assert breaker.state == "closed"


def test_a_slow_failure_is_both(run):
    breaker, clock = made(consecutive=9, slow_call=1.0)

    def slow_failure():
        clock.advance(2)
        fail()

    with pytest.raises(Down):
        run(breaker, slow_failure)
    stats = breaker.stats()
    assert (stats.calls, stats.failures, stats.slow_calls) == (1, 1, 1)


def test_a_window_of_seconds_forgets(run):
    breaker, clock = made(consecutive=None, window_seconds=10.0, min_calls=2)
    with pytest.raises(Down):
        run(breaker, fail)
    clock.advance(11)
    with pytest.raises(Down):
        run(breaker, fail)
    assert breaker.state == "closed"
    with pytest.raises(Down):
        run(breaker, fail)
    assert breaker.state == "open"


@pytest.mark.parametrize("change", ["trip", "reset"])
@pytest.mark.parametrize("error", [None, Down])
def test_results_from_before_the_last_change_count_for_nothing(run, kind, change, error):
    breaker, _ = made(**kind)

    def work():
        breaker.trip()
        if change == "reset":
            breaker.reset()
        if error:
            raise error

    if error:
        with pytest.raises(error):
            run(breaker, work)
    else:
        run(breaker, work)
    assert breaker.state == {"trip": "open", "reset": "closed"}[change]
    assert (breaker.stats().calls, breaker.stats().failed) == (0, 0)


def test_a_stale_success_does_not_close_a_half_open_breaker():
    breaker, clock = made()
    inside, go_on = threading.Event(), threading.Event()

    @breaker
    def slow():
        inside.set()
        assert go_on.wait(20)

    thread = threading.Thread(target=slow)
    thread.start()
    assert inside.wait(20)
    breaker.trip()
    clock.advance(30)
    with breaker:
        go_on.set()
        thread.join()
        assert breaker.state == "half-open"
    assert breaker.state == "closed"


# -- many at once


def test_calls_run_side_by_side():
    """All have to be in there at once, or the barrier breaks."""
    breaker, _ = made()
    together = threading.Barrier(8)
    guarded = breaker(lambda: together.wait(20))
    threads = [threading.Thread(target=guarded) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not together.broken
    assert breaker.stats().calls == 8


@pytest.mark.parametrize("probes", [1, 3])
def test_of_thirty_threads_only_the_probes_get_through(probes):
    breaker, clock = made(probes=probes)
    breaker.trip()
    clock.advance(30)
    together, go_on, refused = threading.Barrier(30), threading.Event(), threading.Semaphore(0)
    ran, waits = [], []

    @breaker
    def work():
        ran.append(1)
        assert go_on.wait(20)

    def caller():
        together.wait(20)
        try:
            work()
        except BreakerOpen as error:
            waits.append(error.retry_after)
            refused.release()

    threads = [threading.Thread(target=caller) for _ in range(30)]
    for thread in threads:
        thread.start()
    for _ in range(30 - probes):
        assert refused.acquire(timeout=20)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(ran) == probes
    assert all(0 < wait <= 1 for wait in waits)
    assert breaker.state == "closed"


@pytest.mark.parametrize("block", [False, True])
def test_of_thirty_tasks_only_the_probes_get_through(block):
    breaker, clock = made(probes=2)
    breaker.trip()
    clock.advance(30)
    ran = []

    async def work():
        ran.append(1)
        await asyncio.sleep(0.01)

    async def in_block():
        async with breaker:
            await work()

    async def main():
        call = in_block if block else breaker(work)
        return await asyncio.gather(*[call() for _ in range(30)], return_exceptions=True)

    answers = asyncio.run(main())
    assert len(ran) == 2
    assert sum(isinstance(answer, BreakerOpen) for answer in answers) == 28
    assert breaker.state == "closed"


@pytest.mark.parametrize("block", [False, True])
def test_a_cancelled_probe_is_neither_good_nor_bad(block):
    breaker, clock = made()
    breaker.trip()
    clock.advance(30)

    async def forever():
        await asyncio.Event().wait()

    async def in_block():
        async with breaker:
            await forever()

    async def main():
        for _ in range(3):
            task = asyncio.create_task((in_block if block else breaker(forever))())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert breaker.state == "half-open"
        await breaker.call(asyncio.sleep, 0)

    asyncio.run(main())
    assert breaker.state == "closed"


def test_a_probe_that_hangs_holds_nobody_for_ever():
    breaker, clock = made(half_open_timeout=10.0)
    breaker.trip()
    clock.advance(30)
    go_on, inside = threading.Event(), threading.Event()

    @breaker
    def work(*, hang=False):
        if hang:
            inside.set()
            assert go_on.wait(20)

    thread = threading.Thread(target=work, kwargs={"hang": True})
    thread.start()
    assert inside.wait(20)
    clock.advance(10)
    with pytest.raises(BreakerOpen):
        work()
    clock.advance(30)
    work()
    assert breaker.state == "closed"
    go_on.set()
    thread.join()
    assert breaker.state == "closed"


def test_failures_of_many_threads_are_all_counted():
    breaker, _ = made(consecutive=None, failure_rate=1.0, window=10_000, min_calls=10_000)
    guarded = breaker(fail)

    def work():
        for _ in range(500):
            with pytest.raises(Down):
                guarded()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (breaker.stats().failures, breaker.stats().failed) == (3000, 3000)


# -- what it decorates


class Service:
    breaker, clock = made()

    @breaker
    def plain(self, number: int, *, unit: str = "m") -> str:
        """Say a length."""
        return f"{number} {unit}"

    @breaker
    async def later(self):
        return self

    @classmethod
    @breaker
    def below(cls):
        return cls

    @breaker
    @classmethod
    def above(cls):
        return cls

    @staticmethod
    @breaker
    def static_below(number):
        return number

    @breaker
    @staticmethod
    def static_above(number):
        return number


def test_methods_of_every_kind():
    service = Service()
    assert service.plain(3, unit="s") == Service.plain(service, 3, unit="s") == "3 s"
    assert asyncio.run(service.later()) is service
    assert service.below() is Service.below() is Service
    assert service.above() is Service.above() is Service
    assert service.static_below(1) == Service.static_above(1) == 1


def test_name_signature_and_kind_stay():
    assert Service.plain.__name__ == "plain"
    assert Service.plain.__doc__ == "Say a length."
    assert str(inspect.signature(Service.plain)) == "(self, number: int, *, unit: str = 'm') -> str"
    assert inspect.iscoroutinefunction(Service.later)
    assert Service.plain.__wrapped__.__qualname__ == "Service.plain"


guarded_here = made()[0](len)


def test_it_pickles_by_name_and_is_its_own_copy():
    assert pickle.loads(pickle.dumps(Service.plain)) is Service.plain
    assert pickle.loads(pickle.dumps(Service.below)) == Service.below
    assert copy.deepcopy(Service.plain) is Service.plain


def test_callable_objects_and_partials():
    class Callable:
        def __call__(self):
            return 5

    import functools

    breaker, _ = made()
    assert breaker(Callable())() == 5
    assert breaker(functools.partial(max, 3))(4) == 4
    assert guarded_here("four") == 4


def test_classes_can_be_called_but_not_decorated():
    breaker, _ = made()
    assert isinstance(breaker.call(Service), Service)
    with pytest.raises(TypeError, match="@CircuitBreaker is for functions and methods, not classes"):
        breaker(Service)


def generator():
    yield 1


async def async_generator():
    yield 1


@pytest.mark.parametrize("function", [generator, async_generator])
def test_generator_functions_are_refused(function):
    breaker, _ = made()
    for use in (breaker, breaker.call):
        with pytest.raises(TypeError, match=r"CircuitBreaker can't be put on the .*generator function"):
            use(function)


@pytest.mark.parametrize("options", [{}, {"window_seconds": 10}], ids=["calls", "seconds"])
def test_a_coroutine_that_nobody_would_look_at_is_refused(options):
    breaker, _ = made(**options)

    async def work():
        raise AssertionError("it never runs")

    @breaker
    def passes_it_on():
        return work()

    for use in (lambda: breaker.call(lambda: work()), passes_it_on, passes_it_on):  # noqa: PLW0108 (what people write)
        with pytest.raises(TypeError, match="pass the coroutine function itself, or make it one"):
            use()


def test_call_is_given_the_function_and_not_its_result():
    async def work():
        raise AssertionError("it never runs")

    breaker, _ = made()
    with pytest.raises(TypeError, match=r"as in call\(ask, 1\), not 3: pass the function itself, without calling it"):
        breaker.call(3)
    with pytest.raises(TypeError, match=r"not <coroutine .*: pass the function itself"):
        breaker.call(work())


def test_the_class_itself_is_put_on_no_function():
    with pytest.raises(TypeError, match=r"make one, breaker = CircuitBreaker\(\.\.\.\), and put @breaker on functions"):

        @CircuitBreaker
        def ask():
            """Nothing."""

    assert next(iter(inspect.signature(CircuitBreaker).parameters)) == "failure_rate"


def test_the_functions_own_error_comes_through_as_it_is():
    breaker, _ = made(consecutive=9)

    def broken():
        try:
            1 / 0  # noqa: B018 (it is to fail)
        except ZeroDivisionError:
            raise Down("late") from None

    with pytest.raises(Down) as caught:
        breaker(broken)()
    assert isinstance(caught.value.__context__, ZeroDivisionError)
    assert not hasattr(caught.value, "__notes__")


# -- blocks


def test_blocks_nest_and_each_counts():
    breaker, _ = made()
    other, _ = made()
    with breaker, other, breaker:
        with pytest.raises(Down):
            with other:
                fail()
    assert (breaker.stats().calls, other.state) == (2, "open")


def test_a_nested_block_takes_a_place_of_its_own():
    breaker, clock = made(probes=2)
    breaker.trip()
    clock.advance(30)
    with breaker:
        with breaker:
            with pytest.raises(BreakerOpen):
                breaker.__enter__()
        assert breaker.state == "half-open"
    assert breaker.state == "closed"


def test_blocks_may_be_left_in_another_order():
    one, two = made()[0], made()[0]
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    two.__exit__(Down, Down(), None)
    assert (one.state, two.state) == ("closed", "open")


class Client:
    """Has a breaker's block in its own."""

    def __init__(self, breaker):
        self.breaker = breaker

    def __enter__(self):
        self.breaker.__enter__()

    def __exit__(self, *raised):
        self.breaker.__exit__(*raised)


@contextlib.contextmanager
def generated(breaker):
    with breaker:
        yield


@contextlib.contextmanager
def stacked(breaker):
    with contextlib.ExitStack() as stack:
        stack.enter_context(breaker)
        yield


NESTED_BY = [lambda breaker: breaker, Client, generated, stacked]


@pytest.mark.parametrize("inside", NESTED_BY)
@pytest.mark.parametrize("outside", NESTED_BY)
def test_a_generators_block_ends_its_own_and_no_other(outside, inside):
    breaker, clock = made()

    def rows():
        with outside(breaker):
            yield

    reading = rows()
    next(reading)
    breaker.trip()
    clock.advance(30)
    with contextlib.suppress(Down), inside(breaker):
        reading.close()
        with pytest.raises(BreakerOpen):  # the probe is out still
            breaker.__enter__()
        fail()
    assert breaker.state == "open"


@pytest.mark.parametrize("inside", NESTED_BY)
@pytest.mark.parametrize("outside", NESTED_BY)
def test_a_block_around_ends_its_own_while_a_generators_is_open(outside, inside):
    breaker, clock = made()

    def rows():
        with inside(breaker):
            yield

    with outside(breaker):
        breaker.trip()
        clock.advance(30)
        reading = rows()
        next(reading)
    assert breaker.state == "half-open"
    with pytest.raises(StopIteration):
        next(reading)
    assert breaker.state == "closed"


def test_an_async_generators_block_ends_its_own_and_no_other():
    async def main():
        breaker, clock = made()

        async def rows():
            async with breaker:
                yield

        reading = rows()
        await anext(reading)
        breaker.trip()
        clock.advance(30)
        with contextlib.suppress(Down):
            async with breaker:
                await reading.aclose()
                with pytest.raises(BreakerOpen):
                    breaker.__enter__()
                fail()
        return breaker.state

    assert asyncio.run(main()) == "open"


def test_a_block_left_in_another_context_loses_no_place_for_ever():
    breaker, clock = made()
    breaker.trip()
    clock.advance(30)
    contextvars.copy_context().run(breaker.__enter__)
    breaker.__exit__(None, None, None)
    assert breaker.state == "half-open"
    with pytest.raises(BreakerOpen):
        breaker.__enter__()
    clock.advance(60)
    with pytest.raises(BreakerOpen):
        breaker.__enter__()
    clock.advance(30)
    with breaker:
        pass
    assert breaker.state == "closed"


def test_an_async_generator_finished_elsewhere():
    breaker, _ = made()

    async def rows():
        async with breaker:
            yield 1
            yield 2

    async def main():
        reading = rows()
        assert await asyncio.create_task(anext(reading)) == 1
        await asyncio.create_task(reading.aclose())

    asyncio.run(main())
    assert breaker.state == "closed"


def test_a_result_seen_from_two_contexts_counts_once():
    breaker, _ = made()
    breaker.__enter__()
    contextvars.copy_context().run(breaker.__exit__, None, None, None)
    breaker.__exit__(None, None, None)
    assert breaker.stats().calls == 1


def test_blocks_that_are_never_left_here_are_not_kept_without_end():
    breaker, _ = made()
    context = contextvars.Context()
    for _ in range(3000):
        context.run(breaker.__enter__)
    kept, block = 0, context[breaker_module._entered]
    while block is not None:
        kept, block = kept + 1, block[entered.BELOW]
    assert kept <= entered.DEEPEST


# -- by hand, and hooks


def test_changes_are_told_and_logged_outside_the_lock(caplog):
    told = []

    def hook(breaker, old, new):
        free = []
        thread = threading.Thread(target=lambda: free.append(breaker.stats().state))
        thread.start()
        thread.join(20)
        told.append((breaker.name, old, new, free))

    breaker, clock = made(on_change=hook, name="rates")
    with caplog.at_level(logging.INFO, "perfkit.resilience"):
        breaker.trip()
        breaker.trip()
        clock.advance(30)
        with breaker:
            pass
        breaker.reset()
    changes = [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]
    assert told == [("rates", old, new, [new]) for old, new in changes]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]
    assert caplog.messages[0] == "breaker 'rates': open, was closed"


def test_a_program_without_logging_hears_nothing():
    program = "import perfkit; perfkit.CircuitBreaker().trip()"
    environment = os.environ | {"PYTHONPATH": str(Path(perfkit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_a_hook_that_fails_is_logged_and_harms_no_call(caplog):
    breaker, _ = made(on_change=lambda *_: 1 / 0)
    with pytest.raises(Down):
        breaker(fail)()
    assert breaker.state == "open"
    assert "on_change of breaker" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_hook_may_use_the_breaker():
    breaker, _ = made(on_change=lambda breaker, old, new: breaker.reset() if new == "open" else None)
    with pytest.raises(Down):
        breaker(fail)()
    assert breaker.state == "closed"


def test_trip_begins_its_time_anew():
    breaker, clock = made()
    breaker.trip()
    clock.advance(20)
    breaker.trip()
    assert breaker.stats().retry_after == 30.0
    assert breaker.stats().opened == 1


# -- a breaker inside another


def test_a_refusal_inside_says_nothing():
    inner, _ = made()
    outer, _ = made()
    inner.trip()
    with pytest.raises(BreakerOpen) as caught:
        outer.call(inner.call, len, "")
    assert caught.value.name == inner.name
    assert (outer.state, outer.stats().neutral) == ("closed", 1)


def test_a_refusal_inside_is_a_failure_where_it_is_named():
    inner, _ = made()
    outer, _ = made(on=(Down, BreakerOpen))
    inner.trip()
    with pytest.raises(BreakerOpen):
        outer.call(inner.call, len, "")
    assert outer.state == "open"


# -- looks


def test_stats():
    breaker, clock = made(consecutive=None, min_calls=4, name="rates")
    for _ in range(3):
        breaker.call(len, "")
    with pytest.raises(Down):
        breaker.call(fail)
    clock.advance(5)
    assert breaker.stats() == BreakerStats(
        name="rates",
        state="closed",
        seconds_in_state=5.0,
        retry_after=0.0,
        calls=4,
        failures=1,
        slow_calls=0,
        failed=1,
        refused=0,
        neutral=0,
        opened=0,
    )
    assert (breaker.stats().failure_rate, breaker.stats().slow_rate) == (0.25, 0.0)
    assert ("resilience", "rates", breaker.stats()) in perfkit.stats()
    assert repr(breaker) == "<CircuitBreaker 'rates': closed>"


def test_its_name():
    given, by_function, neither = made(name="mine")[0], made()[0], made()[0]
    for breaker in (given, by_function):
        breaker(fail)
        breaker(len)
    assert (given.name, by_function.name) == ("mine", "fail")
    assert neither.name.startswith("breaker-")


def test_a_breaker_that_nobody_has_is_gone():
    breaker, _ = made(name="short-lived")
    breaker.trip()
    watch = weakref.ref(breaker)
    del breaker
    gc.collect()
    assert watch() is None
    assert "short-lived" not in [snapshot.name for snapshot in perfkit.stats()]


async def later(*arguments):
    return None


WRONG = [
    ({"failure_rate": 0}, ValueError, "failure_rate must be a fraction, more than 0 and up to 1, not 0"),
    ({"failure_rate": 1.5}, ValueError, "failure_rate must be a fraction"),
    ({"failure_rate": "half"}, TypeError, "failure_rate must be a fraction"),
    ({"failure_rate": None}, ValueError, "it would never open: give failure_rate, consecutive or slow_call"),
    ({"window": 0}, ValueError, "window must be a whole number from 1, not 0"),
    ({"window": 1.5}, TypeError, "window must be a whole number from 1"),
    ({"window": 5}, ValueError, r"min_calls \(10\) must be at most window \(5\)"),
    ({"window_seconds": 0}, ValueError, "window_seconds must be more than 0 seconds, and finite, not 0"),
    ({"min_calls": True}, TypeError, "min_calls must be a whole number from 1"),
    ({"consecutive": 0}, ValueError, "consecutive must be a whole number from 1"),
    ({"slow_call": -1}, ValueError, "slow_call must be more than 0 seconds"),
    ({"slow_rate": 2}, ValueError, "slow_rate must be a fraction"),
    ({"reset_timeout": float("inf")}, ValueError, "reset_timeout must be more than 0 seconds, and finite, not inf"),
    ({"reset_timeout": float("nan")}, ValueError, "reset_timeout must be more than 0 seconds"),
    ({"probes": 0}, ValueError, "probes must be a whole number from 1"),
    ({"half_open_timeout": "1"}, TypeError, "half_open_timeout must be a number of seconds, not '1'"),
    ({"on": KeyboardInterrupt}, TypeError, "on must be a subclass of Exception or a tuple of such"),
    ({"on": [ValueError]}, TypeError, r"a tuple of such, not .* \(write on=\(ValueError,\)\)$"),
    ({"on": {ValueError: 1}}, TypeError, "on must be a subclass of Exception or a tuple of such"),
    ({"on": ()}, ValueError, "so it would never open: name what does, or slow_call"),
    ({"ignore": asyncio.CancelledError}, TypeError, "ignore must be a subclass of Exception"),
    ({"on_change": 3}, TypeError, r"on_change must be a function, called as on_change\(breaker, old, new\), not 3"),
    ({"on": lambda error: True}, TypeError, "a function may be given to a retry's `on`, not here"),
    ({"on": "x"}, TypeError, "on must be a subclass of Exception or a tuple of such, not 'x'$"),
    ({"on_change": later}, TypeError, "on_change must be a plain function, .*: nobody would await it"),
    ({"timer": 3}, TypeError, "timer must be a function that returns seconds"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_what_is_not_allowed_is_said_at_once(options, error, message):
    with pytest.raises(error, match=message):
        CircuitBreaker(**options)


def test_a_breaker_for_slow_calls_alone_needs_no_failures():
    breaker, _ = made(on=(), slow_call=1.0)
    assert breaker.state == "closed"
