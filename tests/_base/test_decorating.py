import abc
import asyncio
import contextlib
import copy
import functools
import inspect
import pickle
import subprocess
import sys
import types
import typing
from pathlib import Path
from unittest import mock

import pytest
import wrapt

import perfkit
from perfkit._base.decorating import (
    ASYNC_GENERATOR_FUNCTION,
    COROUTINE_FUNCTION,
    FUNCTION,
    GENERATOR_FUNCTION,
    decorate,
    kind_of,
)

ROOT = str(Path(perfkit.__file__).parents[1])


def plain(a: int, b: str = "x", *, c: float = 1.0) -> str:
    """Say what it got."""
    return f"{a} {b} {c}"


async def coroutine(a: int, b: str = "x", *, c: float = 1.0) -> str:
    """Say what it got, later."""
    await asyncio.sleep(0)
    return f"{a} {b} {c}"


def generator():
    yield 1


async def async_generator():
    yield 1


@types.coroutine
def awaitable_generator():
    yield


class Callable_:
    def __call__(self, a):
        return a


class AsyncCallable:
    async def __call__(self, a):
        return a


class GeneratorCallable:
    def __call__(self):
        yield 1


class Methods:
    def plain(self):
        return self

    async def coroutine(self):
        return self

    def generator(self):
        yield self

    @classmethod
    async def of_class(cls):
        return cls

    @staticmethod
    async def static():
        return 1


def passing_on(fn):
    """A decorator that knows nothing of coroutines, as most are."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


class MadeUp:
    """Something that has any attribute asked for, as proxies of remote procedures do."""

    def __getattr__(self, name):
        return MadeUp()

    def __call__(self):
        return 1


# what kind of function it is


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (plain, FUNCTION),
        (lambda: 1, FUNCTION),
        (len, FUNCTION),
        ([].append, FUNCTION),
        (str.upper, FUNCTION),
        (dict, FUNCTION),
        (Callable_(), FUNCTION),
        (Methods().plain, FUNCTION),
        (Methods.plain, FUNCTION),
        (classmethod(plain), FUNCTION),
        (staticmethod(plain), FUNCTION),
        (functools.partial(plain, 1), FUNCTION),
        (functools.lru_cache(plain), FUNCTION),
        (passing_on(plain), FUNCTION),
        (MadeUp(), FUNCTION),
        (mock.MagicMock(), FUNCTION),
        (coroutine, COROUTINE_FUNCTION),
        (awaitable_generator, COROUTINE_FUNCTION),
        (AsyncCallable(), COROUTINE_FUNCTION),
        (AsyncCallable().__call__, COROUTINE_FUNCTION),
        (Methods().coroutine, COROUTINE_FUNCTION),
        (Methods.coroutine, COROUTINE_FUNCTION),
        (Methods.of_class, COROUTINE_FUNCTION),
        (Methods().static, COROUTINE_FUNCTION),
        (vars(Methods)["of_class"], COROUTINE_FUNCTION),
        (vars(Methods)["static"], COROUTINE_FUNCTION),
        (functools.partial(coroutine, 1), COROUTINE_FUNCTION),
        (functools.partial(functools.partial(coroutine, 1), 2), COROUTINE_FUNCTION),
        (functools.partial(Methods().coroutine), COROUTINE_FUNCTION),
        (staticmethod(functools.partial(coroutine, 1)), COROUTINE_FUNCTION),
        (functools.partial(AsyncCallable(), 1), COROUTINE_FUNCTION),
        (passing_on(coroutine), COROUTINE_FUNCTION),
        (passing_on(passing_on(coroutine)), COROUTINE_FUNCTION),
        (passing_on(functools.partial(coroutine, 1).func), COROUTINE_FUNCTION),
        (functools.lru_cache(coroutine), COROUTINE_FUNCTION),
        (wrapt.FunctionWrapper(coroutine, lambda *_: None), COROUTINE_FUNCTION),
        (wrapt.FunctionWrapper(AsyncCallable(), lambda *_: None), COROUTINE_FUNCTION),
        (mock.AsyncMock(), COROUTINE_FUNCTION),
        (generator, GENERATOR_FUNCTION),
        (Methods().generator, GENERATOR_FUNCTION),
        (GeneratorCallable(), GENERATOR_FUNCTION),
        (functools.partial(generator), GENERATOR_FUNCTION),
        (wrapt.FunctionWrapper(generator, lambda *_: None), GENERATOR_FUNCTION),
        (async_generator, ASYNC_GENERATOR_FUNCTION),
        (functools.partial(async_generator), ASYNC_GENERATOR_FUNCTION),
        (contextlib.contextmanager(generator), FUNCTION),
        (contextlib.asynccontextmanager(async_generator), FUNCTION),
    ],
)
def test_the_kind_is_told(fn, kind):
    assert kind_of(fn) == kind


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.markcoroutinefunction is new in 3.12")
def test_a_marked_function_is_a_coroutine_function():
    def marked():
        return coroutine(1)

    inspect.markcoroutinefunction(marked)
    instance = inspect.markcoroutinefunction(Callable_())
    for fn in (marked, functools.partial(marked), passing_on(marked), staticmethod(marked), instance):
        assert kind_of(fn) == COROUTINE_FUNCTION


def test_a_function_with_the_mark_of_asyncio_is_a_coroutine_function(monkeypatch):
    mark = object()
    monkeypatch.setattr("asyncio.coroutines._is_coroutine", mark, raising=False)

    def marked():
        return coroutine(1)

    assert kind_of(marked) == FUNCTION
    marked._is_coroutine = mark
    assert kind_of(marked) == COROUTINE_FUNCTION


@pytest.mark.parametrize("thing", [1, "name", None, property(plain), object()])
def test_what_cannot_be_called_has_no_kind(thing):
    with pytest.raises(TypeError, match="can't be called"):
        kind_of(thing)


# decorating

calls = []


def sync(wrapped, instance, args, kwargs):
    calls.append(("sync", instance, args, kwargs))
    return wrapped(*args, **kwargs)


async def asynchronous(wrapped, instance, args, kwargs):
    calls.append(("async", instance, args, kwargs))
    return await wrapped(*args, **kwargs)


def noted(fn):
    return decorate(fn, sync=sync, asynchronous=asynchronous, what="noted")


@pytest.fixture(autouse=True)
def _forget_calls():
    calls.clear()


def result_of(value):
    """The value, or what awaiting it gives: and that it had to be awaited."""
    if not inspect.isawaitable(value):
        return "sync", value

    async def awaited():
        return await value

    return "async", asyncio.run(awaited())


class Base(abc.ABC):
    def __init__(self, name="it"):
        self.name = name

    def __eq__(self, other):
        return self.name == other.name

    __hash__ = None

    @noted
    def method(self, a, b=2):
        return self.name, a, b

    @noted
    async def amethod(self, a, b=2):
        return self.name, a, b

    @noted
    @classmethod
    def above_classmethod(cls, a):
        return cls, a

    @classmethod
    @noted
    def below_classmethod(cls, a):
        return cls, a

    @noted
    @classmethod
    async def aclassmethod(cls, a):
        return cls, a

    @noted
    @staticmethod
    def above_staticmethod(a):
        return a

    @staticmethod
    @noted
    async def below_staticmethod(a):
        return a

    @property
    @noted
    def below_property(self):
        return self.name

    @noted
    @abc.abstractmethod
    def abstract(self):
        """Has to be overridden."""

    partial = noted(staticmethod(functools.partial(plain, 1)))  # a bare one is to become a method in a later Python
    called = noted(Callable_())


class Derived(Base):
    def abstract(self):
        return 1

    @noted
    def method(self, a, b=2):
        return "derived", *super().method(a, b)


@noted
def decorated(a: int, b: str = "x", *, c: float = 1.0) -> str:
    """Say what it got."""
    return f"{a} {b} {c}"


@noted
async def adecorated(a: int, b: str = "x", *, c: float = 1.0) -> str:
    """Say what it got, later."""
    return f"{a} {b} {c}"


@pytest.mark.parametrize(
    ("fn", "kind"),
    [
        (plain, "sync"),
        (coroutine, "async"),
        (passing_on(plain), "sync"),
        (passing_on(coroutine), "async"),
        (functools.partial(plain, b="x"), "sync"),
        (functools.partial(coroutine, b="x"), "async"),
        (functools.lru_cache(plain), "sync"),
    ],
)
def test_the_wrapper_is_chosen_by_kind_and_gets_the_call(fn, kind):
    assert result_of(noted(fn)(5, c=2.0)) == (kind, "5 x 2.0")
    assert calls == [(kind, None, (5,), {"c": 2.0})]


@pytest.mark.parametrize(("instance", "kind"), [(Callable_(), "sync"), (AsyncCallable(), "async")])
def test_callable_objects_keep_their_attributes(instance, kind):
    instance.note = "kept"
    assert result_of(noted(instance)(5)) == (kind, 5)
    assert noted(instance).note == "kept"
    assert isinstance(noted(instance), type(instance))


def test_a_method_gets_its_object_and_the_wrapper_is_told_of_it():
    thing = Derived()
    assert Base.amethod is not thing.amethod
    assert result_of(thing.amethod(1)) == ("async", ("it", 1, 2))
    assert result_of(Derived.amethod(thing, 1, b=3)) == ("async", ("it", 1, 3))
    assert calls == [("async", thing, (1,), {}), ("async", thing, (1,), {"b": 3})]


def test_an_overridden_method_reaches_the_one_above():
    assert Derived().method(1) == ("derived", "it", 1, 2)
    assert [args for _, _, args, _ in calls] == [(1,), (1, 2)]


@pytest.mark.parametrize("get", [lambda: Derived, Derived], ids=["class", "object"])
def test_classmethods_and_staticmethods_above_and_below(get):
    assert result_of(get().above_classmethod(1)) == ("sync", (Derived, 1))
    assert result_of(get().below_classmethod(1)) == ("sync", (Derived, 1))
    assert result_of(get().aclassmethod(1)) == ("async", (Derived, 1))
    assert result_of(get().above_staticmethod(1)) == ("sync", 1)
    assert result_of(get().below_staticmethod(1)) == ("async", 1)
    assert [kind for kind, *_ in calls] == ["sync", "sync", "async", "sync", "async"]


@pytest.mark.parametrize("get", [lambda: Derived, Derived], ids=["class", "object"])
def test_partials_and_callable_objects_in_a_class_are_not_bound(get):
    assert result_of(get().partial("y")) == ("sync", "1 y 1.0")
    assert result_of(get().called(7)) == ("sync", 7)


def test_a_property_and_an_abstract_method_stay_what_they_are():
    assert Derived().below_property == "it"
    with pytest.raises(TypeError, match="abstract"):
        Base()


def test_exceptions_pass_through():
    @noted
    def fails():
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        fails()


def test_decorators_can_be_stacked():
    for fn, kind in ((plain, "sync"), (coroutine, "async"), (AsyncCallable(), "async")):
        calls.clear()
        twice = noted(noted(fn))
        assert kind_of(twice) == kind_of(fn)
        assert result_of(twice(1))[0] == kind
        assert [kind for kind, *_ in calls] == [kind, kind]


@pytest.mark.parametrize(("fn", "like"), [(decorated, plain), (adecorated, coroutine)])
def test_name_signature_and_types_stay(fn, like):
    assert (fn.__module__, fn.__doc__) == (__name__, like.__doc__)
    assert (
        fn.__name__ == fn.__qualname__ == like.__name__.replace("plain", "decorated").replace("coroutine", "adecorated")
    )
    assert inspect.signature(fn) == inspect.signature(like)
    assert typing.get_type_hints(fn) == typing.get_type_hints(like)
    assert inspect.iscoroutinefunction(fn) == inspect.iscoroutinefunction(like)
    assert inspect.isfunction(fn)
    assert inspect.signature(Derived().method) == inspect.signature(lambda a, b=2: None)


# pickling and copying


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_pickles_by_name_as_functions_do(protocol):
    for fn in (decorated, adecorated):
        assert pickle.loads(pickle.dumps(fn, protocol)) is fn
    for name in ("above_staticmethod", "below_staticmethod", "method", "above_classmethod"):
        again = pickle.loads(pickle.dumps(getattr(Derived, name), protocol))
        assert (again.__qualname__, type(again)) == (getattr(Derived, name).__qualname__, type(getattr(Derived, name)))
    assert pickle.loads(pickle.dumps(Derived.above_classmethod, protocol))(1) == (Derived, 1)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bound_method_pickles_with_its_object(protocol):
    again = pickle.loads(pickle.dumps(Derived("other").method, protocol))
    assert again(1) == ("derived", "other", 1, 2)
    assert [instance for _, instance, *_ in calls] == [Derived("other"), Derived("other")]


def test_what_has_no_name_to_be_found_by_is_refused_when_pickled():
    @noted
    def local():
        return 1

    class Local:
        @noted
        def method(self):
            return 1

        @noted
        @staticmethod
        def static():
            return 1

    for thing in (local, Local.method, Local.static, noted(plain)):
        with pytest.raises((pickle.PicklingError, AttributeError)):  # as for plain functions, which of them depends
            pickle.dumps(thing)
    with pytest.raises(TypeError, match="a decorated partial has no name"):
        pickle.dumps(noted(functools.partial(plain, 1)))


def test_it_is_its_own_copy_as_functions_are():
    assert copy.copy(decorated) is copy.deepcopy(decorated) is decorated
    assert copy.deepcopy({"hook": [adecorated]})["hook"][0] is adecorated
    static = Derived.above_staticmethod
    assert copy.copy(static) is copy.deepcopy(static) is static


def test_a_bound_method_is_copied_with_its_object():
    thing = Derived("before")
    thing.hook = thing.amethod
    assert copy.copy(thing.hook) is thing.hook
    twin = copy.deepcopy(thing)
    twin.name = "after"
    assert result_of(twin.hook(1)) == ("async", ("after", 1, 2))
    assert result_of(thing.hook(1)) == ("async", ("before", 1, 2))


# what is refused


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (generator, r"@noted can't be put on the generator function generator.*returns a list"),
        (async_generator, "@noted can't be put on the async generator function async_generator"),
        (classmethod(generator), "generator function generator"),
        (Methods.generator, r"generator function Methods\.generator"),
        (functools.partial(generator), r"generator function functools\.partial"),
        (Methods, "@noted is for functions and methods, not classes: put it on methods of Methods"),
        (int, "not classes"),
        (property(plain), "@noted is for functions and methods: put it below @property"),
        (3, "@noted is for functions and methods, not for 3"),
        (None, "@noted is for functions and methods, not for None"),
        ("name", "@noted is for functions and methods, not for 'name'"),
    ],
)
def test_what_is_refused_names_the_decorator_and_what_to_do(fn, message):
    with pytest.raises(TypeError, match=message):
        noted(fn)


# what is loaded when

LOADING = """
import sys
sys.path[:0] = sys.argv[1:]
heavy = {"typing", "inspect", "asyncio", "dataclasses", "logging", "re", "wrapt"}
from perfkit._base import decorating

async def coroutine(): pass
assert decorating.kind_of(coroutine) == "coroutine function"
try:
    decorating.decorate(dict, sync=None, asynchronous=None, what="this")
except TypeError:
    print(sorted(heavy & set(sys.modules)))
decorating.decorate(coroutine, sync=None, asynchronous=None, what="this")
print("wrapt" in sys.modules)
"""


def test_wrapt_is_loaded_by_the_first_decoration_and_nothing_heavy_before():
    paths = [ROOT, str(Path(wrapt.__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADING, *paths], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "True"]
