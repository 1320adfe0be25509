"""What ``-X importtime`` prints becomes the tree it was printed from."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from perfkit.lazyload.importtime import Import, cost, every, inclusive, parse, split, without


def node(children):
    return st.builds(
        lambda name, own, below: Import(name, own / 1e6, own / 1e6 + 1, tuple(below)),
        st.from_regex(r"[a-z]{1,4}(\.[a-z]{1,3})?", fullmatch=True),
        st.integers(0, 10**9),
        children,
    )


trees = st.lists(
    st.recursive(node(st.just([])), lambda below: node(st.lists(below, max_size=3)), max_leaves=12), max_size=4
)


def printed(imports, depth=0):
    """Print a tree as CPython does: what is imported below a module comes before it."""
    for each in imports:
        yield from printed(each.children, depth + 1)
        own, cumulative = round(each.own * 1e6), round(each.cumulative * 1e6)
        yield f"import time: {own:9} | {cumulative:10} | {'  ' * depth}{each.name}\n"


@given(trees)
def test_a_tree_comes_back(imports):
    head = "import time: self [us] | cumulative | imported package\n"
    other = "import time: cached    | cached     |   sys\n"  # of -X importtime=2
    found = parse([head, "something the program said\n", *printed(imports), other])
    assert [shape(each) for each in found] == [shape(each) for each in imports]


def shape(each):
    return each.name, round(each.own * 1e6), round(each.cumulative * 1e6), [shape(child) for child in each.children]


def test_what_an_import_that_never_ended_had_imported_comes_last():
    lines = list(printed([Import("a", 1e-6, 1e-6), Import("whole", 1e-6, 2e-6)]))
    lines += ["import time:         5 |          5 |     inner\n"]
    assert [each.name for each in parse(lines)] == ["a", "whole", "inner"]


def test_the_programs_own_words_are_kept_apart():
    assert split("half a lineimport time:  1 |  1 | a\n") == ("half a line", "import time:  1 |  1 | a\n")
    assert split("words\n") == ("words\n", "")


TREE = (
    Import("app", 0.0, 3.0, (Import("pandas.core", 0.1, 2.0, (Import("numpy", 1.0, 1.0),)),)),
    Import("pandas", 0.5, 0.5),
)


def test_a_module_costs_what_its_packages_cost_and_nothing_twice():
    assert cost(TREE, "pandas.core") == 2.5
    assert cost(TREE, "numpy") == 1.0
    assert cost(TREE, "app.main") == 3.0
    assert cost(TREE, "nothing") == 0


def test_what_perfkit_takes_is_not_charged():
    perfkit = Import("perfkit", 1.0, 1.5, (Import("importlib", 0.5, 0.5),))
    tree = (Import("lib", 0.25, 2.0, (perfkit, Import("other", 0.25, 0.25))),)
    assert cost(tree, "lib") == 2.0
    assert cost(tree, "lib", ours={"perfkit", "importlib"}) == 0.5
    assert cost(tree, "lib", ours={"perfkit", "importlib"}, stubbed=["lib"]) == 0.25


def test_memory_is_no_less_than_that_of_what_is_below():
    brought = {"app": 5, "pandas.core": 1, "numpy": 7, "pandas": 3}
    assert inclusive(TREE, brought) == {"app": 7, "pandas.core": 7, "numpy": 7, "pandas": 3}
    assert inclusive(TREE, {"numpy": 7}) == {"numpy": 7}


def test_what_python_starts_with_is_left_out():
    assert [each.name for each in every(without(TREE, {"pandas"}))] == ["app", "pandas.core", "numpy"]


def test_what_another_process_imports_again_is_left_out():
    again = Import("pandas", 9.0, 9.0)
    assert without((*TREE, again), set()) == TREE


def test_the_real_thing():
    command = [sys.executable, "-X", "importtime", "-c", "import email.message"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {each.name: each for each in every(parse(done.stderr.splitlines(keepends=True)))}
    assert "email.utils" in [each.name for each in found["email.message"].children]
    assert found["email.message"].cumulative >= found["email.utils"].cumulative >= found["email.utils"].own
