"""What an instance carries of its cached methods, as the how-to has it: who sees the attribute, and who doesn't."""

import copy
import dataclasses
import gc
import pickle
import types
import weakref

import pytest

from perfkit.caching import cached


class Thing:
    def __init__(self):
        self.name = "thing"


class Maker:
    @cached
    def make(self):
        return Thing()


def carried(instance):
    return {name: value for name, value in vars(instance).items() if name.startswith("_perfkit_cached_")}


def test_there_is_one_attribute_a_method_from_the_first_call_on():
    maker = Maker()
    assert not carried(maker)
    maker.make()
    maker.make()
    assert len(carried(maker)) == 1


@pytest.mark.parametrize("again", [copy.deepcopy, lambda maker: pickle.loads(pickle.dumps(maker))])
def test_deep_copies_and_pickles_carry_none(again):
    maker = Maker()
    maker.make()
    assert list(carried(again(maker)).values()) == [None]


def test_a_shallow_copy_keeps_the_results_alive_until_it_is_asked_itself():
    maker = Maker()
    reference = weakref.ref(maker.make())
    twin = copy.copy(maker)
    del maker
    gc.collect()
    assert reference() is not None
    twin.make()
    gc.collect()
    assert reference() is None


def test_dataclasses_do_not_see_it():
    @dataclasses.dataclass
    class Report:
        year: int

        @cached
        def total(self):
            return self.year

    asked, other = Report(2025), Report(2025)
    asked.total()
    assert asked == other
    assert repr(asked) == repr(other)
    assert dataclasses.asdict(asked) == {"year": 2025}


def test_who_compares_all_attributes_sees_it():
    class Space(types.SimpleNamespace):
        @cached
        def one(self):
            return 1

    asked, other = Space(year=2025), Space(year=2025)
    assert asked == other
    asked.one()
    assert asked != other


@pytest.mark.parametrize(("slots", "is_carried"), [(("__weakref__",), False), (("__dict__", "__weakref__"), True)])
def test_slots(slots, is_carried):
    class Node:
        __slots__ = slots

        @cached
        def path(self):
            return [self]

        @cached
        def depth(self):
            return 0

    node = Node()
    node.depth()
    assert bool(carried(node) if "__dict__" in slots else {}) is is_carried
    del node
    gc.collect()
    assert Node.depth.cache_info().currsize == 0
    Node().path()
    gc.collect()
    assert Node.path.cache_info().currsize == (0 if is_carried else 1), "what refers to its instance keeps it alive"
