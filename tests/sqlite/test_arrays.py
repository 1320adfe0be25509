"""numpy's arrays in columns."""

import msgpack
import pytest

from perfkit import errors, packed, unpacked

try:
    import numpy as np
except ImportError:
    np = None

pytestmark = pytest.mark.skipif(np is None, reason="numpy is not installed: pip install numpy")

ARRAYS = {
    "floats": lambda: np.arange(12, dtype=np.float32).reshape(3, 4),
    "big endian": lambda: np.arange(5, dtype=">i8"),
    "empty": lambda: np.zeros((0, 3)),
    "no dimension": lambda: np.array(5),
    "fortran": lambda: np.asfortranarray(np.arange(6).reshape(2, 3)),
    "strided": lambda: np.arange(20)[::3],
    "bool": lambda: np.array([True, False]),
    "complex": lambda: np.array([1j, 2]),
    "times": lambda: np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
    "text": lambda: np.array(["a", "bcd"]),
    "bytes": lambda: np.array([b"a", b"bcd"]),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays(kind):
    array = ARRAYS[kind]()
    [back] = unpacked(packed([array]))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("kind", "value"), [("float32", 1.5), ("int8", -3), ("bool_", True), ("datetime64", "2024-01-01")]
)
def test_numpys_scalars(kind, value):
    scalar = getattr(np, kind)(value)
    back = unpacked(packed(scalar))
    assert type(back) is type(scalar)
    assert back == scalar


ODD = {
    "objects": lambda: np.array([object()], dtype=object),
    "fields": lambda: np.zeros(2, dtype=[("a", int)]),
    "masked": lambda: np.ma.masked_array([1, 2], [True, False]),
}


@pytest.mark.parametrize("kind", ODD)
def test_arrays_that_are_refused(kind):
    with pytest.raises(errors.PackError):
        packed(ODD[kind]())


def test_an_array_of_objects_is_never_loaded():
    forged = msgpack.packb(msgpack.ExtType(7, msgpack.packb(["|O", [1]]) + bytes(8)))
    with pytest.raises(errors.UnpackError, match="never loaded"):
        unpacked(forged)


@pytest.mark.parametrize(("kind", "content"), [("bytes_", b"a\0"), ("bytes_", b"\0"), ("str_", "a\0")])
def test_scalars_that_numpy_would_shorten_are_refused(kind, content):
    with pytest.raises(errors.PackError, match="ends with NUL"):
        packed([getattr(np, kind)(content)])


@pytest.mark.parametrize(("kind", "content"), [("bytes_", b""), ("bytes_", b"\0a"), ("str_", ""), ("str_", "\0a")])
def test_scalars_that_it_would_not_are_kept(kind, content):
    value = getattr(np, kind)(content)
    again = unpacked(packed(value))
    assert type(again) is type(value)
    assert again.tolist() == content
