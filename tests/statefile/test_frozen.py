"""Views refuse every mutation that a list or dict has, and are a list or dict for all else."""

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.statefile.frozen import FrozenDict, FrozenList, freeze, thaw

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)
CHANGES = {
    "dict": {
        "__setitem__": ("a", 1),
        "__delitem__": ("a",),
        "__ior__": ({"b": 1},),
        "clear": (),
        "pop": ("a",),
        "popitem": (),
        "setdefault": ("b", 1),
        "update": ({"b": 1},),
    },
    "list": {
        "__setitem__": (0, 1),
        "__delitem__": (0,),
        "__iadd__": ([1],),
        "__imul__": (2,),
        "append": (1,),
        "clear": (),
        "extend": ([1],),
        "insert": (0, 1),
        "pop": (),
        "remove": (3,),
        "reverse": (),
        "sort": (),
    },
}
HARMLESS = {"__init__", "__getattribute__", "__setattr__", "__delattr__", "__init_subclass__", "__new__", "__class__"}


@pytest.mark.parametrize(
    ("kind", "method", "arguments"),
    [(kind, method, arguments) for kind, methods in CHANGES.items() for method, arguments in methods.items()],
)
def test_every_change_is_refused_with_advice(kind, method, arguments):
    view = freeze({"a": 1} if kind == "dict" else [3, 1, 2])
    before = thaw(view)
    with pytest.raises(TypeError, match="edit"):
        getattr(view, method)(*arguments)
    assert view == before


@pytest.mark.parametrize("kind", [dict, list])
def test_no_method_that_changes_is_missing_above(kind):
    """Find the mutators by trying: each method of the builtin, on an ordinary object, with arguments that may fit."""
    changing = set()
    for name in set(dir(kind)) - HARMLESS:
        for arguments in [(), (0,), ("a",), (0, 1), ("a", 1), ([5],), ({"b": 1},), (2,), (3,)]:
            plain = {"a": 1} if kind is dict else [3, 1, 2]
            before = copy.deepcopy(plain)
            try:
                getattr(plain, name)(*arguments)
            except Exception:
                continue
            if plain != before:
                changing.add(name)
    assert changing == set(CHANGES[kind.__name__])


@given(JSON)
def test_a_view_is_what_it_was_made_of(document):
    view = freeze(document)
    assert view == document
    assert json.dumps(view) == json.dumps(document)
    for twin in (thaw(view), copy.deepcopy(view), pickle.loads(pickle.dumps(view))):
        assert twin == document
        assert not frozen_parts(twin)
    if isinstance(document, (dict, list)):
        assert isinstance(view, type(document))
        assert plain_parts(view) == []


def parts(tree):
    yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from parts(child)


def frozen_parts(tree):
    return [part for part in parts(tree) if isinstance(part, (FrozenDict, FrozenList))]


def plain_parts(tree):
    return [part for part in parts(tree) if type(part) in (dict, list)]


def test_copies_and_operators_give_ordinary_containers():
    mapping, sequence = freeze({"a": 1}), freeze([1, 2])
    made = [mapping.copy(), copy.copy(mapping), mapping | {"b": 2}, {**mapping}, dict(mapping)]
    assert {type(each) for each in made} == {dict}
    made = [sequence.copy(), copy.copy(sequence), sequence.__add__([3]), sequence * 2, sequence[:], [*sequence]]
    assert {type(each) for each in made} == {list}


def test_depth_is_no_limit():
    document = inner = []
    for _ in range(50_000):
        inner.append([])
        inner = inner[0]
    view, depth = freeze(document), 0
    walked = thaw(view)
    while walked:
        walked, depth = walked[0], depth + 1
    assert depth == 50_000
    while document:  # or taking them apart would need the stack that they are deeper than
        document = document.pop()
    while view:
        view = view[0]
