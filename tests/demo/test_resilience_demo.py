"""The resilience demo: its services do what they say, and what doesn't protect them does not pass."""

import asyncio

import pytest

import perfkit
from perfkit.demo import resilience
from perfkit.demo.results import Options


def silent(doing):
    assert doing.startswith("resilience: ")


@pytest.fixture
def checks():
    """``checks(section)`` gives a section's checks by their first two words."""
    return lambda section: {" ".join(check.what.split()[:2]): check for check in section.checks}


def test_a_real_run_passes():
    result = resilience.run(Options(quick=True), silent)
    assert result.failed == ()
    outage, crowd = result.sections
    assert [len(section.comparisons) for section in (outage, crowd)] == [2, 1]


def test_a_service_that_is_down_is_asked_in_vain():
    prices = resilience.Prices()
    assert prices.price(7) == 21
    prices.is_up = False
    with pytest.raises(TimeoutError):
        prices.price(7)
    assert (prices.in_vain, prices.most_at_once) == (1, 1)


def test_a_busy_service_turns_away_whom_it_has_no_time_for():
    async def main():
        busy = resilience.Busy(each=3, slot=3600)
        return busy, await asyncio.gather(*[busy.serve(number) for number in range(5)], return_exceptions=True)

    busy, answers = asyncio.run(main())
    assert answers[:3] == [0, 3, 6]
    assert all(isinstance(answer, ConnectionError) for answer in answers[3:])
    assert busy.turned_away == 2


def test_a_breaker_that_does_nothing_is_seen(monkeypatch, checks):
    monkeypatch.setattr(perfkit, "CircuitBreaker", lambda **options: lambda function: function)
    found = checks(resilience.down_and_back(20, silent))
    assert found["Pages with"].passed
    assert not found["Calls to"].passed
    assert not found["Callers beyond"].passed


def test_wrong_prices_are_seen(monkeypatch, checks):
    monkeypatch.setattr(perfkit, "CircuitBreaker", lambda **options: lambda function: lambda number: 0)
    found = checks(resilience.down_and_back(3, silent))
    assert found["Pages with"].after.bad > 0
    assert found["Pages with"].before.bad == 0
