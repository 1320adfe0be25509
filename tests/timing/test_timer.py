import asyncio
import threading

import pytest

import perfkit
from perfkit import Timer
from perfkit.testing import FakeClock
from perfkit.timing import Lap, Spent


def fail(clock):
    clock.advance(1)
    raise KeyError


@pytest.fixture
def clock():
    return FakeClock()


def test_a_block(clock):
    with Timer(timer=clock) as timer:
        clock.advance(2)
        assert (timer.seconds, timer.is_running) == (2, True)
        clock.advance(1)
    clock.advance(5)
    assert (timer.seconds, timer.is_running, timer.error) == (3, False, None)
    assert repr(timer) == "<Timer 'timer': 3 s>"


def test_laps(clock):
    with Timer("import", timer=clock) as timer:
        clock.advance(1)
        assert timer.lap("read") == 1
        clock.advance(2)
        assert timer.lap() == 2
    assert timer.laps == (Lap("read", 1), Lap("2", 2))
    with pytest.raises(RuntimeError, match="doesn't run"):
        timer.lap()


def test_timers_inside_are_its_children_added_up_by_name(clock):
    def parse():
        with Timer("parse", timer=clock):
            clock.advance(1)
            with Timer("decode", timer=clock):
                clock.advance(2)

    with Timer("import", timer=clock) as timer:
        parse()
        parse()
        with Timer("write", timer=clock):
            clock.advance(10)
    assert timer.children == (
        Spent("write", 1, 10, ()),
        Spent("parse", 2, 6, (Spent("decode", 2, 4, ()),)),
    )
    assert str(timer) == "\n".join([
        "import           16 s",
        "  write          10 s",
        "  parse           6 s  2 times",
        "    decode        4 s  2 times",
    ])  # fmt: skip


def test_it_starts_from_nothing_when_it_is_used_again(clock):
    timer = Timer(timer=clock)
    for seconds in (3, 1):
        with timer:
            clock.advance(seconds)
            timer.lap()
            with Timer(timer=clock):
                pass
    assert (timer.seconds, len(timer.laps), timer.children) == (1, 1, (Spent("timer", 1, 0, ()),))


def test_it_is_refused_while_it_runs():
    timer = Timer()
    with timer, pytest.raises(RuntimeError, match="make another Timer"):
        timer.__enter__()


def test_an_exception_is_noted_and_passes(clock):
    timer = Timer(timer=clock)
    with pytest.raises(KeyError), timer:
        fail(clock)
    assert (timer.error, timer.seconds) == (KeyError, 1)
    assert "KeyError" in str(timer)


def test_each_call_of_a_function_is_reported(clock):
    reported = []

    @Timer(report=reported.append, timer=clock)
    def work(seconds):
        clock.advance(seconds)

    work(1)
    work(2)
    assert [(timer.name, timer.seconds) for timer in reported] == [
        (f"{work.__qualname__}", 1),
        (f"{work.__qualname__}", 2),
    ]


def test_recursion_costs_no_more_than_fifty_levels():
    @Timer("deep")
    def deep(levels):
        return deep(levels - 1) if levels else 0

    with Timer() as timer:
        deep(300)
    depth, node = 0, timer.children[0]
    while node.children:
        depth, node = depth + 1, node.children[0]
    assert depth < 51
    assert node.count > 200


def test_names_without_end_are_added_up(clock):
    with Timer(timer=clock) as timer:
        for number in range(1500):
            with Timer(f"job {number}", timer=clock):
                clock.advance(1)
    assert sum(child.count for child in timer.children) == 1500
    assert timer.children[0] == Spent("(others)", 500, 500, ())


def test_tasks_are_children_of_what_they_were_started_in():
    async def work():
        with Timer("task"):
            await asyncio.sleep(0)
            with Timer("step"):
                await asyncio.sleep(0)

    async def main():
        with Timer() as timer:
            await asyncio.gather(*(work() for _ in range(10)))
        with Timer() as other:
            pass
        return timer, other

    timer, other = asyncio.run(main())
    (task,) = timer.children
    assert (task.name, task.count, task.children[0].count) == ("task", 10, 10)
    assert other.children == ()


def test_threads_with_the_context_are_children_too():
    def work():
        for _ in range(500):
            with Timer("work"):
                pass

    async def main():
        with Timer() as timer:
            await asyncio.gather(*(asyncio.to_thread(work) for _ in range(8)))
        return timer

    assert asyncio.run(main()).children[0].count == 4000


def test_other_threads_are_not():
    def work():
        with Timer("work"):
            pass

    with Timer() as timer:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert timer.children == ()


def test_a_task_that_outlives_its_timer_is_nobodys_child():
    async def late(started):
        await started.wait()
        with Timer("late"):
            pass

    async def main():
        started = asyncio.Event()
        with Timer() as timer:
            task = asyncio.create_task(late(started))
            await asyncio.sleep(0)
        started.set()
        await task
        return timer

    assert asyncio.run(main()).children == ()


def test_one_that_is_left_in_another_context_is_no_parent_afterwards():
    def generator():
        with Timer("generator"):
            yield

    with Timer("outer") as outer:
        running = generator()
        next(running)
        with Timer("between"):
            pass
        running.close()
        with Timer("after"):
            pass
    assert {child.name for child in outer.children} == {"generator", "after"}


def test_by_name_in_the_package():
    assert perfkit.Timer is Timer
