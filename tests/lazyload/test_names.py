"""Module names, held against importlib's own reading of them."""

from importlib.util import resolve_name

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.lazyload.names import absolute, check, is_absence_of

words = st.from_regex(r"[a-z]{1,3}", fullmatch=True)
dotted = st.lists(words, min_size=1, max_size=4).map(".".join)


@given(dotted, st.one_of(st.just(""), dotted), st.integers(1, 5))
def test_relative_names_mean_what_importlib_says(package, name, level):
    try:
        expected = resolve_name("." * level + name, package)
    except ImportError:
        with pytest.raises(ImportError, match="beyond top-level package"):
            absolute(name, level, package)
    else:
        assert absolute(name, level, package) == expected.rstrip(".")


def test_outside_of_a_package_nothing_is_relative():
    with pytest.raises(ImportError):
        absolute("name", 1, "")
    assert absolute("name.sub", 0, "") == "name.sub"


@given(dotted)
def test_names_that_can_exist(name):
    check(name)


@given(dotted, dotted)
def test_an_absence_is_of_a_module_or_of_what_it_is_in(name, other):
    assert is_absence_of(f"{name}.{other}", name)
    assert is_absence_of(name, name)
    assert not is_absence_of(name, f"{name}.{other}")
    assert not is_absence_of(f"{name}x", name)
    assert not is_absence_of(name, None)
