"""Failures that are kept take no more room than results may."""

import pytest

from perfkit.caching import cached


def fail(number):
    raise LookupError("nothing there " * 100, number)


def calls(made, numbers):
    for number in numbers:
        with pytest.raises(LookupError):
            made(number)


@pytest.mark.parametrize(("limits", "most"), [({"max_bytes": 50_000}, 34), ({"maxsize": 20}, 20)])
def test_failures_are_bound_as_results_are(limits, most):
    made = cached(error_ttl={LookupError: 60}, **limits)(fail)
    calls(made, range(500))
    kept = made.cache._store.failures.data
    assert 15 < len(kept) <= most
    calls(made, [499])
    assert made.cache.stats().loads == 500, "the last one is kept"


def test_a_failure_that_is_too_large_is_not_kept():
    made = cached(error_ttl={LookupError: 60}, max_bytes=1000)(fail)
    calls(made, [1, 1])
    assert made.cache.stats().loads == 2
