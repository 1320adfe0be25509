"""A forecast is right about a line, honest about noise, and not impressed by spikes."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.memory.trend import Trend

MB = 1_000_000


def trend_of(used, seconds=30):
    trend = Trend()
    for now in range(seconds):
        trend.add(float(now), int(used(now)))
    return trend


def test_a_line_is_continued():
    forecast = trend_of(lambda now: 100 * MB + 2 * MB * now).forecast(29.0, 158 * MB, 200 * MB)
    assert forecast.rate == pytest.approx(2 * MB)
    assert (forecast.soonest, forecast.seconds, forecast.latest) == pytest.approx((21, 21, 21))


def test_spikes_change_next_to_nothing():
    def used(now):
        return 100 * MB + 2 * MB * now + (500 * MB if now % 5 == 0 else 0)

    assert trend_of(used).forecast(29.0, 158 * MB, 200 * MB).rate == pytest.approx(2 * MB, rel=0.1)


def test_the_interval_has_the_truth_in_it_and_widens_with_noise():
    rng, hits, widths = random.Random(7), 0, {}
    for noise in (1, 10):
        for _ in range(40):
            trend = trend_of(lambda now, noise=noise: 100 * MB + 2 * MB * now + rng.gauss(0, noise * MB))
            forecast = trend.forecast(29.0, 158 * MB, 200 * MB)
            hits += forecast.soonest <= 21 <= forecast.latest
            widths[noise] = forecast.latest - forecast.soonest
    assert hits >= 72
    assert widths[10] > 2 * widths[1]


def test_what_does_not_grow_never_gets_there():
    forecast = trend_of(lambda now: 100 * MB - now).forecast(29.0, 100 * MB, 200 * MB)
    assert (forecast.seconds, forecast.soonest, forecast.latest) == (math.inf,) * 3


def test_who_is_there_is_there():
    assert trend_of(lambda now: now * MB).forecast(29.0, 300 * MB, 200 * MB).seconds == 0.0


def test_nothing_is_said_too_early_nor_after_a_new_beginning():
    trend = trend_of(lambda now: now, seconds=4)
    assert trend.forecast(3.0, 3, 100) is None
    trend = trend_of(lambda now: now)
    trend.clear()
    assert trend.forecast(29.0, 30, 100) is None


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 2**40)), max_size=100))
def test_it_stays_small_and_orders_its_interval(measurements):
    trend, now = Trend(), 0.0
    for pause, used in measurements:
        now += pause
        trend.add(now, used)
    assert len(trend._points) <= 60
    forecast = trend.forecast(now + 1, 2**39, 2**40)
    if forecast is not None:
        assert forecast.soonest <= forecast.seconds <= forecast.latest
