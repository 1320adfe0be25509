"""Measuring: every contender has its turns, what it did is checked, and a ratio is what it is called."""

import importlib.util
import multiprocessing
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="contenders are forked: needs a system that forks"
)


@pytest.fixture(scope="module")
def measure() -> Iterator[ModuleType]:
    name = "perfkit_benchmarks_measure"
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / "measure.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def test_every_contender_has_a_turn_in_every_round_and_one_to_warm_up(measure: ModuleType, tmp_path: Path) -> None:
    def writes(name: str) -> None:
        with open(tmp_path / name, "a") as file:
            file.write("x")

    def check(name: str, n: int) -> None:
        assert (tmp_path / name).stat().st_size == n

    contenders = [
        measure.Contender(name=name, timed=measure.calls(lambda n=name: writes(n)), check=lambda n, c=name: check(c, n))
        for name in ("one", "other")
    ]
    plan = measure.Plan(turn=0.0001, budget=0.0, rounds=(3, 5))
    times, amounts = measure.interleaved(contenders, plan)
    assert {name: len(values) for name, values in times.items()} == {"one": 3, "other": 3}
    assert all(amount >= 3 for amount in amounts.values())
    assert all(value > 0 for values in times.values() for value in values)


def test_threads_and_what_goes_before_are_counted_too(measure: ModuleType) -> None:
    done: list[str] = []
    measure.in_threads(4, lambda: done.append("op"))(8)
    assert done == ["op"] * 8
    measure.calls(lambda: done.append("op"), lambda: done.append("before"))(2)
    assert done[8:] == ["before", "op"] * 2


@pytest.mark.parametrize("where", ["timed", "check"])
def test_what_goes_wrong_is_raised_with_the_contenders_name(measure: ModuleType, where: str) -> None:
    def fails(_: int) -> float:
        raise KeyError("lost")

    sound = {"timed": lambda n: 0.001 * n, "check": lambda _: None}
    contender = measure.Contender(name="the sloppy one", **sound | {where: fails})
    with pytest.raises(AssertionError, match=r"(?s)the sloppy one: .*KeyError: 'lost'"):
        measure.interleaved([contender], measure.Plan(smoke=True))


def test_a_contender_that_takes_its_process_down_is_named(measure: ModuleType) -> None:
    contender = measure.Contender(name="the mortal one", timed=lambda _: os._exit(3), check=lambda _: None)
    with pytest.raises(AssertionError, match="the mortal one: its process ended"):
        measure.interleaved([contender], measure.Plan(smoke=True))


def test_a_ratio_is_that_of_the_medians_and_lies_in_its_interval(measure: ModuleType) -> None:
    slow, fast = [8.0, 10.0, 12.0, 9.0, 11.0], [2.0, 2.0, 2.5, 1.5, 2.0]
    found = measure.ratio(slow, fast)
    assert found["ratio"] == 5.0
    assert found["low"] <= 5.0 <= found["high"]
    assert measure.ratio(slow, fast) == found


def test_rounds_are_resampled_together(measure: ModuleType) -> None:
    """Where whatever slows one slows the other as much, the ratio is certain however much the times vary."""
    noisy = [1.0, 3.0, 9.0, 2.0, 7.0]
    assert measure.ratio([4 * t for t in noisy], noisy) == {"ratio": 4.0, "low": 4.0, "high": 4.0}


def test_a_spread_of_one_round_is_that_round(measure: ModuleType) -> None:
    assert measure.spread([0.5]) == {"median": 0.5, "p10": 0.5, "p90": 0.5}
    assert measure.spread([5.0, 1.0, 3.0])["median"] == 3.0
