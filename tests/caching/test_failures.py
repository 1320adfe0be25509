"""Failures that are kept (``error_ttl``): what is raised again is what was raised."""

import asyncio

import pytest

from perfkit.caching import cached
from perfkit.testing import FakeClock


class Refused(Exception):
    """Like many: an ``__init__`` of its own, and attributes."""

    def __init__(self, code, *, detail):
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        Refused.made += 1

    made = 0


class HostError(OSError):
    def __init__(self, code, message, host):
        super().__init__(code, message)
        self.host = host


class BadText(UnicodeDecodeError):
    def __init__(self, *arguments):
        super().__init__(*arguments)


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__("slotted")
        self.code = code


class Grouped(ExceptionGroup):
    pass


def failing(make):
    calls = []

    @cached(ttl=10, error_ttl={Exception: 5}, timer=FakeClock())
    def fetch():
        calls.append(True)
        try:
            raise ZeroDivisionError("cause")
        except ZeroDivisionError as cause:
            raise make() from cause

    return fetch, calls


def raised(fetch):
    with pytest.raises(Exception) as caught:
        fetch()
    return caught.value


@pytest.mark.parametrize(
    "make",
    [
        lambda: Refused(7, detail="no"),
        lambda: OSError(2, "gone", "file"),
        lambda: UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
        lambda: KeyError("key"),
        lambda: ExceptionGroup("two", [ValueError("one"), TypeError("two")]),
        lambda: StopIteration(3),
        lambda: HostError(111, "refused", "db"),
        lambda: BadText("utf-8", b"x", 0, 1, "bad"),
        lambda: Slotted(5),
        lambda: Grouped("two", [ValueError("one"), TypeError("two")]),
        lambda: ImportError("missing", name="module", path="/path"),
        lambda: SyntaxError("wrong", ("file", 1, 2, "text")),
    ],
)
def test_it_is_the_same_but_for_its_traceback(make):
    fetch, calls = failing(make)
    first, again = raised(fetch), raised(fetch)
    assert calls == [True]
    assert type(again) is type(first)
    assert again.args == first.args
    assert str(again) == str(first)
    assert vars(again) == vars(first)
    for name in ["errno", "strerror", "filename", "object", "end", "code", "value", "exceptions", "name", "lineno"]:
        assert getattr(again, name, None) == getattr(first, name, None)
    assert isinstance(again.__cause__, ZeroDivisionError)
    assert again.__suppress_context__


def test_no_initialiser_runs_again():
    Refused.made = 0
    fetch, _ = failing(lambda: Refused(7, detail="no"))
    errors = [raised(fetch) for _ in range(3)]
    assert Refused.made == 1
    assert [error.detail for error in errors] == ["no"] * 3


def test_each_caller_has_an_error_of_its_own():
    """Or one caller's notes and frames would be seen by the next."""
    fetch, _ = failing(lambda: Refused(7, detail="no"))
    raised(fetch)
    one, two = raised(fetch), raised(fetch)
    one.add_note("mine")
    assert one is not two
    assert not hasattr(two, "__notes__")
    assert not hasattr(raised(fetch), "__notes__")


def fails_until(is_mended, **options):
    """Return a cached function that fails while ``is_mended`` is empty."""

    @cached(error_ttl={ValueError: 60}, tags=lambda key: [f"tag {key}"], **options)
    def fetch(key):
        if is_mended:
            return "mended"
        during.pop()() if during else None
        raise ValueError("broken")

    during = []
    fetch.during = during
    return fetch


WAYS = {
    "clear": lambda fetch: fetch.cache_clear(),
    "discard": lambda fetch: fetch.cache_discard("key"),
    "pop": lambda fetch: fetch.cache.pop("key", None),
    "tag": lambda fetch: fetch.cache_invalidate(tag="tag key"),
    "match": lambda fetch: fetch.cache_invalidate(match="k*"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("when", ["after it", "during it"])
def test_a_failure_goes_as_a_value_would(way, when):
    is_mended = []
    fetch = fails_until(is_mended)
    if when == "during it":
        fetch.during.append(lambda: WAYS[way](fetch))
    with pytest.raises(ValueError, match="broken"):
        fetch("key")
    if when == "after it":
        WAYS[way](fetch)
    is_mended.append(True)
    assert fetch("key") == "mended"


@pytest.mark.parametrize("way", [lambda fetch: fetch.cache_invalidate(tag="other", match="x*"), lambda _: None])
def test_a_failure_stays_when_others_go(way):
    is_mended = []
    fetch = fails_until(is_mended)
    with pytest.raises(ValueError, match="broken"):
        fetch("key")
    way(fetch)
    is_mended.append(True)
    with pytest.raises(ValueError, match="broken"):
        fetch("key")


def test_who_waited_does_not_keep_what_has_been_discarded():
    calls = []

    @cached(error_ttl={ValueError: 60})
    async def fetch():
        calls.append(True)
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise ValueError("broken")
        return "mended"

    async def lead():
        with pytest.raises(ValueError, match="broken"):
            await fetch()
        fetch.cache_discard()

    async def main():
        await asyncio.gather(lead(), fetch(), return_exceptions=True)
        return await fetch()

    assert asyncio.run(main()) == "mended"
