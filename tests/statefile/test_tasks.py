"""What only `AsyncStateFile` can get wrong: who leads, when callers come and go on one loop, and who waits for whom."""

import asyncio
import json
import threading

import pytest

import perfkit
from perfkit import errors
from perfkit.statefile.lock import lock_for

LONG = 60  # seconds; whoever waits for itself fails after them with a StateFileTimeout, not a StateFileLockError


def test_one_task_leads_though_the_next_caller_comes_as_the_last_is_answered(tmp_path):
    """The caller goes on before the task that led has ended, and begins a lead of its own."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(document):
        entered.set()
        assert go_on.wait(10)
        document["n"] = document.get("n", 0) + 1

    async def main():
        state = perfkit.AsyncStateFile(tmp_path / "state.json", default=dict, durability="process")

        async def two_updates():
            await state.update(lambda document: None)
            await state.update(slow)

        caller = asyncio.create_task(two_updates())
        while not entered.is_set():
            await asyncio.sleep(0.001)
        try:
            return asyncio.all_tasks() - {asyncio.current_task(), caller}
        finally:
            go_on.set()
            await caller
            assert await state.load() == {"n": 1}

    assert len(asyncio.run(main())) == 1


def test_many_callers_that_come_again_and_again_are_each_answered(tmp_path):
    async def main():
        state = perfkit.AsyncStateFile(tmp_path / "state.json", default=dict, durability="process")

        async def caller(name):
            for number in range(1, 51):
                assert await state.update(lambda document: bump(document, name)) == number

        async with asyncio.timeout(60), asyncio.TaskGroup() as callers:
            for name in "abcdef":
                callers.create_task(caller(name))
        return await state.load()

    assert asyncio.run(main()) == dict.fromkeys("abcdef", 50)


def bump(document, name):
    document[name] = document.get(name, 0) + 1
    return document[name]


def test_a_stop_iteration_is_a_runtime_error_to_its_caller_alone(tmp_path):
    """Futures can't carry one."""
    state = perfkit.AsyncStateFile(tmp_path / "state.json", default=dict)

    def stop(document):
        document["stopped"] = True
        return next(iter(()))

    async def main():
        functions = [lambda d: bump(d, "a"), stop, lambda d: bump(d, "b")]
        answers = await asyncio.gather(*map(state.update, functions), return_exceptions=True)
        return answers, await state.update(lambda d: bump(d, "later"))

    (first, stopped, second), later = asyncio.run(asyncio.wait_for(main(), LONG))
    assert (first, second, later) == (1, 1, 1)
    assert isinstance(stopped, RuntimeError)
    assert isinstance(stopped.__cause__, StopIteration)
    assert perfkit.read_json(state.path) == {"a": 1, "b": 1, "later": 1}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"n": 0}')
    return path


@pytest.fixture
def state(path):
    return perfkit.StateFile(path, durability="process", timeout=LONG)


@pytest.fixture
def a_state(path):
    return perfkit.AsyncStateFile(path, durability="process", timeout=LONG)


def count(document):
    return bump(document, "n")


CALLS = {
    "edit": lambda state: state.edit().__enter__(),
    "update": lambda state: state.update(count),
    "save": lambda state: state.save({}),
    "delete": lambda state: state.delete(),
}


async def enter_edit(state):
    async with state.edit():
        pass


AWAITED = {**CALLS, "edit": enter_edit}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_thread_does_not_wait_for_a_task_of_the_loop_it_runs(state, a_state, call):
    async def call_it():
        with pytest.raises(errors.StateFileLockError, match=r"use perfkit\.AsyncStateFile") as caught:
            call(state)
        return caught.value.path

    async def main():
        async with a_state.edit() as document:
            assert await asyncio.create_task(call_it()) == state.path
            with pytest.raises(errors.StateFileLockError):
                call(state)
            count(document)
        return await a_state.update(count)

    assert asyncio.run(main()) == 2
    assert state.update(count) == 3


def test_nor_behind_another_thread_that_waits_for_the_task(state, a_state):
    async def main():
        async with a_state.edit():
            other = asyncio.create_task(asyncio.to_thread(state.update, count))
            while not state._group.waiting:
                await asyncio.sleep(0.001)
            with pytest.raises(errors.StateFileLockError, match="AsyncStateFile"):
                state.update(count)
        return await other

    assert asyncio.run(main()) == 1
    assert state.load() == {"n": 1}


def test_nor_for_one_that_is_before_it_in_line(path, state, a_state):
    held, leave, lock = threading.Event(), threading.Event(), lock_for(str(path))

    def hold():
        with perfkit.StateFile(path, durability="process").edit():
            held.set()
            assert leave.wait(LONG)

    def in_line(tickets):
        return len(lock._line._queue) >= tickets

    def release():
        while not in_line(3):
            threading.Event().wait(0.001)
        leave.set()

    async def main():
        before = asyncio.create_task(a_state.update(count))
        while not in_line(2):
            await asyncio.sleep(0.001)
        threads.append(threading.Thread(target=release))
        threads[-1].start()
        with pytest.raises(errors.StateFileLockError, match="AsyncStateFile"):
            state.update(count)
        return await before

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert held.wait(LONG)
    assert asyncio.run(main()) == 1
    for thread in threads:
        thread.join()
    assert state.load() == {"n": 1}


@pytest.mark.parametrize("timeout", [LONG, None])
def test_a_thread_waits_for_a_worker_that_gives_the_lock_back_by_itself(path, a_state, timeout):
    entered, go_on = threading.Event(), threading.Event()
    state, lock = perfkit.StateFile(path, timeout=timeout), lock_for(str(path))

    def slow(document):
        entered.set()
        assert go_on.wait(LONG)
        return count(document)

    def release():
        while len(lock._line._queue) < 2:
            threading.Event().wait(0.001)
        threading.Event().wait(0.1)  # a few looks at who holds the lock
        go_on.set()

    async def main():
        slowly = asyncio.create_task(a_state.update(slow))
        while not entered.is_set():
            await asyncio.sleep(0.001)
        releasing = threading.Thread(target=release)
        releasing.start()
        second = state.update(count)
        releasing.join()
        return await slowly, second

    assert asyncio.run(main()) == (1, 2)


def test_a_thread_that_runs_a_loop_waits_no_longer_than_asked(path):
    held, leave = threading.Event(), threading.Event()

    def hold():
        with perfkit.StateFile(path).edit():
            held.set()
            assert leave.wait(LONG)

    async def main():
        with pytest.raises(errors.StateFileTimeout):
            perfkit.StateFile(path, timeout=0.05).update(count)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LONG)
    asyncio.run(main())
    leave.set()
    holder.join()


@pytest.mark.parametrize("call", AWAITED.values(), ids=AWAITED)
def test_a_task_does_not_wait_for_its_own_edit_of_a_thread(state, a_state, call):
    async def main():
        with state.edit() as document:
            with pytest.raises(errors.StateFileLockError, match="by this task already"):
                await call(a_state)
            count(document)

    asyncio.run(main())
    with state.edit() as document:  # and here neither: the loop runs in the block
        with pytest.raises(errors.StateFileLockError, match="by this thread already"):
            asyncio.run(call(a_state))
        count(document)
    assert state.load() == {"n": 2}


def test_a_task_waits_for_another_tasks_edit_of_a_thread(state, a_state):
    async def main():
        with state.edit() as document:
            other = asyncio.create_task(a_state.update(count))
            await a_state.load()
            assert not other.done()
            count(document)
        return await other

    assert asyncio.run(main()) == 2


def test_the_function_of_an_update_does_not_wait_for_its_own_group(state, a_state, path):
    def nested(document):
        count(document)
        state.update(count)

    async def main():
        with pytest.raises(errors.StateFileLockError, match="already"):
            await a_state.update(nested)
        return await a_state.update(count)

    assert asyncio.run(main()) == 1
    assert json.loads(path.read_text()) == {"n": 1}
