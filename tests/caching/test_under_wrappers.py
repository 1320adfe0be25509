"""A cached function that is a wrapper of another decorator: calls are those of the wrapper, not of what it wraps."""

import asyncio
import functools
import inspect

import pytest

from perfkit.caching import cached


def with_session(function):
    """Pass a session that the caller doesn't."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function("session", *args, **kwargs)

    return wrapper


def with_session_later(function):
    @functools.wraps(function)
    async def wrapper(*args, **kwargs):
        return await function("session", *args, **kwargs)

    return wrapper


def loud(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


@cached
@with_session
def load(session, user=0, *, fields=()):
    return [session, user, fields]


def test_the_caller_need_not_pass_what_the_wrapper_does():
    assert load(5) == ["session", 5, ()]
    assert load(5) is load(5)
    assert load() == ["session", 0, ()]
    assert load(5, fields=("name",)) == ["session", 5, ("name",)]
    assert load(user=5) == load(5)
    assert load.cache_discard(5)
    assert load.cache_key(5, fields=1) == load.cache_key(5, fields=1) != load.cache_key(5)


def test_coroutine_functions():
    @cached
    @with_session_later
    async def fetch(session, user):
        return [session, user]

    async def twice():
        return await fetch(1), await fetch(1)

    one, two = asyncio.run(twice())
    assert one is two
    assert one == ["session", 1]


def test_wrong_calls_raise_the_functions_own_error():
    for wrong in (lambda: load(1, 2), lambda: load(nobody=1)):
        with pytest.raises(TypeError, match=r"load\(\) (takes|got)"):
            wrong()


def test_it_shows_the_signature_it_would_show_without_a_cache():
    assert inspect.signature(load) == inspect.signature(load.__wrapped__)


def test_arguments_without_a_hash_are_named():
    with pytest.raises(TypeError, match=r"load\(\) can't be cached by its argument \*args, a list"):
        load([])
    with pytest.raises(TypeError, match=r"load\(\) can't be cached by its argument fields, a list"):
        load(1, fields=[])


def test_a_wrapper_with_parameters_of_its_own():
    def for_today(function):
        @functools.wraps(function)
        def wrapper(user, *, limit=10):
            return function("today", user, limit)

        return wrapper

    @cached
    @for_today
    def entries(day, user, limit):
        return [day, user, limit]

    assert entries(1) == ["today", 1, 10]
    assert entries(1) is entries(user=1, limit=10)


def test_methods():
    class Report:
        def __init__(self, year):
            self.year = year

        @cached
        @loud
        def page(self, number, style="plain"):
            return [self.year, number, style]

        @cached
        def any(*args, **kwargs):
            return [args[0].year, *args[1:], kwargs]

        @classmethod
        @cached
        @loud
        def name(cls):
            return [cls.__name__]

    this, last = Report(2025), Report(2024)
    assert this.page(1) is this.page(1)
    assert last.page(1) == [2024, 1, "plain"]
    assert this.page(number=1, style="bold") == [2025, 1, "bold"]
    assert this.any(1, self=2) == [2025, 1, {"self": 2}]
    assert this.any(1, self=2) is this.any(1, self=2)
    assert last.any(1) == [2024, 1, {}]
    assert Report.page.cache_discard(this, 1)
    assert this.name() is Report.name()
