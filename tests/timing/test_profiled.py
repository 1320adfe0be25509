import asyncio
import cProfile
import logging
import os
import sys
import threading

import pytest

import perfkit


@pytest.fixture
def reports():
    return []


def inner():
    return sum(range(100))


def names(report):
    return {name for _, _, name in report.stats.stats}


def test_one_call_in_so_many(reports):
    @perfkit.profiled(every=3, report=reports.append)
    def work():
        return inner()

    assert [work() for _ in range(7)] == [4950] * 7
    assert len(reports) == 3
    assert all({"work", "inner"} <= names(report) for report in reports)
    assert "inner" in str(reports[0])
    assert (reports[0].failed, reports[0].name) == (False, f"{__name__}.{work.__qualname__}")
    (stats,) = (one.stats for one in perfkit.stats() if one.name.endswith(work.__qualname__))
    assert (stats.calls, stats.profiled, stats.skipped) == (7, 3, 0)


def test_of_a_coroutine_its_own_steps(reports):
    async def other():
        for _ in range(10):
            somebody_elses()
            await asyncio.sleep(0)

    def somebody_elses():
        return 1

    async def step():
        await asyncio.sleep(0)
        return inner()

    @perfkit.profiled(report=reports.append)
    async def work():
        return [await step() for _ in range(5)]

    async def main():
        task = asyncio.create_task(other())
        result = await work()
        await task
        return result

    assert asyncio.run(main()) == [4950] * 5
    (report,) = reports
    assert {"work", "step", "inner"} <= names(report)
    assert "somebody_elses" not in names(report)


def test_it_is_logged_where_nobody_is_told(caplog):
    @perfkit.profiled
    def work():
        return inner()

    with caplog.at_level(logging.INFO, "perfkit.timing"):
        work()
    assert "inner" in caplog.text
    assert work.__qualname__ in caplog.text


def test_one_that_raises_is_reported(reports):
    @perfkit.profiled(report=reports.append)
    def work():
        inner()
        raise KeyError

    with pytest.raises(KeyError):
        work()
    assert reports[0].failed
    assert "and raised" in str(reports[0])


def test_a_report_that_raises_is_logged(caplog):
    def report(_):
        raise RuntimeError("no place to put it")

    @perfkit.profiled(report=report)
    def work():
        return inner()

    assert work() == 4950
    assert "no place to put it" in caplog.text


def test_recursion_is_one_profile(reports):
    @perfkit.profiled(every=1, report=reports.append)
    def work(depth):
        return work(depth - 1) if depth else inner()

    assert work(5) == 4950
    assert len(reports) == 1


def test_where_another_profiler_is_at_work_it_steps_back(reports):
    @perfkit.profiled(every=1, report=reports.append, name="stepped back")
    def work():
        return inner()

    profile = cProfile.Profile()
    profile.enable()
    try:
        assert work() == 4950
    finally:
        profile.disable()
    assert work() == 4950
    assert [names(report) >= {"inner"} for report in reports][-1]
    assert sys.getprofile() is None


def test_where_a_trace_function_of_somebody_is_set_it_steps_back(reports):
    @perfkit.profiled(every=1, report=reports.append, name="traced")
    def work():
        return inner()

    sys.setprofile(lambda *_: None)
    try:
        assert work() == 4950
    finally:
        sys.setprofile(None)
    assert reports == []
    (stats,) = (one.stats for one in perfkit.stats() if one.name == "traced")
    assert stats.skipped == 1


def test_threads_take_turns(reports):
    barrier = threading.Barrier(8)

    @perfkit.profiled(every=10, report=reports.append, name="threads")
    def work():
        return inner()

    def use():
        barrier.wait()
        for _ in range(500):
            assert work() == 4950

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (stats,) = (one.stats for one in perfkit.stats() if one.name == "threads")
    assert stats.calls == 4000
    assert len(reports) == stats.profiled >= 1
    assert sys.getprofile() is None


def test_others_running_meanwhile_is_said(reports):
    @perfkit.profiled(report=reports.append)
    def work():
        return inner()

    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    work()
    done.set()
    thread.join()
    assert reports[0].is_mixed == (sys.version_info >= (3, 12))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_a_child_forked_while_one_is_profiled_can_profile(reports):
    @perfkit.profiled(every=1, report=reports.append)
    def work():
        return inner()

    @perfkit.profiled(every=1, report=reports.append)
    def forks():
        child = os.fork()
        if child == 0:
            os._exit(work() == 4950 and 7)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert forks() == 7


def test_stats_can_be_dumped(tmp_path, reports):
    @perfkit.profiled(report=reports.append)
    def work():
        return inner()

    work()
    reports[0].stats.dump_stats(tmp_path / "work.prof")
    assert (tmp_path / "work.prof").stat().st_size > 0
