"""`perfkit.cached`: which calls are one call, what becomes of methods, and what is told about it."""

import abc
import copy
import dataclasses
import enum
import functools
import gc
import inspect
import pickle
import sys
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit
from perfkit.caching import cached
from perfkit.testing import FakeClock


@pytest.fixture
def calls():
    return []


# -- functions


def test_a_function_is_called_once_for_the_same_arguments(calls):
    @cached
    def add(a, b=2, *, c=3):
        calls.append((a, b, c))
        return a + b + c

    assert {add(1), add(1, 2), add(1, b=2), add(a=1, b=2), add(b=2, a=1, c=3)} == {6}
    assert calls == [(1, 2, 3)]
    assert add(1, 3) == 7
    assert add.cache_info() == (4, 2, 128, 2)


def test_bare_and_with_brackets():
    for decorate in (cached, cached(), cached(maxsize=3)):
        assert decorate(lambda number: number + 1)(1) == 2


def test_it_looks_like_the_function():
    @cached
    def documented(a: int, /, b: str = "x", *rest: int, key: bool = False, **more: float) -> list[int]:
        """Say what it does."""
        return []

    original = documented.__wrapped__
    assert inspect.signature(documented) == inspect.signature(original)
    assert (documented.__name__, documented.__doc__) == ("documented", "Say what it does.")
    assert documented.__qualname__ == original.__qualname__
    assert documented.__annotations__ == original.__annotations__
    assert inspect.isfunction(documented)
    assert documented.__code__.co_name == "documented"


def positional_only(a, b=1, /):
    return a, b


def keyword_only(*, a, b=2):
    return a, b


def starred(a, *rest, b=3, **more):
    return a, rest, b, more


def everything(a, /, b, c=4, *rest, d, e=5, **more):
    return a, b, c, rest, d, e, more


def of_our_names(self, key, fn, entry, find, now, miss, _perfkit_key, __perfkit_entry, tuple=3, args=5, kwargs=6):  # noqa: A002
    return self, key, fn, entry, find, now, miss, _perfkit_key, __perfkit_entry, tuple, args, kwargs


def nothing():
    return ()


SHAPES = [positional_only, keyword_only, starred, everything, of_our_names, nothing]
arguments = st.lists(st.integers(0, 2), max_size=8)
keywords = st.dictionaries(
    st.sampled_from(["a", "b", "c", "d", "e", "rest", "more", "tuple", "self", "now", "x"]),
    st.integers(0, 2),
    max_size=4,
)


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("function", SHAPES, ids=lambda function: function.__name__)
@given(calls=st.lists(st.tuples(arguments, keywords), max_size=6))
def test_every_kind_of_parameter(function, typed, calls):
    """A call returns what the function returns or raises the TypeError it raises, and is one call with its equals."""
    made = cached(function, typed=typed)
    different = set()
    for args, kwargs in calls:
        expected = outcome(function, args, kwargs)
        assert outcome(made, args, kwargs) == expected
        if not isinstance(expected, str):
            different.add(repr(meaning(function, args, kwargs)))
    assert made.cache_info().misses == len(different)


def outcome(function, args, kwargs):
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        return str(error)


def meaning(function, args, kwargs):
    """Return what a call means, the same for all that mean the same."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return [sorted(value.items()) if isinstance(value, dict) else value for value in bound.arguments.values()]


def test_typed_tells_equal_arguments_of_different_types_apart():
    @cached(typed=True)
    def kind(a, *rest, **more):
        return [type(a), *map(type, rest), *map(type, more.values())]

    @cached
    def untyped(a):
        return type(a)

    assert [kind(1), kind(1.0), kind(True)] == [[int], [float], [bool]]
    assert kind(1, 1, x=1) != kind(1, 1.0, x=1) != kind(1, 1.0, x=1.0)
    assert untyped(1) is untyped(1.0) is int


def test_a_key_of_ones_own(calls):
    @cached(key=lambda request, *, verbose=False: request["path"])
    def fetch(request, *, verbose=False):
        calls.append(request)
        return len(calls)

    assert fetch({"path": "/a", "id": 1}) == fetch({"path": "/a", "id": 2}, verbose=True) == 1
    assert fetch({"path": "/b"}) == 2
    assert fetch.cache_key({"path": "/c"}) == "/c"


def test_arguments_without_a_hash_are_named():
    @cached
    def total(numbers, start=0, *more, scale=1):
        return sum(numbers) * scale + start

    for bad, name in [
        (lambda: total([1]), "numbers"),
        (lambda: total(1, {}), "start"),
        (lambda: total(1, scale=[]), "scale"),
    ]:
        with pytest.raises(TypeError, match=rf"argument {name}.*key="):
            bad()
    assert total((1, 2)) == 3


def test_a_type_error_of_a_keys_own_is_its_own():
    class Odd:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            raise TypeError("I don't compare")

    made = cached(lambda thing: 1)
    made(Odd())
    with pytest.raises(TypeError, match="I don't compare"):
        made(Odd())


def test_none_is_a_value(calls):
    @cached
    def nothing(number):
        calls.append(number)

    assert [nothing(1), nothing(1)] == [None, None]
    assert calls == [1]


def test_recursion():
    @cached(maxsize=None)
    def fibonacci(number):
        return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

    assert fibonacci(80) == 23416728348467685
    assert fibonacci.cache_info().misses == 81


def test_recursion_is_as_deep_as_with_functools():
    """Each level takes the function's frame and the wrapper's, and nothing else."""

    def make(decorate):
        @decorate(maxsize=None)
        def down(number):
            return sys._getframe() if number == 0 else down(number - 1)

        return down

    def frames(function, depth=0):
        frame = function(50)
        while frame := frame.f_back:
            depth += 1
        return depth

    assert frames(make(cached)) == frames(make(functools.lru_cache)) + 51


def test_a_function_that_calls_itself_with_the_same_arguments_ends_as_without_a_cache():
    @cached
    def endless(number):
        return endless(number)

    with pytest.raises(RecursionError):
        endless(1)
    assert endless.cache_info().currsize == 0


def test_other_callables():
    class Doubler:
        def __call__(self, number):
            return number * 2

    assert cached(Doubler())(2) == 4
    assert cached(functools.partial(pow, 2))(3) == 8
    assert cached(max)(1, 5) == 5
    assert cached(len)("abc") == 3
    made = cached(maxsize=2)(str.upper)
    assert [made("a"), made("a")] == ["A", "A"]


def test_exceptions_are_not_kept(calls):
    @cached
    def fail(number):
        calls.append(number)
        raise KeyError(number)

    for _ in range(2):
        with pytest.raises(KeyError):
            fail(1)
    assert (calls, fail.cache_info().currsize, fail.cache.stats().load_failures) == ([1, 1], 0, 2)


# -- what one asks of it


def test_the_functions_of_functools(calls):
    @cached(maxsize=2, typed=True)
    def square(number):
        calls.append(number)
        return number * number

    [square(number) for number in (1, 2, 1, 1)]
    assert square.cache_info() == (2, 2, 2, 2)
    assert square.cache_parameters()["maxsize"] == 2
    assert square.cache_parameters()["typed"] is True
    square.cache_clear()
    assert square.cache_info() == (0, 0, 2, 0)
    assert square(1) == 1
    assert calls == [1, 2, 1]


def test_discarding_one_call(calls):
    @cached
    def square(number, *, power=2):
        calls.append(number)
        return number**power

    square(1), square(2), square(3, power=3)
    assert square.cache_discard(2) is True
    assert square.cache_discard(2) is False
    assert square.cache_discard(3, power=3) is True
    assert square.cache_discard(number=1) is True
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        square.cache_discard()


def test_the_cache_itself_is_at_hand():
    @cached(maxsize=10)
    def square(number):
        return number * number

    square(3)
    assert square.cache[3] == 9
    square.cache[4] = 17
    assert square(4) == 17
    assert square.cache.name == square.cache.stats().name == f"{__name__}.{square.__qualname__}"
    for put in (square.cache.put, lambda *entry, ttl: square.cache.get_or_load(entry[0], lambda: 1, ttl=ttl)):
        with pytest.raises(ValueError, match="ttl="):
            put(5, 1, ttl=3)
    assert 5 not in square.cache


def test_a_dump_with_lives_is_not_for_a_function_without(tmp_path):
    other = perfkit.FrequencyBoostLRU(10)
    other.put(1, "mortal", ttl=100)
    other[2] = "immortal"
    other.dump(tmp_path / "dump")
    function = cached(lambda key: "computed")
    assert function.cache.warm(tmp_path / "dump") == 1
    assert [function(1), function(2)] == ["computed", "immortal"]


def test_stats_has_one_line_a_function():
    @cached
    def only(number):
        return number

    only(1), only(1)
    (snapshot,) = [one for one in perfkit.stats() if one.name == only.cache.name]
    assert (snapshot.part, snapshot.stats.hits, snapshot.stats.loads) == ("caching", 1, 1)
    assert snapshot.stats.load_time.count == 1


def test_a_function_that_is_gone_leaves_nothing():
    made = cached(lambda number: number)
    made(1)
    reference = weakref.ref(made)
    del made
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("maxsize", [0, 1, 5, None, float("inf")])
def test_maxsize(maxsize, calls):
    @cached(maxsize=maxsize)
    def square(number):
        calls.append(number)
        return number * number

    for _ in range(2):
        assert [square(number) for number in range(20)] == [number * number for number in range(20)]
    assert square.cache_info().currsize == min(20, 20 if maxsize is None else maxsize)


def test_max_bytes():
    @cached(max_bytes="100kB")
    def page(number):
        return bytes(10_000)

    [page(number) for number in range(50)]
    assert 5 <= page.cache_info().currsize < 10
    assert page.cache.stats().bytes <= 100_000
    assert page.cache_info().maxsize is None


def test_values_too_large_to_keep_are_returned():
    @cached(max_bytes=1000)
    def page(number):
        return bytes(number)

    assert [len(page(2000)), len(page(2000))] == [2000, 2000]
    assert page.cache_info().currsize == 0


def test_cache_if(calls):
    @cached(cache_if=lambda value: value is not None)
    def look_up(number):
        calls.append(number)
        return number if number > 1 else None

    assert [look_up(number) for number in (1, 1, 2, 2)] == [None, None, 2, 2]
    assert calls == [1, 1, 2]


def test_tags():
    @cached(tags=lambda user, page: [f"user:{user}"])
    def render(user, page):
        return object()

    @cached(tags=["all"])
    def other(number):
        return object()

    first, second = render(1, "a"), render(2, "a")
    assert render.cache.invalidate(tag="user:1") == 1
    assert render(1, "a") is not first
    assert render(2, "a") is second
    one = other(1)
    other.cache.invalidate(tag="all")
    assert other(1) is not one


def test_on_evict():
    gone = []

    @cached(maxsize=1, on_evict=lambda *evicted: gone.append(evicted))
    def square(number):
        return number * number

    square(2), square(3)
    assert gone == [(2, 4, "size")]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"maxsize": -1}, "maxsize must be 0 or more"),
        ({"maxsize": "big"}, "maxsize must be a number"),
        ({"ttl": 0}, "ttl must be more than 0"),
        ({"ttl": -5}, "ttl must be more than 0"),
        ({"key": "path"}, "key must be a function"),
        ({"cache_if": True}, "cache_if must be a function"),
        ({"on_evict": 3}, "on_evict must be a function"),
        ({"jitter": 0.1}, "jitter needs a ttl"),
        ({"refresh_ahead": 0.5}, "refresh_ahead needs a ttl"),
        ({"stale_if_error": 5}, "stale_if_error needs a ttl"),
        ({"ttl": 5, "refresh_ahead": 2}, "refresh_ahead must be a fraction"),
        ({"ttl": 5, "stale_if_error": 0}, "stale_if_error must be more than 0"),
        ({"error_ttl": {TimeoutError: 0}}, "error_ttl.TimeoutError. must be more than 0"),
        ({"error_ttl": {KeyboardInterrupt: 1}}, "subclasses of Exception"),
        ({"error_ttl": 5}, "error_ttl must be a dict"),
        ({"tags": "users"}, "tags must be an iterable of strings"),
        ({"max_bytes": "lots"}, "max_bytes must be"),
        ({"timer": 5}, "timer must be a function"),
    ],
)
def test_bad_configuration_fails_when_decorating(options, says):
    with pytest.raises((TypeError, ValueError), match=says):
        cached(**options)


def test_what_cannot_be_decorated():
    with pytest.raises(TypeError, match=r"maxsize=100"):
        cached(100)

    with pytest.raises(TypeError, match="class"):
        cached(dict)

    def generate():
        yield 1

    async def generate_later():
        yield 1

    for generator in (generate, generate_later):
        with pytest.raises(TypeError, match="generator"):
            cached(generator)


# -- methods


class Plain:
    def __init__(self, factor):
        self.factor = factor

    @cached
    def times(self, number, *, plus=0):
        return [self, self.factor * number + plus]

    @cached(maxsize=2)
    def few(self, number):
        return [number]


class Sub(Plain):
    @cached
    def times(self, number, *, plus=0):
        return [*super().times(number, plus=plus), "sub"]


class Unhashable(Plain):
    __hash__ = None

    def __eq__(self, other):
        return True


class Slotted:
    __slots__ = ("factor",)

    def __init__(self, factor):
        self.factor = factor

    @cached
    def times(self, number, *, plus=0):
        return [self.factor * number + plus]


class WeakSlotted(Slotted):
    __slots__ = ("__weakref__",)


@dataclasses.dataclass(frozen=True)
class Frozen:
    factor: int

    @cached
    def times(self, number, *, plus=0):
        return [self, self.factor * number + plus]


@dataclasses.dataclass(slots=True, weakref_slot=True)
class FrozenSlotted:
    factor: int

    @cached
    def times(self, number, *, plus=0):
        return [self.factor * number + plus]


class WithGetattr(Plain):
    def __getattr__(self, name):
        raise AttributeError(name)


KINDS = [Plain, Sub, Unhashable, WeakSlotted, Frozen, FrozenSlotted, WithGetattr]


@pytest.mark.parametrize("kind", KINDS)
def test_each_instance_has_its_own(kind):
    one, two = kind(2), kind(2)
    first = one.times(3)
    assert one.times(3) is one.times(number=3, plus=0) is first
    assert two.times(3) is not first
    assert first[-1 if kind is not Sub else 1] == 6
    assert kind.times(one, 3) is first


@pytest.mark.parametrize("kind", KINDS)
def test_the_class_speaks_for_all_instances(kind):
    kind.times.cache_clear()
    one, two = kind(2), kind(3)
    one.times(1), one.times(1), two.times(1)
    assert kind.times.cache_info() == (1, 2, 128, 2)
    assert kind.times.cache_discard(one, 1) is True
    assert kind.times.cache_discard(one, 1) is False
    assert kind.times.cache_info().currsize == 1
    del one, two
    gc.collect()
    assert kind.times.cache_info() == (1, 2, 128, 0)
    kind.times.cache_clear()
    assert kind.times.cache_info() == (0, 0, 128, 0)


@pytest.mark.parametrize("kind", KINDS)
def test_instances_die_though_their_values_refer_to_them(kind):
    one = kind(2)
    one.times(1)
    reference = weakref.ref(one)
    del one
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("kind", [Slotted, FrozenSlotted, WeakSlotted])
def test_identities_are_used_again_and_nothing_is_confused(kind):
    for factor in range(200):
        one = kind(factor)
        assert one.times(2) == [factor * 2]
        del one
    assert kind.times.cache_info().currsize == 0


def test_a_finaliser_of_ones_own_is_called_too():
    ended = []

    class Ending:
        __slots__ = ()

        def __del__(self):
            ended.append(True)

        @cached
        def one(self):
            return 1

    class Below(Ending):
        __slots__ = ()

    for kind in (Ending, Below, Below):
        thing = kind()
        thing.one()
        del thing
    assert len(ended) == 3
    assert Ending.one.cache_info().currsize == 0


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("kind", KINDS)
def test_copies_begin_with_nothing_and_share_nothing(kind, again):
    one = kind(2)
    first = one.times(3)
    two = again(one)
    assert two.times(3) is not first
    assert two.times(3) is two.times(3)
    assert one.times(3) is first
    three = again(two)
    assert three.times(3) is not two.times(3)
    if kind in (Plain, Sub, Frozen):
        assert three.times(3)[0] is three


def test_each_instance_has_its_own_bound():
    one, two = Plain(1), Plain(2)
    for number in range(10):
        one.few(number), two.few(number)
    assert Plain.few.cache_info().currsize == 4


def test_class_methods_and_static_methods_above_and_below(calls):
    class Both:
        @cached
        @classmethod
        def above(cls, number):
            return [cls, number]

        @classmethod
        @cached
        def below(cls, number):
            return [cls, number]

        @cached
        @staticmethod
        def static_above(number):
            return [number]

        @staticmethod
        @cached
        def static_below(number):
            return [number]

    class Derived(Both):
        pass

    for kind in (Both, Derived):
        for name in ("above", "below"):
            method = getattr(kind, name)
            assert method(1) is method(number=1) is getattr(kind(), name)(1)
            assert method(1)[0] is kind
    for name in ("static_above", "static_below"):
        assert getattr(Both, name)(1) is getattr(Derived(), name)(number=1)
        assert getattr(Both, name).cache_info().misses == 1
    assert Both.above.cache_info().currsize == Both.below.cache_info().currsize == 2


def test_under_another_decorator():
    def loud(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    class Thing:
        @loud
        @cached
        def one(self, number):
            return [self, number]

        @property
        @cached
        def size(self):
            return [self]

    thing, other = Thing(), Thing()
    assert thing.one(1) is thing.one(1)
    assert other.one(1)[0] is other
    assert thing.size is thing.size
    assert other.size[0] is other
    reference = weakref.ref(thing)
    del thing
    gc.collect()
    assert reference() is None


def test_a_method_of_a_class_in_a_function_is_a_method_and_a_function_in_a_method_is_none():
    class Local:
        def outer(self):
            @cached
            def inner(number):
                return [number]

            return inner

        @cached
        def method(self, number):
            return [self, number]

    inner = Local().outer()
    assert inner(1) is inner(1)
    assert inspect.isfunction(Local.method)
    assert Local().method(1)[0] is not Local().method(1)[0]


class Colour(enum.Enum):
    RED = 1

    @cached
    def shades(self, number):
        return [self, number]


class Meta(type):
    @cached
    def names(cls, number):
        return [cls, number]


class Made(metaclass=Meta):
    pass


@pytest.mark.parametrize("method", [Colour.RED.shades, Made.names])
def test_classes_of_a_special_kind(method):
    assert method(1) is method(number=1)
    assert method(1) is not method(2)


def test_discarding_says_whose_it_is():
    one = Plain(2)
    one.times(3)
    for wrong in (lambda: one.times.cache_discard(3), Plain.times.cache_discard):
        with pytest.raises(TypeError, match=r"takes the instance first: Plain\.times\.cache_discard"):
            wrong()
    with pytest.raises(TypeError, match=r"times\(\) missing 1 required positional argument: 'number'"):
        Plain.times.cache_discard(one)
    assert Plain.times.cache_discard(one, 3)


def test_tags_of_methods():
    class Shop:
        @cached(tags=lambda self, article: [f"article:{article}"])
        def price(self, article):
            return [article]

    one, two = Shop(), Shop()
    first = one.price("bolt")
    two.price("bolt"), two.price("nut")
    assert Shop.price.cache_invalidate(tag="article:bolt") == 2
    assert one.price("bolt") is not first


def test_a_coroutine_is_not_kept():
    async def later():
        return 1

    def forgets_to_await():
        return later()

    made = cached(forgets_to_await)
    with pytest.raises(TypeError, match="awaited only once: make the function an async def"):
        made()
    cache = perfkit.FrequencyBoostLRU(10)
    with pytest.raises(TypeError, match="aget_or_load"):
        cache.get_or_load("a", later)
    with pytest.raises(TypeError, match="loader must be a function"):
        cache.get_or_load("a", 5)
    assert len(cache) == 0


def test_a_key_without_a_hash_is_said_to_be_the_keys_fault():
    @cached(key=lambda numbers: [*numbers])
    def made(numbers):
        return sum(numbers)

    with pytest.raises(TypeError, match=r"key= of .* returned a list, which has no hash"):
        made((1, 2))


@pytest.mark.parametrize("tags", [lambda key: None, lambda key: "one", lambda key: [1]])
def test_tags_that_are_none_are_refused(tags):
    made = cached(tags=tags)(lambda key: key)
    with pytest.raises(TypeError, match="tags must be"):
        made(1)


def test_abstract_methods_stay_abstract():
    class Base(abc.ABC):
        @cached
        @abc.abstractmethod
        def one(self):
            """Return something."""

    class Derived(Base):
        @cached
        def one(self):
            return [self]

    with pytest.raises(TypeError, match="abstract"):
        Base()
    thing = Derived()
    assert thing.one() is thing.one()


def test_partial_methods_of_a_cached_method():
    class Thing:
        @cached
        def add(self, one, two):
            return [one + two]

        increment = functools.partialmethod(add, 1)

    thing = Thing()
    assert thing.increment(2) is thing.add(1, 2)


def test_methods_are_in_stats_once():
    class Counted:
        @cached(ttl=100)
        def one(self, number):
            return number

    things = [Counted() for _ in range(5)]
    [thing.one(1) for thing in things for _ in range(2)]
    (snapshot,) = [one for one in perfkit.stats() if one.name.endswith("Counted.one")]
    assert (snapshot.stats.hits, snapshot.stats.misses, snapshot.stats.size, snapshot.stats.loads) == (5, 5, 5, 5)


def test_a_method_keeps_to_its_ttl():
    clock = FakeClock()

    class Timed:
        @cached(ttl=5, timer=clock)
        def one(self):
            return object()

    thing = Timed()
    first = thing.one()
    clock.advance(4)
    assert thing.one() is first
    clock.advance(1)
    assert thing.one() is not first
    assert Timed.one.cache_info() == (1, 2, 128, 1)
