import re
from enum import IntEnum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit._base.sizes import format_size, parse_size

UNITS = (
    {"": 1, "B": 1}
    | {f"{p}B": 1000**n for n, p in enumerate("kMGT", 1)}
    | {f"{p}iB": 1024**n for n, p in enumerate("KMGT", 1)}
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("800MB", 800 * 10**6),
        ("800MiB", 800 * 2**20),
        ("0", 0),
        ("1048576", 2**20),
        ("512B", 512),
        ("512b", 512),
        ("3kB", 3000),
        ("3KB", 3000),
        ("3kb", 3000),
        ("3KiB", 3072),
        ("3kib", 3072),
        ("3KIB", 3072),
        ("1.5GB", 1_500_000_000),
        ("1.5 gib", 3 * 2**29),
        (" 2  TB ", 2 * 10**12),
        ("2\tTiB\n", 2 * 2**40),
        ("0.1GB", 100_000_000),
        (".5MB", 500_000),
        ("5.MB", 5_000_000),
        ("0.3KiB", 307),
        ("0.0001kB", 0),
        ("007MB", 7_000_000),
    ],
)
def test_sizes_as_people_write_them(text, size):
    assert parse_size(text) == size


@given(st.integers(0, 10**12), st.integers(0, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", " ", "   "]))
def test_every_number_with_every_unit_is_exact(whole, millionths, unit, space):
    number = f"{whole}.{millionths:06}" if unit not in ("", "B") and millionths < 10**6 else str(whole)
    for spelt in (unit, unit.lower(), unit.upper()):
        assert parse_size(f"{number}{space}{spelt}") == int(Fraction(number) * UNITS[unit])


@given(st.integers(min_value=0))
def test_integers_are_bytes(size):
    assert parse_size(size) == size


def test_an_integer_of_another_class_becomes_plain():
    size = parse_size(IntEnum("Limit", {"SMALL": 5}).SMALL)
    assert (size, type(size)) == (5, int)


@pytest.mark.parametrize("value", [True, False, 1.5, 8e8, None, b"8MB", [1], 2 + 0j])
def test_other_types_are_refused_with_what_is_allowed(value):
    with pytest.raises(TypeError, match=r"max_bytes must be an int of bytes.*'800MB'.*" + type(value).__name__):
        parse_size(value, name="max_bytes")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "MB",
        ".MB",
        "-1",
        "-5MB",
        "+5MB",
        "1e3",
        "1e3MB",
        "1_000MB",
        "1,5GB",
        "1.5.5GB",
        "1 000 MB",
        "infMB",
        "nan",
        "0x10",
        "٣MB",
        "½MB",
        "MB5",
        "5 M B",
        "5MBytes",
        "5PB",
        "5µB",
        "1.5",
        "1.5B",
        "1.5b",
        "9" * 31,
        "9" * 5000 + "MB",
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"max_bytes must be an int of bytes, 0 or more, or a string such as '800MB'"):
        parse_size(text, name="max_bytes")


@pytest.mark.parametrize("value", [-1, -(10**20)])
def test_negative_integers_are_refused(value):
    with pytest.raises(
        ValueError, match=re.escape("size must be an int of bytes, 0 or more, or a string such as '800MB'")
    ):
        parse_size(value)


@pytest.mark.parametrize(
    ("unit", "instead"),
    [
        ("Mb", "MB or MiB"),
        ("Gb", "GB or GiB"),
        ("Kb", "kB or KiB"),
        ("Mib", "MB or MiB"),
        ("M", "MB or MiB"),
        ("k", "kB or KiB"),
        ("g", "GB or GiB"),
        ("Ti", "TB or TiB"),
    ],
)
def test_an_ambiguous_unit_is_refused_with_the_two_it_could_be(unit, instead):
    with pytest.raises(ValueError, match=f"has the unit '{unit}', which is ambiguous: write {instead}$"):
        parse_size(f"5{unit}")


def test_an_unknown_unit_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"'PB'; there are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB$"):
        parse_size("5PB")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1500, "1.5 kB"),
        (17_203, "17.2 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (800 * 10**6, "800 MB"),
        (800 * 2**20, "839 MB"),
        (2**31, "2.15 GB"),
        (99_960_000, "100 MB"),
        (10**12, "1 TB"),
        (123_456 * 10**12, "123456 TB"),
        (-1_500_000, "-1.5 MB"),
    ],
)
def test_sizes_for_people(size, text):
    assert format_size(size) == text


@given(st.integers(0, 10**16))
def test_what_people_are_shown_is_short_and_reads_as_nearly_the_same(size):
    shown = format_size(size)
    assert abs(parse_size(shown) - size) <= size * 0.005
    assert size >= 9995 * 10**11 or len(shown.split()[0].replace(".", "")) <= 3
    assert format_size(-size) == (f"-{shown}" if size else shown)
