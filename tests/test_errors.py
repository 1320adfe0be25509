"""The error tree is the one drawn in the docstring of ``perfkit.errors``, and errors travel whole."""

import copy
import importlib
import inspect
import pickle
import re
from pathlib import Path

import pytest

import perfkit
from perfkit import errors

DRAWN = re.compile(
    r"^ {4}(?P<branch>[ │├└─]*)(?P<name>[A-Z]\w+) *(?:\((?P<builtins>[\w., ]+)\))?(?: *(?P<what>\S.*))?$"
)
SAMPLES = {
    str: "sample",
    int: 7,
    float: 1.5,
    tuple[str, ...]: ("ada@example.com",),
    dict[str, tuple[int, str]]: {"ada@example.com": (550, "nobody")},
}


def drawing() -> dict[str, tuple[str | None, list[str]]]:
    """Return what the docstring draws: name -> (the name above it, the builtins in parentheses)."""
    tree: dict[str, tuple[str | None, list[str]]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := DRAWN.match(line):
            depth = len(match["branch"]) // 4
            builtins = match["builtins"].split(", ") if match["builtins"] else []
            tree[match["name"]] = (above[depth - 1] if depth else None, builtins)
            above[depth:] = [match["name"]]
    return tree


def classes(root: type[BaseException] = errors.PerfkitError) -> list[type[BaseException]]:
    """Return every class of the tree that perfkit itself defines, all parts loaded."""
    for path in Path(perfkit.__file__).parent.glob("*/*errors.py"):
        importlib.import_module(f"perfkit.{path.parent.name}.{path.stem}")
    below = [cls for cls in root.__subclasses__() if cls.__module__.startswith("perfkit.")]
    return [root, *(found for cls in below for found in classes(cls))]


TREE = drawing()
CLASSES = {cls.__name__: cls for cls in classes()}


def facts_of(cls: type[BaseException]) -> dict[str, object]:
    """Return a value for each attribute that the class and those above it declare."""
    declared = [inspect.get_annotations(base, eval_str=True) for base in cls.__mro__]
    return {name: SAMPLES[kind] for names in declared for name, kind in names.items()}


def test_the_drawing_has_every_class_and_no_other():
    assert TREE["PerfkitError"] == (None, [])
    assert sorted(TREE) == sorted(CLASSES) == sorted(errors.__all__)
    assert set(TREE) <= set(dir(errors))


@pytest.mark.parametrize("name", TREE)
def test_a_class_stands_where_it_is_drawn(name):
    cls = getattr(errors, name)
    above, builtins = TREE[name]
    bases = [CLASSES[above] if above else Exception, *map(_builtin, builtins)]
    assert cls is CLASSES[name]
    assert list(cls.__bases__) == bases


@pytest.mark.parametrize("name", TREE)
def test_an_error_explains_itself(name):
    assert CLASSES[name].__dict__["__doc__"].strip()


@pytest.mark.parametrize("name", TREE)
def test_the_builtin_that_callers_catch_catches_it(name):
    for builtin in TREE[name][1]:
        with pytest.raises(_builtin(builtin)):
            raise CLASSES[name]("message", **facts_of(CLASSES[name]))


def pickled(protocol):
    return lambda error: pickle.loads(pickle.dumps(error, protocol))


@pytest.mark.parametrize("travel", [copy.copy, copy.deepcopy, *map(pickled, range(pickle.HIGHEST_PROTOCOL + 1))])
@pytest.mark.parametrize("name", TREE)
def test_an_error_travels_whole(name, travel):
    error = CLASSES[name]("what happened: 100 %", **facts_of(CLASSES[name]))
    error.add_note("a note")
    back = travel(error)
    assert type(back) is type(error)
    assert str(back) == "what happened: 100 %"
    assert back.args == error.args
    assert vars(back) == vars(error) == facts_of(CLASSES[name]) | {"__notes__": ["a note"]}


def test_facts_are_attributes():
    error = errors.StateFileConflict("message", path="/data/state.json", base="one", current="two")
    assert (error.path, error.base, error.current) == ("/data/state.json", "one", "two")


def test_a_drawing_that_is_wrong_is_seen(monkeypatch):
    monkeypatch.setattr(errors, "__doc__", errors.__doc__.replace("(TimeoutError)", "(OSError)"))
    assert drawing()["StateFileTimeout"] == ("StateFileError", ["OSError"])
    assert drawing() != TREE


def _builtin(name: str) -> type[BaseException]:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module or "builtins"), attribute)
