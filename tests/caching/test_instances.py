"""Where a method's results live: with the one instance they are of, whatever becomes of it."""

import copy
import gc
import pickle
import typing
import weakref

import pytest

from perfkit.caching import cached


class Account:
    def __init__(self, owner):
        self.owner = owner

    @cached
    def greeting(self):
        return f"Hello {self.owner}"


class Slotted:
    __slots__ = ("owner",)

    def __init__(self, owner):
        self.owner = owner

    greeting = cached(Account.__dict__["greeting"].__wrapped__)


class Referable(Slotted):
    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("cls", [Account, Slotted, Referable])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_a_copy_never_reads_what_was_found_for_another(cls, duplicate):
    """Not even where the original is gone and its identity is used again."""
    for number in range(200):
        original = cls(number)
        assert original.greeting() == f"Hello {number}"
        twin = duplicate(original)
        del original
        twin.owner = "twin"
        others = [cls(f"other {n}") for n in range(3)]
        assert twin.greeting() == "Hello twin"
        assert [other.greeting() for other in others] == [f"Hello other {n}" for n in range(3)]


def test_a_copy_of_a_copy_in_the_place_of_the_first():
    first = Account("first")
    first.greeting()
    shells = [copy.copy(first) for _ in range(100)]
    del first
    for shell in shells:
        shell.owner = "shell"
    new = [Account(f"new {number}") for number in range(100)]
    for number, account in enumerate(new):
        account.__dict__.update({name: thing for name, thing in shells[number].__dict__.items() if name != "owner"})
        assert account.greeting() == f"Hello new {number}"
    assert {shell.greeting() for shell in shells} == {"Hello shell"}


def test_a_method_called_in_getattr():
    class Lazy:
        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return self.fetch(name)

        @cached
        def fetch(self, name):
            return name.upper()

    lazy = Lazy()
    assert (lazy.one, lazy.one, lazy.two) == ("ONE", "ONE", "TWO")
    assert Lazy.fetch.cache_info().hits == 1


class Pair(typing.NamedTuple):
    x: int

    @cached
    def double(self, by=2):
        return [self.x * by]


class Count(int):
    @cached
    def double(self, by=2):
        return [self * by]


class Bare:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x

    @cached
    def double(self, by=2):
        return [self.x * by]


class Carrying(Bare):
    __slots__ = ("__dict__",)


@pytest.mark.parametrize("cls", [Pair, Count, Bare, Carrying])
def test_what_nothing_tells_the_end_of_has_nothing_kept(cls, caplog):
    cls.double.cache_clear()
    thing = cls(3)
    assert thing.double() == thing.double() == [6]
    assert thing.double() is not thing.double()
    assert cls.double.cache_info() == (0, 4, 128, 0)
    assert cls.double.cache_discard(thing) is False
    assert [record.args for record in caplog.records] in ([], [("double", cls.__qualname__)]), "said once a class"


def test_it_is_said_once_for_each_class_why_nothing_is_kept(caplog):
    class Slotted:
        __slots__ = ()

        @cached
        def one(self):
            return 1

    Slotted().one(), Slotted().one()
    Slotted.one(5)
    assert Slotted.one._perfkit_methods.stats().refused == 3
    [slotted, number] = [record.getMessage() for record in caplog.records]
    assert "Slotted" in slotted
    assert "__weakref__" in slotted
    assert "int" in number


class AsksInDel:
    """Its finaliser asks for what the finaliser of a watched class would just have dropped."""

    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x

    @cached
    def get(self):
        return self.x

    def __del__(self):
        self.get()


class AsksInDelReferably(AsksInDel):
    __slots__ = ("__weakref__",)


class Resurrected(AsksInDel):
    """Its finaliser, which runs but once, brings it back to life."""

    __slots__ = ("__weakref__",)
    back: typing.ClassVar = []

    def __del__(self):
        if self.x == 0:
            self.back.append(self)


class Changeling(AsksInDel):
    """Becomes an instance of a class that has no finaliser."""

    __slots__ = ()

    def __del__(self):
        pass


class Plain(AsksInDel):
    __slots__ = ()
    __del__ = None


def end_of(first):
    """End an object in the way of its class, which has been asked."""
    if type(first) is Changeling:
        first.__class__ = Plain
    del first
    for thing in Resurrected.back:
        thing.get()
    Resurrected.back.clear()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("cls", [AsksInDel, AsksInDelReferably, Resurrected, Changeling])
def test_however_an_instance_ends_the_next_in_its_place_is_itself(cls):
    for number in range(50):
        one = cls(number)
        assert (one.get(), one.get()) == (number, number)
        end_of(one)
        del one


def test_a_value_that_refers_to_its_instance_keeps_nothing_alive():
    class Node:
        @cached
        def itself(self):
            return self

    node = Node()
    assert node.itself() is node
    watch = weakref.ref(node)
    del node
    gc.collect()
    assert watch() is None
