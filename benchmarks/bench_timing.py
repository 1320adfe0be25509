"""Timing.

What it costs to measure: a function that returns its argument, called through each.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import codetiming
import prometheus_client
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import perfkit
from measure import Claim, Contender
from wrapped import AWAITED, BARE, awaited, bound, calls, contender, coroutine, plain

PROMETHEUS = "prometheus_client"
REGISTRY = prometheus_client.CollectorRegistry()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def observed(name: str, observe: Callable[[float], object], counted: Callable[[], int], **about: Any) -> Contender:
    """Record the same duration again and again; check that all were counted."""

    def check(done: int) -> None:
        assert counted() >= done, name

    return Contender(name=name, timed=calls(lambda seconds: observe(0.001 * seconds)), check=check, **about)


def test_a_measured_function(compare: Any) -> None:
    """A function whose calls are measured.

    The same call again and again; ratios are to the call without. All keep a distribution but the ones that say so.
    """
    bare = contender(BARE, plain)
    histogram = prometheus_client.Histogram("plain", "plain", registry=REGISTRY)
    summary = prometheus_client.Summary("plainly", "plain", registry=REGISTRY)
    contenders = [
        bare,
        bound(bare, 350),
        contender("perfkit.timed", perfkit.timed(plain), ours=True),
        contender("… with a window", perfkit.timed(window=60.0)(plain), ours=True),
        contender(PROMETHEUS, histogram.time()(plain), note="Histogram.time(), 15 buckets"),
        contender("… Summary", summary.time()(plain), note="count and sum only"),
        contender("codetiming", codetiming.Timer(name="plain", logger=None)(plain), note="keeps every duration"),
    ]
    claims = [Claim("perfkit.timed", peer, 1) for peer in (bound(bare, 350).name, PROMETHEUS, "codetiming")]
    compare(contenders, size="f(k)", claims=claims)


def test_a_measured_coroutine_function(compare: Any, runner: asyncio.Runner) -> None:
    """A coroutine function whose calls are measured.

    Awaited again and again in one task; ratios are to the await without.
    """
    histogram = prometheus_client.Histogram("coroutine", "coroutine", registry=REGISTRY)

    async def in_prometheus(k: Any) -> Any:
        with histogram.time():
            return await coroutine(k)

    contenders = [
        awaited(runner, AWAITED, coroutine),
        awaited(runner, "perfkit.timed", perfkit.timed(coroutine), ours=True),
        awaited(runner, PROMETHEUS, in_prometheus, note="with Histogram.time(): its decorator is for functions"),
    ]
    compare(contenders, size="await f(k)", claims=[Claim("perfkit.timed", PROMETHEUS, 1)])


def test_a_measured_block(compare: Any) -> None:
    """A block that is measured.

    A ``with`` block around the same call; ratios are to the call without.
    """
    tracker = perfkit.PerformanceTracker("block")
    histogram = prometheus_client.Histogram("block", "block", registry=REGISTRY)

    def in_timer(k: Any) -> Any:
        with perfkit.Timer():
            return plain(k)

    def in_tracker(k: Any) -> Any:
        with tracker.time():
            return plain(k)

    def in_prometheus(k: Any) -> Any:
        with histogram.time():
            return plain(k)

    def in_codetiming(k: Any) -> Any:
        with codetiming.Timer(logger=None):
            return plain(k)

    contenders = [
        contender(BARE, plain),
        contender("perfkit.Timer", in_timer, ours=True, note="knows the timers inside it"),
        contender("PerformanceTracker.time", in_tracker, ours=True),
        contender(PROMETHEUS, in_prometheus),
        contender("codetiming", in_codetiming, note="one duration, and nothing of what is timed inside"),
    ]
    claims = [Claim(ours, PROMETHEUS, 1) for ours in ("PerformanceTracker.time", "perfkit.Timer")]
    compare(contenders, size="with", claims=claims)


def test_an_observed_duration(compare: Any) -> None:
    """A duration that was measured already.

    Recorded again and again; ratios are to prometheus_client.
    """
    tracker = perfkit.PerformanceTracker("observed")
    recent = perfkit.PerformanceTracker("observed lately", window=600.0)
    histogram = prometheus_client.Histogram("observed", "observed", registry=REGISTRY)
    labelled = prometheus_client.Histogram("labelled", "labelled", ["part"], registry=REGISTRY)
    reader = InMemoryMetricReader()
    recorded = MeterProvider([reader]).get_meter("perfkit").create_histogram("observed")

    def count(metric: prometheus_client.Histogram) -> int:
        return int(next(s.value for f in metric.collect() for s in f.samples if s.name.endswith("_count")))

    def exported() -> int:
        data = reader.get_metrics_data()
        assert data is not None
        return int(data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points[0].count)

    contenders = [
        observed(PROMETHEUS, histogram.observe, lambda: count(histogram)),
        observed("PerformanceTracker", tracker.observe, lambda: tracker.count, ours=True),
        observed("… with a window", recent.observe, lambda: recent.count, ours=True),
        observed(
            f"{PROMETHEUS}, with a label",
            lambda seconds: labelled.labels("a").observe(seconds),
            lambda: count(labelled),
        ),
        observed("opentelemetry", recorded.record, exported, note="SDK, cumulative, read once"),
    ]
    claims = [Claim("PerformanceTracker", peer, 1) for peer in (PROMETHEUS, "opentelemetry")]
    compare(contenders, size="observe", claims=claims)
