"""`timed`, `Timer` and `profiled` on functions of every kind: what is called behaves as without them."""

import asyncio
import inspect
import pickle
import types

import pytest

import perfkit
from perfkit.timing import tracker_of


def quiet(report):
    """Report nothing."""


DECORATORS = {
    "timed": perfkit.timed,
    "timed with a window": perfkit.timed(window=60),
    "Timer": perfkit.Timer("work"),
    "profiled": perfkit.profiled(every=2, report=quiet),
}


@pytest.fixture(params=DECORATORS)
def decorator(request):
    return DECORATORS[request.param]


@perfkit.timed
def pickled():
    """Say so."""


def add(one: int, *, other: int = 2) -> int:
    """Add two numbers."""
    return one + other


async def aadd(one: int, *, other: int = 2) -> int:
    """Add two numbers."""
    await asyncio.sleep(0)
    return one + other


def test_a_function(decorator):
    decorated = decorator(add)
    assert [decorated(1), decorated(one=1, other=3), decorated(1)] == [3, 4, 3]
    assert (decorated.__name__, decorated.__doc__) == ("add", "Add two numbers.")
    assert inspect.signature(decorated) == inspect.signature(add)


def test_a_coroutine_function(decorator):
    decorated = decorator(aadd)
    assert inspect.iscoroutinefunction(decorated)

    async def main():
        return await asyncio.gather(*(decorated(number) for number in range(5)))

    assert asyncio.run(main()) == [2, 3, 4, 5, 6]


def test_methods(decorator):
    class Thing:
        def __init__(self, factor):
            self.factor = factor

        @decorator
        def method(self, value):
            return self.factor * value

        @classmethod
        @decorator
        def inside(cls, value):
            return cls.__name__, value

        @decorator
        @staticmethod
        def outside(value):
            return value

        @property
        @decorator
        def whole(self):
            return self.factor

        @decorator
        async def amethod(self, value):
            return self.factor * value

    thing = Thing(3)
    assert (thing.method(2), Thing.inside(1), thing.outside(4), thing.whole) == (6, ("Thing", 1), 4, 3)
    assert asyncio.run(thing.amethod(2)) == 6


def test_exceptions_pass(decorator):
    @decorator
    def fail():
        raise KeyError("x")

    @decorator
    async def afail():
        raise KeyError("x")

    for _ in range(3):
        with pytest.raises(KeyError, match="x"):
            fail()
        with pytest.raises(KeyError, match="x"):
            asyncio.run(afail())


def test_a_coroutine_is_cancelled_and_gets_what_is_thrown(decorator):
    seen = []

    @decorator
    async def waits():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    async def main():
        for _ in range(2):
            task = asyncio.create_task(waits())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(0):
            await waits()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert seen == ["cancelled", "cleaned up"] * 3


def test_a_coroutine_that_is_never_finished_is_closed(decorator):
    ended = []

    @types.coroutine
    def forever():
        while True:
            yield

    @decorator
    async def waits():
        try:
            await forever()
        finally:
            ended.append(True)

    coroutine = waits()
    coroutine.send(None)
    coroutine.close()
    assert ended == [True]


def generator():
    yield 1


async def agenerator():
    yield 1


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (generator, "can't be put on the generator function generator"),
        (agenerator, "can't be put on the async generator function agenerator"),
        (int, "not classes"),
        (5, "@"),
        (property(add), "below @property"),
    ],
)
@pytest.mark.parametrize("name", ["timed", "Timer", "profiled"])
def test_what_can_not_be_decorated(name, function, says):
    decorator = {"timed": perfkit.timed(), "Timer": perfkit.Timer(), "profiled": perfkit.profiled()}[name]
    with pytest.raises(TypeError, match=says):
        decorator(function)


def test_a_plain_function_that_returns_a_coroutine_is_refused(decorator):
    decorated = decorator(lambda: aadd(1))
    with pytest.raises(TypeError, match="returns a coroutine"):
        decorated()


def test_its_figures():
    search = perfkit.timed(name="search")(add)
    search(1)
    with pytest.raises(TypeError):
        search("1")
    stats = tracker_of(search).stats()
    assert (stats.name, stats.count, stats.errors) == ("search", 1, 1)


def test_a_decorator_with_options_gives_each_function_figures_of_its_own():
    measured = perfkit.timed(window=60)
    one, other = measured(add), measured(aadd)
    one(1)
    assert (tracker_of(one).count, tracker_of(other).count) == (1, 0)
    assert (tracker_of(one).name, tracker_of(other).name) == (f"{__name__}.add", f"{__name__}.aadd")


def test_figures_of_what_is_decorated_below_staticmethod_and_classmethod():
    class Thing:
        @perfkit.timed
        @staticmethod
        def outside():
            return 1

        @perfkit.timed
        @classmethod
        def inside(cls):
            return 2

    assert (Thing.outside(), Thing.inside()) == (1, 2)
    assert (tracker_of(Thing.outside).count, tracker_of(Thing.inside).count) == (1, 1)


def test_it_pickles_by_name():
    assert pickle.loads(pickle.dumps(pickled)) is pickled


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: perfkit.timed("search"), r"@timed\(name='search'\)"),
        (lambda: perfkit.timed(name=5), "name must be a string"),
        (lambda: perfkit.Timer(add), r"with the brackets"),
        (lambda: perfkit.Timer(5), "name must be a string"),
        (lambda: perfkit.Timer(report="print"), r"called as report\(timer\)"),
        (lambda: perfkit.Timer(report=aadd), "nobody would await it"),
        (lambda: perfkit.profiled(100), "options are given by name"),
        (lambda: perfkit.profiled(every=0), "every must be a whole number from 1"),
        (lambda: perfkit.profiled(sort="slowest"), "sort must be one of .*cumulative"),
        (lambda: perfkit.profiled(report=5), r"called as report\(profile_report\)"),
    ],
)
def test_wrong_arguments(make, says):
    with pytest.raises((TypeError, ValueError), match=says):
        make()
