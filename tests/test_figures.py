"""`perfkit.stats()` as a table, a dictionary, JSON, and what Prometheus scrapes: of every part, and of odd objects."""

import asyncio
import json
import math
import sqlite3
from dataclasses import dataclass, fields

import pytest
from prometheus_client.parser import text_string_to_metric_families

import perfkit
from perfkit import registry
from perfkit._base.durations import format_seconds
from perfkit._base.figures import kind_of
from perfkit._base.latency_summary import LatencySummary


@dataclass(frozen=True, slots=True)
class OddThingStats:
    name: str
    limit: float
    unknown: float
    is_on: bool
    told: str
    nothing: None
    left: dict[str, int]
    keys: tuple[str, ...]
    took: LatencySummary

    GAUGES = frozenset({"limit", "unknown"})


class Odd:
    def __init__(self, name):
        self.name = name
        registry.register(self, part="odd")

    def stats(self):
        summary = LatencySummary(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        return OddThingStats(self.name, math.inf, math.nan, True, "so", None, {"idle": 3}, ("a", "b"), summary)


@pytest.fixture(autouse=True)
def _only_what_the_test_makes(monkeypatch):
    monkeypatch.setattr(registry, "_live", {})


@pytest.fixture
def parts(tmp_path):
    """One live object of each kind, each used a little."""

    @perfkit.cached(maxsize=10)
    def square(number):
        return number * number

    @perfkit.timed
    def add(one, other):
        return one + other

    breaker = perfkit.CircuitBreaker(name="prices", consecutive=1)
    retry = perfkit.retry(on=OSError)
    state = perfkit.StateFile(tmp_path / "state.json", default=dict, name="board")
    dog = perfkit.MemoryWatchdog("10GB", name="dog")
    by_host = perfkit.CircuitBreaker.per_key(name="hosts")
    beating = perfkit.Heartbeat(lambda: None, name="peer")
    profiled = perfkit.profiled(report=lambda report: None)(square)
    budget = perfkit.RetryBudget()
    with (
        perfkit.Pool(lambda: sqlite3.connect(":memory:"), name="connections") as pool,
        perfkit.Database(tmp_path / "app.db") as database,
        perfkit.SMTPPool("127.0.0.1", 1) as mail,
    ):
        database.execute("CREATE TABLE notes (text)")
        with pool.connection():
            square(2)
            square(2)
        add(1, 2)
        state.save({"a": 1})
        breaker.trip()
        with by_host("example.org"):
            profiled(3)
        yield retry, dog, beating, budget, mail


def samples(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_part_is_in_all_four(parts):
    stats = perfkit.stats()
    assert {part for part, _, _ in stats} == {
        "caching",
        "timing",
        "resilience",
        "statefile",
        "memory",
        "pooling",
        "sqlite",
    }
    told = stats.to_dict()
    assert sorted(told) == sorted({snapshot.part for snapshot in stats})
    assert sum(map(len, told.values())) == len(stats)
    assert json.loads(stats.to_json()) == json.loads(stats.to_json(indent=2)) == told
    table = str(stats)
    for _, name, figures in stats:
        assert kind_of(figures).upper() in table
        assert name in table


def test_prometheus_reads_every_number(parts):
    stats = perfkit.stats()
    read = samples(stats.prometheus())
    assert read["perfkit_cache_hits_total", (("name", f"{__name__}.parts.<locals>.square"),)] == 1
    assert read["perfkit_pool_idle", (("name", "connections"),)] == 1
    assert read["perfkit_breaker_state", (("name", "prices"), ("state", "open"))] == 1
    assert read["perfkit_breaker_state", (("name", "prices"), ("state", "closed"))] == 0
    add = "name", f"{__name__}.parts.<locals>.add"
    assert read["perfkit_tracker_latency_seconds_count", (add,)] == 1
    assert read["perfkit_tracker_latency_seconds", (add, ("quantile", "0.99"))] > 0
    assert read["perfkit_memory_usage_limit_bytes", (("name", "dog"),)] == 10e9
    assert read["perfkit_memory_tiers_runs_total", (("name", "dog"), ("tier", "1"))] == 0
    kinds = {family.name: family.type for family in text_string_to_metric_families(stats.prometheus())}
    for _, _, figures in stats:
        numbers = [field.name for field in fields(figures) if isinstance(getattr(figures, field.name), int | float)]
        for number in numbers:
            assert f"perfkit_{kind_of(figures).replace(' ', '_')}_{number}" in kinds
    assert (kinds["perfkit_cache_hits"], kinds["perfkit_cache_size"]) == ("counter", "gauge")


def test_what_a_class_says_of_its_fields_is_true_of_them(parts):
    for _, _, figures in perfkit.stats():
        about, names = type(figures), {field.name for field in fields(figures)}
        assert set(getattr(figures, "GAUGES", ())) <= names
        assert set(getattr(about, "STATES", {})) <= names
        assert all(hasattr(figures, column) for column in getattr(about, "COLUMNS", ()))


def test_one_that_is_odd():
    odd = Odd('a "name"\nwith \\')
    told = perfkit.stats().to_dict()["odd"][0]
    assert told | {"took": None} == {
        "kind": "odd thing",
        "name": odd.name,
        "limit": None,
        "unknown": None,
        "is_on": True,
        "told": "so",
        "nothing": None,
        "left": {"idle": 3},
        "keys": ["a", "b"],
        "took": None,
    }
    read = samples(perfkit.stats().prometheus())
    name = ("name", odd.name)
    assert read["perfkit_odd_thing_limit", (name,)] == math.inf
    assert math.isnan(read["perfkit_odd_thing_unknown", (name,)])
    assert read["perfkit_odd_thing_left_total", (name, ("reason", "idle"))] == 3
    assert read["perfkit_odd_thing_keys", (name,)] == 2
    assert math.isnan(read["perfkit_odd_thing_took_seconds", (name, ("quantile", "0.5"))])


def test_two_of_a_name_are_told_apart():
    twins = Odd("twin"), Odd("twin")
    read = samples(perfkit.stats().prometheus())
    assert {dict(labels)["name"] for _, labels in read} == {"twin", "twin (2)"}
    assert str(perfkit.stats()).count(twins[0].name) == 2


def test_of_nothing():
    stats = perfkit.stats()
    assert (stats, stats.to_dict(), stats.to_json(), stats.prometheus()) == ((), {}, "{}", "")
    assert str(stats) == "no live objects"


def test_columns_are_aligned():
    @perfkit.timed(name="a")
    def short():
        return 1

    @perfkit.timed(name="a long name")
    async def long():
        return 1

    for _ in range(1500):
        short()
    asyncio.run(long())
    head, first, second = str(perfkit.stats()).splitlines()
    assert head.split() == ["TRACKER", "count", "errors", "rate", "latency", "p50", "p99", "max"]
    assert "1,500" in first
    assert len(head) == len(first) == len(second)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (5e-9, "5 ns"),
        (1.2345e-6, "1.23 µs"),
        (0.0125, "12.5 ms"),
        (0.9999, "1 s"),
        (59.9, "59.9 s"),
        (86400, "86,400 s"),
    ],
)
def test_durations_as_people_read_them(seconds, text):
    assert format_seconds(seconds) == text
