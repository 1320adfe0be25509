"""packed() and unpacked(): what goes in comes out, and nothing else does."""

import math
import pickle
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit import errors, packed, unpacked
from perfkit.sqlite import packable

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-5, minutes=-30))))
)
HASHABLE = st.recursive(SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    HASHABLE | st.sets(HASHABLE, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(HASHABLE, inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=20,
)


def same(one, other):
    """Equal, and of equal types all the way down."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return all(map(same, one, other))
    return True


@given(VALUES)
def test_what_goes_in_comes_out(value):
    assert same(unpacked(packed(value)), value)


def test_odd_floats():
    assert math.isnan(unpacked(packed(math.nan)))
    assert unpacked(packed([math.inf, -0.0])) == [math.inf, 0.0]
    assert math.copysign(1, unpacked(packed(-0.0))) == -1


def test_whatever_is_like_bytes_comes_back_as_bytes():
    assert unpacked(packed([bytearray(b"a"), memoryview(b"b")])) == [b"a", b"b"]
    assert unpacked(memoryview(packed("text"))) == "text"


def test_null_is_none():
    assert unpacked(None) is None


@given(st.binary(max_size=60))
def test_no_bytes_do_harm(data):
    try:
        unpacked(data)
    except errors.UnpackError:
        pass


@given(VALUES, st.data())
def test_bytes_that_were_cut_are_refused(value, data):
    whole = packed(value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(errors.UnpackError):
        unpacked(whole[:cut])
    with pytest.raises(errors.UnpackError):
        unpacked(whole + b"\x00")


@pytest.mark.parametrize("data", ["text", 5, 1.5, ["x"]])
def test_unpacked_takes_bytes(data):
    with pytest.raises(TypeError, match="bytes that packed"):
        unpacked(data)


def test_pickles_are_never_loaded():
    with pytest.raises(errors.UnpackError):
        unpacked(pickle.dumps(print))
    with pytest.raises(errors.UnpackError, match="unknown"):
        unpacked(msgpack.packb(msgpack.ExtType(99, pickle.dumps(print))))


class Other:
    pass


class Text(str):
    """A subclass, which would come back as something else."""


REFUSED = {
    "object": (Other(), "the value"),
    "in a list": ([1, Other()], "the value[1]"),
    "in a dict": ({"a": {"b": Other()}}, "the value['a']['b']"),
    "a key": ({Other: 1}, "the value, key"),
    "a subclass": ({"a": Text("x")}, "the value['a']"),
    "a surrogate": (["\ud800"], "the value[0]"),
    "a complex": (1j, "the value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_form_is_named(case):
    value, where = REFUSED[case]
    with pytest.raises(errors.PackError) as caught:
        packed(value)
    assert caught.value.where.startswith(where)
    assert isinstance(caught.value, TypeError)


def test_what_is_in_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(errors.PackError):
        packed(value)
    deep = ()
    for _ in range(500):
        deep = (deep,)
    with pytest.raises(errors.PackError):
        packed(deep)


@packable
@dataclass(frozen=True)
class Memory:
    text: str
    tags: tuple = ()
    hash: int = field(init=False, default=0)

    def __post_init__(self):
        object.__setattr__(self, "hash", len(self.text))


def test_dataclasses_that_are_registered():
    memory = Memory("orbit", ("a", "b"))
    assert unpacked(packed({"m": [memory]})) == {"m": [memory]}


def test_dataclasses_that_are_not():
    @dataclass
    class Unknown:
        x: int

    with pytest.raises(errors.PackError, match="packable"):
        packed(Unknown(1))


def test_a_dataclass_may_change():
    @packable(name="grows")
    @dataclass
    class First:
        x: int

    stored = packed(First(1))

    @dataclass
    class Second:
        x: int
        y: int = 7

    with pytest.raises(ValueError, match="already"):
        packable(name="grows")(Second)
    Second.__qualname__ = First.__qualname__
    packable(name="grows")(Second)
    assert unpacked(stored) == Second(1, 7)
    newer = packed(Second(1, 2))
    packable(name="grows")(First)
    with pytest.raises(errors.UnpackError, match="no field y"):
        unpacked(newer)
    with pytest.raises(errors.UnpackError, match="not registered"):
        unpacked(newer.replace(b"grows", b"never"))


@pytest.mark.parametrize("thing", [int, 5, Other, lambda: None])
def test_packable_is_for_dataclasses(thing):
    with pytest.raises(TypeError, match="dataclasses"):
        packable(thing)


def test_dates():
    assert unpacked(packed(date(1, 1, 1))) == date(1, 1, 1)
    moment = datetime(2024, 10, 27, 2, 30, fold=1)
    assert unpacked(packed(moment)).fold == 1


@pytest.mark.parametrize("depth", [65, 200, 20_000])
def test_nested_forms_end_in_an_error_not_in_the_process(depth):
    data = b"\xc0"
    for _ in range(depth):
        data = b"\xc9" + len(data).to_bytes(4, "big") + b"\x01" + data
    with pytest.raises(errors.UnpackError, match="64 deep"):
        unpacked(data)


def test_what_was_packed_is_not_too_deep():
    value = ()
    for _ in range(63):
        value = (value,)
    assert unpacked(packed(value)) == value


@pytest.mark.parametrize(
    ("code", "form"),
    [(8, ["Point", [1]]), (8, ["Point", {1: 2}]), (8, [[1], {}]), (7, ["<f8", None]), (7, ["V0", [2]]), (5, 1.5)],
)
def test_nothing_but_an_unpack_error_comes_of_foreign_bytes(code, form):
    with pytest.raises(errors.UnpackError):
        unpacked(msgpack.packb(msgpack.ExtType(code, msgpack.packb(form))))


def test_another_program_s_timestamp_is_a_datetime():
    assert unpacked(msgpack.packb(msgpack.Timestamp(5))) == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)


def test_where_a_list_is_in_itself_is_short():
    inner = []
    inner.append(inner)
    with pytest.raises(errors.PackError, match="in itself") as caught:
        packed({"a": inner})
    assert caught.value.where.startswith("the value['a'][0][0]")
    assert len(caught.value.where) < 100
