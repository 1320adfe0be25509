"""Where a method's results live: with the one instance they are of, whatever becomes of it."""

import copy
import gc
import pickle
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


def test_an_instance_that_nothing_tells_the_end_of_has_nothing_kept():
    calls = []

    class Counter:
        @cached
        def double(self, by=2):
            calls.append(self)
            return self * by

    assert [Counter.double(5), Counter.double(5), Counter.double("a")] == [10, 10, "aa"]
    assert calls == [5, 5, "a"]
    assert Counter.double.cache_info().currsize == 0


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
