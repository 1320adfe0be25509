"""The codec beside `json`: the same values with the same types, or both refuse."""

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import math
import subprocess
import sys
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.statefile.codec import Unserializable, decode, encode, is_too_deep


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mapping(dict):
    pass


class Level(enum.IntEnum):
    LOW = 1


class Name(enum.StrEnum):
    ADA = "ada"


class Plain(enum.Enum):
    ONE = 1


@dataclasses.dataclass
class Point:
    x: int = 1


class Raises:
    def __eq__(self, other):
        raise AttributeError("no such thing")

    __hash__ = None


def same(a, b):
    """Equal, and of the same types throughout; NaN is NaN, and -0.0 is not 0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return a == b


def outcome(fn, *args):
    try:
        return True, fn(*args)
    except (ValueError, RecursionError):
        return False, None


TEXTS = st.text(st.characters(exclude_categories=()), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.integers(-(2**80), 2**80) | st.floats() | TEXTS
DOCUMENTS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False), inner, max_size=2)
    ),
    max_leaves=15,
)
FRAGMENTS = st.sampled_from(
    [*"[]{},:\"\\ \n\t-0123456789eE.", '"a"', "\\ud800", "\\u00e9", "é", "\ufeff", "NaN", "Infinity", "-Infinity",
     "true", "null", "1e400", "-0", "-0.0", "12345678901234567890123", '{"a":1,"a":2}', "\x00", "[[[["]
)  # fmt: skip


@given(DOCUMENTS, st.sampled_from([None, 0, 2]), st.booleans())
def test_decoding_what_json_wrote(document, indent, ascii_only):
    try:
        raw = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    assert same(decode(raw), json.loads(raw))


@given(st.lists(FRAGMENTS, max_size=12).map("".join), st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-8-sig"]))
def test_decoding_anything(text, encoding):
    raw = text.encode(encoding, "surrogatepass")
    fine, value = outcome(json.loads, raw)
    ours_fine, ours = outcome(decode, raw)
    assert fine is ours_fine
    assert same(value, ours)


@given(st.binary(max_size=20))
def test_decoding_bytes(raw):
    fine, value = outcome(json.loads, raw)
    ours_fine, ours = outcome(decode, raw)
    assert fine is ours_fine
    assert same(value, ours)


@given(DOCUMENTS, st.sampled_from([None, 0, 1, 2, 4]), st.booleans())
def test_encoding_reads_back_as_json_would_have_it(document, indent, allow_nan):
    try:
        expected = json.loads(json.dumps(document, allow_nan=allow_nan))
    except ValueError:
        with pytest.raises(Unserializable):
            encode(document, indent=indent, allow_nan=allow_nan)
        return
    encoded = encode(document, indent=indent, allow_nan=allow_nan)
    assert same(json.loads(encoded.raw), expected)
    assert encoded.tree is None or same(encoded.tree, expected)


@given(st.recursive(st.none() | st.integers() | st.text("aé\x7f\"", max_size=4),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner), max_leaves=12),
       st.sampled_from([0, 1, 2, 4]))  # fmt: skip
def test_the_layout_is_jsons(document, indent):
    expected = json.dumps(document, indent=indent, ensure_ascii=False).encode()
    assert encode(document, indent=indent, allow_nan=False).raw == expected
    compact = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    assert encode(document, indent=None, allow_nan=False).raw == compact


@pytest.mark.parametrize("document", [
    Text("a"), Number(3), Mapping(a=1), Level.LOW, Name.ADA, (1, 2), {1: 2, None: 3, False: 4, 1.5: 5},
    collections.OrderedDict(b=1, a=2), {Name.ADA: Level.LOW}, {"é": "\ud800"}, [Text("x"), (Number(2),)],
])  # fmt: skip
def test_kinds_that_json_takes(document):
    encoded = encode(document, indent=2, allow_nan=False)
    assert same(json.loads(encoded.raw), json.loads(json.dumps(document)))


@pytest.mark.parametrize("value", [
    datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), datetime.timedelta(1), {1}, frozenset(), b"x",
    bytearray(b"x"), decimal.Decimal("1.5"), uuid.UUID(int=1), Point(), Plain.ONE, collections.deque([1]),
    collections.UserDict(), object(), Raises(), range(3), 1j, float("nan"), float("inf"), 10**5000,
    {b"a": 1}, {(1, 2): 1}, {datetime.date(2026, 1, 1): 1}, {float("nan"): 1},
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_what_json_refuses_is_refused_where_it_stands(value):
    document = {"ok": [1, 2], "agents": [{"a b": 1}, {"x": [0, value]}]}
    with pytest.raises((TypeError, ValueError)):
        json.dumps(document, allow_nan=False)
    with pytest.raises(Unserializable) as caught:
        encode(document, indent=2, allow_nan=False)
    assert caught.value.where == "$.agents[1].x[1]"


class BadRepr:
    def __repr__(self):
        raise ValueError


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({(BadRepr(),): 1}, "<tuple object at .* is a tuple"),
        ({BadRepr(): 1}, "<.*BadRepr object at .* is a BadRepr"),
        (type("", (), {})(), "a class without a name"),
    ],
    ids=["a key in a key", "a key", "a class"],
)
def test_what_can_not_be_named_is_refused_all_the_same(document, says):
    with pytest.raises(Unserializable, match=says):
        encode(document, indent=2, allow_nan=False)


def test_a_document_is_too_deep_or_its_reader_is():
    """On a stack of its own the reader isn't."""
    fine, deep = b"[" * 300 + b"]" * 300, b"[" * 200_000
    assert is_too_deep(deep)
    assert not is_too_deep(fine)
    assert not is_too_deep(b"[")


def test_a_document_that_contains_itself():
    document = {"a": []}
    document["a"].append(document)
    with pytest.raises(Unserializable) as caught:
        encode(document, indent=2, allow_nan=False)
    assert (caught.value.where, caught.value.reason) == ("$.a[0]", "the document contains itself")


def test_too_deep_is_a_recursion_error_as_it_is_with_json():
    document = []
    for _ in range(200_000):
        document = [document]
    with pytest.raises(RecursionError):
        json.dumps(document)
    with pytest.raises(RecursionError):
        encode(document, indent=2, allow_nan=False)
    with pytest.raises(RecursionError):
        decode(b"[" * 200_000 + b"]" * 200_000)
    while document:
        document = document.pop()


def test_the_tree_that_comes_back_is_nobody_elses():
    document = {"a": [1, {"b": 2}]}
    tree = encode(document, indent=2, allow_nan=False).tree
    tree["a"][1]["b"] = 3
    assert document == {"a": [1, {"b": 2}]}


def test_without_msgspec_json_does_it_all():
    program = (
        "import sys; sys.modules['msgspec'] = None\n"
        "from perfkit.statefile.codec import decode, encode\n"
        "document = {'a': [1, 2**70, 1.5, 'é', None], 'b': {}}\n"
        "for indent in (None, 0, 2): assert decode(encode(document, indent=indent, allow_nan=False).raw) == document\n"
        "print(encode(document, indent=2, allow_nan=False).raw.decode())"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    document = {"a": [1, 2**70, 1.5, "é", None], "b": {}}
    assert done.stdout.strip() == json.dumps(document, indent=2, ensure_ascii=False)
