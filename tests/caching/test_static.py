"""A cached function under ``staticmethod`` or ``classmethod`` passes for a function, whichever decorator is above."""

import asyncio
import copy
import functools
import gc
import inspect
import pickle
import types
import typing
import weakref

import pytest

from perfkit.caching import cached


def plain(function):
    return function


def kinds(outer, inner):
    class Kinds:
        @outer
        @inner
        def upper(text: str, times: int = 2, *, end: str = "") -> str:
            """Return it in capitals."""
            return text.upper() * times + end

        @outer
        @inner
        async def later(text):
            return text

    return Kinds


class Units:
    @staticmethod
    @cached
    def factor(unit: str) -> int:
        return len(unit)

    @classmethod
    @cached
    async def names(cls):
        return [cls.__name__]

    @classmethod
    @cached
    def first(cls):
        return [cls.__name__]


@pytest.mark.parametrize("order", [(staticmethod, cached), (cached, staticmethod)], ids=["below", "above"])
def test_it_looks_like_one_that_is_not_cached(order):
    made, ordinary = kinds(*order), kinds(staticmethod, plain)
    for where in (made, made()):
        assert isinstance(where.upper, types.FunctionType)
        for tell in (inspect.isfunction, inspect.isroutine, inspect.iscoroutinefunction, callable):
            assert [tell(where.upper), tell(where.later)] == [tell(ordinary.upper), tell(ordinary.later)]
        assert inspect.signature(where.upper) == inspect.signature(ordinary.upper)
        assert inspect.getfullargspec(where.upper) == inspect.getfullargspec(ordinary.upper)
        assert typing.get_type_hints(where.upper) == typing.get_type_hints(ordinary.upper)
        assert inspect.getdoc(where.upper) == "Return it in capitals."
        assert not hasattr(where.upper, "no_such_thing")
    assert made.upper("a") is made().upper("a", times=2)
    assert made.upper.cache_info().misses == 1
    assert asyncio.run(made.later("x")) == "x"


def test_what_only_functions_have():
    assert Units.factor.__globals__ is globals()
    assert (Units.factor.__defaults__, Units.factor.__kwdefaults__, Units.factor.__closure__) == (None, None, None)


def test_class_methods_too():
    assert inspect.iscoroutinefunction(Units.names)
    assert not inspect.iscoroutinefunction(Units.first)
    assert asyncio.run(Units.names()) is asyncio.run(Units().names())
    assert Units.first() is Units().first()


def test_it_is_pickled_by_name_and_copied_as_itself():
    assert pickle.loads(pickle.dumps(Units.factor)) is Units.factor
    assert copy.copy(Units.factor) is copy.deepcopy([Units.factor])[0] is Units.factor


def test_a_property_of_a_decorated_method_is_each_instances_own():
    def loud(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    class Thing:
        __hash__ = None

        @property
        @cached
        @loud
        def size(self):
            return [self]

    thing = Thing()
    assert thing.size is thing.size
    reference = weakref.ref(thing)
    del thing
    gc.collect()
    assert reference() is None
