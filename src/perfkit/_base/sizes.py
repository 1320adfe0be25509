"""Sizes in bytes, as people write them: ``"800MB"`` is 800·10⁶ and ``"800MiB"`` is 800·2²⁰ (IEC 80000-13)."""

_ALLOWED = "an int of bytes, 0 or more, or a string such as '800MB' (800·10⁶) or '1.5GiB' (1.5·2³⁰)"
_FACTORS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
# As written above, all capitals or all small; not "Mb" or "Gb", which are bits where those matter.
_UNITS = {spelt: factor for unit, factor in _FACTORS.items() for spelt in (unit, unit.upper(), unit.lower())}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = frozenset("0123456789")
_MOST_DIGITS = 30  # more is a mistake, and the work of reading it grows with its square


def parse_size(value: int | str, *, name: str = "size") -> int:
    """Return a size in bytes, as conventions have it everywhere in perfkit.

    Args:
        value: bytes, 0 or more; or a number with a unit: B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB
            (powers of 1024), in capitals or small letters throughout if you like. Fractions and spaces are allowed
            (``"1.5 GB"``), and a number without a unit is bytes. What a fraction leaves below a byte is dropped.
        name: the argument's name, for messages.

    Raises TypeError for what is neither int nor str (nor is a bool), ValueError for what can't be read; both say what
    is allowed. Exact: no float is involved.
    """
    if isinstance(value, str):
        return _parsed(value, name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be {_ALLOWED}, not {value!r} ({type(value).__name__})")
    if value < 0:
        raise ValueError(f"{name} must be {_ALLOWED}, not {value!r}")
    return int(value)


def _parsed(text: str, name: str) -> int:
    number = text.strip().rstrip(_LETTERS)
    unit = text.strip()[len(number) :] or "B"
    if unit not in _UNITS:
        raise ValueError(f"{name} must be {_ALLOWED}; {text!r} has the unit {unit!r}{_hint(unit)}")
    whole, point, fraction = number.rstrip().partition(".")
    digits = whole + fraction
    if not digits or not _DIGITS.issuperset(digits) or len(digits) > _MOST_DIGITS:
        raise ValueError(f"{name} must be {_ALLOWED}; {text!r} can't be read")
    if point and unit in ("B", "b"):
        raise ValueError(f"{name} must be {_ALLOWED}; {text!r} is a fraction of bytes")
    return int(digits) * _UNITS[unit] // int(10 ** len(fraction))


def _hint(unit: str) -> str:
    """Return what to write instead of a unit that could be meant, or the units there are."""
    prefix = unit[0].upper()
    if prefix in "KMGT" and unit[1:] in ("", "b", "i", "ib"):
        decimal, binary = (spelt for spelt in _FACTORS if spelt[0].upper() == prefix)
        return f", which is ambiguous: write {decimal} or {binary}"
    return f"; there are {', '.join(_FACTORS)}"


def format_size(n: int) -> str:
    """Return ``n`` bytes for people: at most three digits and a decimal unit, such as ``"17.2 kB"`` or ``"-1.5 MB"``.

    Below 1000 it is exact, above at most 0.5 % off; from 1000 TB on it has more digits. `parse_size` reads it where it
    isn't negative.
    """
    size, unit = float(abs(n)), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 999.5:  # would be shown as less than 1000
            break
        size, unit = size / 1000, larger
    sign = "-" if n < 0 else ""
    return f"{sign}{size:.0f} {unit}" if size >= 100 else f"{sign}{size:.3g} {unit}"
