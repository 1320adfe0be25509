"""What else stands in a class body: marks, odd names, protocols, metaclasses, methods that are special."""

import abc
import typing

import pytest

from perfkit.caching import cached


def route(function):
    function.route = "/here"
    return function


class Marked:
    @route
    @typing.final
    @cached
    def above(self):
        return [self]

    @cached
    @typing.final
    @route
    def below(self):
        return [self]


@pytest.mark.parametrize("name", ["above", "below"])
def test_marks_stay(name):
    method = getattr(Marked, name)
    assert (method.route, method.__final__, method.__name__) == ("/here", True, name)
    marked = Marked()
    assert getattr(marked, name)() is getattr(marked, name)()


@pytest.mark.parametrize("decorators", [(abc.abstractmethod, cached), (cached, abc.abstractmethod)])
def test_an_abstract_method_is_abstract(decorators):
    upper, lower = decorators

    class Abstract(abc.ABC):  # noqa: B024 (it has one)
        @upper
        @lower
        def method(self):
            return 1

    class Concrete(Abstract):
        @cached
        def method(self):
            return [super().method()]

    with pytest.raises(TypeError, match="method"):
        Abstract()
    concrete = Concrete()
    assert concrete.method() is concrete.method()


def odd(name):
    def function(self):
        return [self]

    function.__name__, function.__qualname__ = name, f"Odd.{name}"
    return function


@pytest.mark.parametrize("function", [lambda self: [self], odd("my name"), odd("ﬁne"), odd("class"), odd("1; x")])
def test_names_that_could_not_stand_in_source(function):
    class Odd:
        method = cached(function)

    thing = Odd()
    assert thing.method() is thing.method()
    assert Odd().method() is not thing.method()


def test_a_protocol_asks_for_no_more_than_its_methods():
    @typing.runtime_checkable
    class Named(typing.Protocol):
        @cached
        def name(self):
            return ["default"]

    class Another:
        def name(self):
            return ["another"]

    class Inheriting(Named):
        pass

    assert isinstance(Another(), Named)
    named = Inheriting()
    assert isinstance(named, Named)
    assert named.name() is named.name()


def test_a_metaclass_that_refuses_attributes():
    class Frozen(type):
        def __setattr__(cls, name, value):
            raise TypeError("frozen")

    class Thing(metaclass=Frozen):
        @cached
        def method(self):
            return [self]

    thing = Thing()
    assert thing.method() is thing.method()


def test_two_names_are_one_cache():
    class Thing:
        @cached
        def one(self):
            return [self]

        two = one

    thing = Thing()
    assert thing.one() is thing.two()
    assert Thing.one is Thing.two


def test_methods_that_python_makes_classmethods():
    told = []

    class Base:
        @cached
        def __init_subclass__(cls):
            told.append(cls.__name__)

        @cached
        def __class_getitem__(cls, item):
            return [cls, item]

    class Sub(Base):
        pass

    assert told == ["Sub"]
    assert Base[3] is Base[3]
    assert Sub[3] == [Sub, 3]
