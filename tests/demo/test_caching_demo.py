"""The caching demo: its workload is what it says, and a cache that is wrong or unbounded does not pass."""

import functools

import pytest

import perfkit
from perfkit.demo import caching
from perfkit.demo.results import Count, Options


def silent(doing):
    assert doing.startswith("caching: ")


@pytest.fixture
def checks():
    """``checks(section)`` gives a section's checks by their first word."""
    return lambda section: {check.what.split()[0]: check for check in section.checks}


def test_nine_of_ten_queries_have_been_asked_before():
    pages = list(caching._pages(200))
    shoppers = [query for number, page in enumerate(pages) if number % 40 < 30 for query in page]
    favourites = {query for query in shoppers if shoppers.count(query) > 1}
    share = sum(query in favourites for query in shoppers) / len(shoppers)
    assert 0.85 < share < 0.93
    assert {len(page) for page in pages} == {caching.PER_PAGE}
    assert pages == list(caching._pages(200))


def test_a_real_run_passes():
    result = caching.run(Options(quick=True), silent)
    assert result.failed == ()
    alone, together = result.sections
    assert [len(section.comparisons) for section in (alone, together)] == [2, 1]


def test_the_index_finds_what_has_every_word():
    index = caching.Index()
    found = index.search("orbit relay")
    assert 0 < len(found) <= 5
    assert all("orbit" in note and "relay" in note for note in found)
    assert index.search("no such words") == ()


def test_wrong_answers_are_seen(monkeypatch, checks):
    monkeypatch.setattr(
        perfkit, "cached", lambda maxsize: lambda search: functools.lru_cache(maxsize)(lambda query: ())
    )
    found = checks(caching.one_thread(20, silent))
    assert not found["Wrong"].passed
    assert found["Wrong"].after.bad > 0
    assert found["Wrong"].before == Count(0, 800)


def test_a_cache_without_bounds_is_seen(monkeypatch, checks):
    monkeypatch.setattr(perfkit, "cached", lambda maxsize: functools.lru_cache(None))
    found = checks(caching.one_thread(60, silent))
    assert found["Wrong"].passed
    assert not found["Entries"].passed


def test_what_is_computed_more_than_once_is_seen(monkeypatch, checks):
    monkeypatch.setattr(perfkit, "cached", functools.lru_cache)
    found = checks(caching.many_threads(3, silent))
    assert found["Answers"].after == Count(3, 3)
