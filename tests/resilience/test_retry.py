"""`perfkit.retry` around functions and blocks, in threads and tasks."""

import asyncio
import inspect
import logging
import pickle
import threading

import pytest

import perfkit
from perfkit.errors import BreakerOpen
from perfkit.resilience import RetryEvent, RetryStats
from perfkit.testing import FakeClock


class Flaky:
    """A function that raises what it is given, one after the other, and then returns what is left."""

    def __init__(self, *answers, took=0.0, clock=None):
        self.answers = list(answers)
        self.took, self.clock = took, clock
        self.began = []

    def __call__(self):
        self.began.append(self.clock() if self.clock else None)
        if self.took:
            self.clock.advance(self.took)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


def decorated(retry, function):
    return retry(function)()


def called(retry, function):
    return retry.call(function)


def in_blocks(retry, function):
    for attempt in retry:
        with attempt:
            result = function()
    return result


def asynchronous(function):
    async def work():
        await asyncio.sleep(0)
        return function()

    return work


async def in_async_blocks(retry, function):
    async for attempt in retry:
        with attempt:
            result = function()
    return result


def finished(coroutine):
    """Run a coroutine to its end without a loop, which would add to the context of errors."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as end:
        return end.value


WAYS = {
    "decorated": (decorated, "sleep"),
    "called": (called, "sleep"),
    "in blocks": (in_blocks, "sleep"),
    "async, decorated": (lambda retry, function: finished(retry(asynchronous(function))()), "asleep"),
    "async, called": (lambda retry, function: finished(retry.call(asynchronous(function))), "asleep"),
    "in async blocks": (lambda retry, function: finished(in_async_blocks(retry, function)), "asleep"),
}


class Way:
    """One way of having a function tried again, by a fake clock."""

    def __init__(self, name):
        self.run, self.sleep = WAYS[name]
        self.clock = FakeClock()

    def retry(self, on=OSError, **options):
        sleep = getattr(self.clock, self.sleep)
        return perfkit.retry(**({"on": on, "timer": self.clock, "sleep": sleep} | options))

    def __call__(self, function, *, retry=None, **options):
        return self.run(retry or self.retry(**options), function)


@pytest.fixture(params=WAYS)
def way(request):
    return Way(request.param)


def test_what_fails_for_a_moment_is_tried_again(way):
    flaky = Flaky(OSError(1), ConnectionError(2), "result")
    assert way(flaky) == "result"
    assert len(flaky.began) == 3


def test_what_works_is_called_once(way):
    flaky = Flaky("result")
    assert way(flaky) == "result"
    assert (len(flaky.began), way.clock()) == (1, 0.0)


def test_attempts_are_bounded_and_the_last_error_is_raised(way):
    errors = [OSError(number) for number in range(9)]
    with pytest.raises(OSError) as caught:
        way(flaky := Flaky(*errors), attempts=4)
    assert caught.value is errors[3]
    assert len(flaky.began) == 4
    [note] = caught.value.__notes__
    assert "gave up after 4 attempts in" in note
    assert "no attempts left (attempts=4), after\n  1: OSError: 0\n  2: OSError: 1\n  3: OSError: 2" in note


def test_waits_grow_and_are_drawn_from_0_to_their_ceiling():
    way, waits = Way("decorated"), []
    retry = way.retry(attempts=10, timeout=None, wait=1.0, max_wait=8.0, on_retry=waits.append)
    for _ in range(200):
        with pytest.raises(OSError):
            way(Flaky(OSError()), retry=retry)
    by_number = [[event.wait for event in waits[number::9]] for number in range(9)]
    for number, ceiling in enumerate([1, 2, 4, 8, 8, 8, 8, 8, 8]):
        assert all(0 <= wait <= ceiling for wait in by_number[number])
        assert min(by_number[number]) < 0.2 * ceiling
        assert max(by_number[number]) > 0.8 * ceiling
        assert len(set(by_number[number])) > 190  # no two clients return in step, at the cap neither


def test_no_attempt_begins_after_the_timeout_and_no_wait_is_in_vain(way):
    flaky = Flaky(OSError(), clock=way.clock, took=3.0)
    with pytest.raises(OSError) as caught:
        way(flaky, attempts=None, timeout=10.0, wait=2.0, max_wait=2.0)
    assert len(flaky.began) >= 2
    assert flaky.began[-1] <= 10.0
    assert way.clock() <= flaky.began[-1] + 3.0  # nothing was waited for after the last one
    assert "the next would begin too late (timeout=10)" in caught.value.__notes__[0]


def oversleeping(way):
    """Return a sleep by the way's clock that takes too long."""

    async def asleep(seconds):
        way.clock.advance(100)

    return asleep if way.sleep == "asleep" else lambda seconds: way.clock.advance(100)


def test_a_sleep_that_takes_too_long_leaves_no_time(way):
    flaky = Flaky(OSError())
    with pytest.raises(OSError) as caught:
        way(flaky, sleep=oversleeping(way))
    assert len(flaky.began) == 1
    assert "too late" in caught.value.__notes__[0]


def test_what_is_not_in_on_is_raised_at_once_as_it_is(way):
    flaky = Flaky(ValueError("no"))
    with pytest.raises(ValueError, match="no") as caught:
        way(flaky)
    assert len(flaky.began) == 1
    assert not hasattr(caught.value, "__notes__")


def test_another_error_ends_it_and_is_annotated(way):
    with pytest.raises(ValueError) as caught:
        way(Flaky(OSError("first"), ValueError("no")))
    assert "the last error is not one to try again, after\n  1: OSError: first" in caught.value.__notes__[0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("on", [Exception, lambda error: True], ids=["types", "a predicate"])
def test_what_is_no_exception_is_never_tried_again(way, error, on):
    flaky = Flaky(error())
    with pytest.raises(error):
        way(flaky, on=on)
    assert len(flaky.began) == 1


def test_a_breaker_that_is_open_is_never_tried_again(way):
    flaky = Flaky(BreakerOpen("open", name="x", retry_after=1.0))
    for on in (Exception, ConnectionError, BreakerOpen, lambda error: pytest.fail("it is not asked")):
        with pytest.raises(BreakerOpen):
            way(flaky, on=on)
    assert len(flaky.began) == 4


def test_a_predicate_decides(way):
    with pytest.raises(OSError, match="4"):
        way(Flaky(OSError(2), OSError(2), OSError(4), "never"), on=lambda error: error.args[0] == 2)
    assert way(Flaky(OSError(2), "result"), on=lambda error: True) == "result"
    with pytest.raises(OSError):
        way(Flaky(OSError(2), "never"), on=lambda error: None)


def test_seconds_of_a_predicate_are_waited_at_least_and_not_in_step():
    waits = []
    for _ in range(50):
        way = Way("decorated")
        way(Flaky(OSError(), 1), on=lambda error: 7, wait=1.0, on_retry=lambda event: waits.append(event.wait))
        assert way.clock() == waits[-1]
    assert all(7 <= wait <= 8 for wait in waits)
    assert len(set(waits)) > 40


def test_seconds_beyond_the_timeout_are_not_waited(way):
    with pytest.raises(OSError):
        way(Flaky(OSError(), "never"), on=lambda error: 3600, timeout=30.0)
    assert way.clock() == 0.0


def test_a_predicate_that_fails_raises_from_where_the_error_was(way):
    with pytest.raises(ZeroDivisionError) as caught:
        way(Flaky(OSError("first")), on=lambda error: 1 / 0)
    assert isinstance(caught.value.__context__, OSError)


@pytest.mark.parametrize("oversleeps", [False, True])
def test_cause_and_context_are_the_functions_own(way, oversleeps):
    def broken():
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise OSError("outer") from error

    def attempt_while_handling():
        try:
            raise ValueError("the caller's")
        except ValueError:
            way(broken, attempts=2, **({"sleep": oversleeping(way)} if oversleeps else {}))

    with pytest.raises(OSError) as caught:
        attempt_while_handling()
    assert isinstance(caught.value.__cause__, KeyError)
    assert isinstance(caught.value.__context__, KeyError)


def test_an_attempt_sees_nothing_of_the_failure_before(way):
    import sys

    seen, before = [], sys.exc_info()[1]  # another test may have left one to the thread

    def function():
        seen.append(sys.exc_info()[1])
        if len(seen) < 3:
            raise OSError

    way(function)
    assert seen == [before] * 3


def test_an_error_that_is_raised_again_and_again_has_one_note(way):
    error = OSError("stored")
    error.add_note("its own")
    for _ in range(3):
        with pytest.raises(OSError):
            way(Flaky(error), attempts=2, name="fetch")
    assert len(error.__notes__) == 2
    assert error.__notes__[0] == "its own"


def test_an_error_that_takes_no_note_is_raised_all_the_same(way):
    class Frozen(OSError):
        def __setattr__(self, name, value):
            raise AttributeError("frozen")

    with pytest.raises(Frozen):
        way(Flaky(Frozen()), attempts=2)


def test_the_hook_is_told_before_each_wait(way):
    told = []

    def hook(event):
        told.append((event, way.clock()))

    error = OSError("x")
    way(Flaky(error, error, 1, took=2.0, clock=way.clock), on_retry=hook, name="fetch")
    assert [(event.name, event.number, event.error) for event, _ in told] == [("fetch", 1, error), ("fetch", 2, error)]
    first, second = told
    assert first[1] == first[0].elapsed == 2.0
    assert second[1] == second[0].elapsed == 2.0 + first[0].wait + 2.0
    assert isinstance(first[0], RetryEvent)


def test_a_hook_that_fails_is_logged_and_harms_nothing(way, caplog):
    assert way(Flaky(OSError(), 1), on_retry=lambda event: 1 / 0) == 1
    assert "on_retry of retry" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_retries_are_logged_without_arguments(caplog):
    @perfkit.retry(on=OSError, attempts=2, sleep=lambda seconds: None)
    def login(password):
        raise OSError("refused")

    with caplog.at_level(logging.DEBUG, "perfkit.resilience"), pytest.raises(OSError) as caught:
        login("hunter2")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO"]
    assert "login" in caplog.text
    assert "OSError: refused" in caplog.text
    assert "hunter2" not in caplog.text + str(caught.value.__notes__)


def test_stats(way):
    retry = way.retry(on=OSError, attempts=3, timeout=50.0, name="fetch", budget=perfkit.RetryBudget(max_tokens=1000))
    way(Flaky(1), retry=retry)
    way(Flaky(OSError(), OSError(), 1), retry=retry)
    outcomes = [Flaky(OSError()), Flaky(OSError(), clock=way.clock, took=60.0), Flaky(ValueError())]
    for flaky in outcomes:
        with pytest.raises((OSError, ValueError)):
            way(flaky, retry=retry)
    assert retry.stats() == RetryStats(
        name="fetch", retries=4, recovered=1, out_of_attempts=1, out_of_time=1, out_of_budget=0, not_retryable=1
    )
    assert ("resilience", "fetch", retry.stats()) in perfkit.stats()


# -- budgets


def test_a_budget_stops_a_storm(way):
    """A service that is down for a thousand calls is asked little more than a thousand times, not five thousand."""
    budget = perfkit.RetryBudget(0.1, min_per_second=0.0, max_tokens=10, timer=way.clock)
    first, second = way.retry(budget=budget), way.retry(budget=budget)
    flaky = Flaky(OSError())
    for number in range(1000):
        with pytest.raises(OSError) as caught:
            way(flaky, retry=first if number % 2 else second)
    assert "the budget has no retries left" in caught.value.__notes__[0]
    assert 1100 <= len(flaky.began) <= 1110
    stats = budget.stats()
    assert (stats.allowed, stats.refused) == (len(flaky.began) - 1000, 1000 - first.stats().out_of_attempts * 2)


def test_a_budget_fills_with_time():
    clock = FakeClock()
    budget = perfkit.RetryBudget(0.0, min_per_second=2.0, max_tokens=3, timer=clock)
    assert [budget.take() for _ in range(4)] == [True, True, True, False]
    clock.advance(1)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    clock.advance(3600)
    assert budget.stats().tokens == 3.0
    assert repr(perfkit.RetryBudget(name="b")) == "<RetryBudget 'b': 100 of 100 tokens>"


def test_a_budget_is_shared_by_threads_to_the_token():
    budget = perfkit.RetryBudget(0.0, min_per_second=0.0, max_tokens=1000)
    taken = []
    threads = [threading.Thread(target=lambda: taken.extend(budget.take() for _ in range(500))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(taken) == 1000


def test_a_budget_is_listed():
    budget = perfkit.RetryBudget(name="payments", timer=FakeClock())
    assert ("resilience", "payments", budget.stats()) in perfkit.stats()


# -- what it decorates


class Service:
    @perfkit.retry(on=OSError, sleep=lambda seconds: None)
    def plain(self, number: int, *, unit: str = "m") -> str:
        """Say a length."""
        return f"{number} {unit}"

    @perfkit.retry(on=OSError)
    async def later(self):
        return self

    @classmethod
    @perfkit.retry(on=OSError)
    def below(cls):
        return cls

    @perfkit.retry(on=OSError)
    @classmethod
    def above(cls):
        return cls

    @perfkit.retry(on=OSError)
    @staticmethod
    def static(number):
        return number


def test_methods_of_every_kind():
    service = Service()
    assert service.plain(3, unit="s") == Service.plain(service, 3, unit="s") == "3 s"
    assert asyncio.run(service.later()) is service
    assert service.below() is service.above() is Service
    assert service.static(1) == Service.static(1) == 1
    assert str(inspect.signature(Service.plain)) == "(self, number: int, *, unit: str = 'm') -> str"
    assert inspect.iscoroutinefunction(Service.later)
    assert pickle.loads(pickle.dumps(Service.plain)) is Service.plain


def generator():
    yield 1


def test_what_can_not_be_tried_again_is_refused():
    retry = perfkit.retry(on=OSError)
    for use in (retry, retry.call):
        with pytest.raises(TypeError, match="@retry can't be put on the generator function generator"):
            use(generator)
    with pytest.raises(TypeError, match="not classes"):
        retry(Service)
    with pytest.raises(TypeError, match="pass the coroutine function itself"):
        retry.call(lambda: Service().later())
    assert isinstance(retry.call(Service), Service)


def test_names():
    given, by_function, neither = (perfkit.retry(on=OSError, name=name) for name in ("mine", None, None))
    for retry in (given, by_function):
        retry(len)
        retry(max)
    assert (given.name, by_function.name) == ("mine", "len")
    assert neither.name.startswith("retry-")
    assert repr(given) == "<Retry 'mine'>"


def test_notes_name_the_function_that_failed():
    retry = perfkit.retry(on=OSError, attempts=1)

    @retry
    def one():
        raise OSError

    @retry
    def two():
        raise OSError

    for function in (one, two):
        with pytest.raises(OSError) as caught:
            function()
        assert function.__name__ in caught.value.__notes__[0]


# -- blocks


def test_attempts_are_numbered_and_a_loop_may_be_left():
    def numbers():
        for attempt in perfkit.retry(on=OSError, sleep=lambda seconds: None):
            with attempt:
                seen.append(attempt.number)
                if attempt.number < 3:
                    raise OSError
                return attempt.number
        raise AssertionError("the loop ended by itself")

    seen = []
    assert numbers() == 3
    assert seen == [1, 2, 3]


def test_a_loop_without_its_block_is_refused():
    attempts = iter(perfkit.retry(on=OSError))
    next(attempts)
    with pytest.raises(RuntimeError, match=r"the body of the loop is `with attempt: ...`"):
        next(attempts)


def test_each_loop_begins_anew():
    retry = perfkit.retry(on=OSError, attempts=2, sleep=lambda seconds: None)
    for _ in range(3):
        seen = []
        with pytest.raises(OSError):
            in_blocks(retry, lambda seen=seen: seen.append(1) or Flaky(OSError())())
        assert len(seen) == 2


# -- tasks


def test_a_task_that_waits_can_be_cancelled():
    async def main():
        flaky = Flaky(OSError())
        task = asyncio.create_task(perfkit.retry(on=OSError, wait=60, max_wait=60, timeout=None)(asynchronous(flaky))())
        while not flaky.began:
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(flaky.began) == 1

    asyncio.run(main())


def test_tasks_wait_side_by_side():
    clock = FakeClock()

    async def main():
        retry = perfkit.retry(on=OSError, timer=clock, sleep=clock.asleep)
        flaky = [Flaky(OSError(), number) for number in range(20)]
        return await asyncio.gather(*[retry(asynchronous(each))() for each in flaky])

    assert asyncio.run(main()) == list(range(20))


def test_one_retry_serves_many_threads():
    retry = perfkit.retry(on=OSError, sleep=lambda seconds: None)
    answers = []

    def work():
        answers.extend(retry.call(Flaky(OSError(), OSError(), number)) for number in range(100))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted(list(range(100)) * 8)
    assert (retry.stats().recovered, retry.stats().retries) == (800, 1600)


def test_a_sleep_of_the_wrong_kind_is_said():
    clock = FakeClock()
    retry = perfkit.retry(on=OSError, timer=clock, sleep=clock.asleep)
    for use in (lambda: retry(len), lambda: retry.call(len, ""), lambda: iter(retry)):
        with pytest.raises(TypeError, match="sleep is a coroutine function"):
            use()
    blocking = perfkit.retry(on=OSError, timer=clock, sleep=clock.sleep)
    for coroutine in (blocking(asynchronous(Flaky(OSError())))(), in_async_blocks(blocking, Flaky(OSError()))):
        with pytest.raises(TypeError, match="sleep must return what can be awaited"):
            finished(coroutine)


WRONG = [
    ({"on": KeyboardInterrupt}, TypeError, "on must be a subclass of Exception or a tuple of such"),
    ({"on": (OSError, asyncio.CancelledError)}, TypeError, "on must be a subclass of Exception or a tuple of such"),
    ({"on": 500}, TypeError, r"on must be exception types or a function, called as on\(error\), not 500"),
    ({"attempts": 0}, ValueError, "attempts must be a whole number from 1, not 0"),
    ({"attempts": 2.5}, TypeError, "attempts must be a whole number from 1"),
    ({"attempts": None, "timeout": None}, ValueError, "attempts and timeout can't both be None"),
    ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds, and finite, not 0"),
    ({"wait": -1}, ValueError, "wait must be a number from 0, and finite, not -1"),
    ({"wait": "1"}, TypeError, "wait must be a number from 0, not '1'"),
    ({"max_wait": float("inf")}, ValueError, "max_wait must be a number from 0, and finite, not inf"),
    ({"factor": 0.5}, ValueError, "factor must be a number from 1, and finite, not 0.5"),
    ({"budget": 0.1}, TypeError, "budget must be a perfkit.RetryBudget, shared by the calls of a service, not 0.1"),
    ({"on_retry": 3}, TypeError, r"on_retry must be a function, called as on_retry\(event\), not 3"),
    ({"wait": 10.0}, ValueError, "wait must be at most max_wait, not 10.0 with a max_wait of 5.0"),
    ({"on": ()}, ValueError, "on=\\(\\) would have nothing tried again"),
    ({"on_retry": Service.later}, TypeError, "on_retry must be a plain function, .*: nobody would await it"),
    ({"on": Service.later}, TypeError, "on must be a plain function"),
    ({"on": [OSError, KeyError]}, TypeError, r"on must be .* \(write on=\(OSError, KeyError\)\)$"),
    ({"timer": 3}, TypeError, "timer must be a function that returns seconds"),
    ({"sleep": 3}, TypeError, r"sleep must be a function, called as sleep\(seconds\), not 3"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG)
def test_what_is_not_allowed_is_said_at_once(options, error, message):
    with pytest.raises(error, match=message):
        perfkit.retry(**({"on": OSError} | options))


@pytest.mark.parametrize("arguments", [(), (len,), (OSError,)])
def test_on_is_mandatory(arguments):
    with pytest.raises(TypeError, match=r"which errors are tried again, as in @retry\(on=ConnectionError\)"):
        perfkit.retry(*arguments)
    assert next(iter(inspect.signature(perfkit.retry).parameters)) == "on"


def test_a_coroutine_that_nobody_would_await_is_refused_and_not_tried_again():
    calls = []

    async def work():
        raise AssertionError("it never runs")

    @perfkit.retry(on=Exception, sleep=calls.append)
    def passes_it_on():
        return work()

    for _ in range(2):
        with pytest.raises(TypeError, match="retry was given a plain function that returns a coroutine"):
            passes_it_on()
    assert calls == []


def test_call_is_given_the_function_and_not_its_result():
    with pytest.raises(TypeError, match="not 3: pass the function itself, without calling it"):
        perfkit.retry(on=OSError).call(3)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ratio": 2}, ValueError, "ratio must be a number from 0 to 1, and finite, not 2"),
        ({"min_per_second": -1}, ValueError, "min_per_second must be a number from 0, and finite, not -1"),
        ({"max_tokens": 0.5}, ValueError, "max_tokens must be a number from 1, and finite, not 0.5"),
        ({"max_tokens": None}, TypeError, "max_tokens must be a number from 1, not None"),
        ({"timer": None}, TypeError, "timer must be a function"),
    ],
)
def test_a_budget_says_what_it_allows(options, error, message):
    with pytest.raises(error, match=message):
        perfkit.RetryBudget(**options)


def test_a_plain_loop_in_a_coroutine_does_not_stop_the_event_loop():
    async def plainly(retry):
        flaky = Flaky(OSError("first"), "done")
        for attempt in retry:
            with attempt:
                flaky()

    with pytest.raises(RuntimeError, match="in a coroutine write `async for`") as caught:
        asyncio.run(plainly(perfkit.retry(on=OSError)))
    assert str(caught.value.__cause__) == "first"
    asyncio.run(plainly(perfkit.retry(on=OSError, sleep=lambda seconds: None)))
    asyncio.run(plainly(perfkit.retry(on=OSError, wait=0.0)))


def test_a_plain_loop_beside_an_event_loop_is_nobodys_business():
    """As in a notebook, where one runs all the time."""

    async def cell():
        return in_blocks(perfkit.retry(on=OSError, wait=0.001), Flaky(OSError("first"), "done"))

    assert asyncio.run(cell()) == "done"


def test_what_is_entered_by_mistake_says_what_to_write():
    retry = perfkit.retry(on=OSError)
    with pytest.raises(TypeError, match=r"write `for attempt in retry\(\.\.\.\):`, and `with attempt:`"), retry:
        pass

    async def enter(made):
        async with made:
            pass

    with pytest.raises(TypeError, match=r"write `async for attempt in retry\(\.\.\.\):`"):
        asyncio.run(enter(retry))
    with pytest.raises(TypeError, match="entered by `with attempt:`, in a coroutine too"):
        asyncio.run(enter(next(iter(retry))))


def test_an_open_breaker_is_given_as_the_reason():
    breaker = perfkit.CircuitBreaker(consecutive=1, name="prices")

    @perfkit.retry(on=ConnectionError, wait=0.0)
    @breaker
    def ask():
        raise ConnectionError("refused")

    with pytest.raises(BreakerOpen) as caught:
        ask()
    assert ": the breaker is open, after" in caught.value.__notes__[0]
