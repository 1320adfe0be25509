"""Cancellation at every moment of every operation: it happened whole or not at all, and nothing stays behind.

An operation is cancelled after no turn of the event loop, after one, after two, until it is over before it is
cancelled. What a worker thread does meanwhile is where it happens to be; the turns are short against that, so it is met
everywhere.
"""

import asyncio
import gc
import json
import os
import random
import threading
from contextlib import asynccontextmanager

import pytest

import perfkit

OLD, NEW = {"n": 0}, {"n": 1}
PATIENCE = 10  # seconds; nothing here takes them unless it hangs


def set_n(document):
    document["n"] = 1


async def edit(state):
    async with state.edit() as document:
        await asyncio.sleep(0)
        set_n(document)


# each with what the file holds once it has happened
OPERATIONS = {
    "edit": (edit, NEW),
    "update": (lambda state: state.update(set_n), NEW),
    "save": (lambda state: state.save(NEW), NEW),
    "delete": (lambda state: state.delete(), None),
    "load": (lambda state: state.load(), OLD),
    "view": (lambda state: state.view(), OLD),
    "snapshot": (lambda state: state.snapshot(), OLD),
    "exists": (lambda state: state.exists(), OLD),
}
CHANGES = ["edit", "update", "save", "delete"]


@pytest.fixture
def state(tmp_path):
    return perfkit.AsyncStateFile(tmp_path / "state.json", durability="process", timeout=PATIENCE)


def run(main):
    """Run a coroutine in a loop of its own, in which nothing may go wrong unheard, now or when it is collected."""
    complaints = []

    async def supervised():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        async with asyncio.timeout(3 * PATIENCE):
            result = await main
            await settled()
        return result

    result = asyncio.run(supervised())
    gc.collect()
    assert complaints == []
    return result


async def settled():
    """Wait until no task but ours is left: a group that is being written is written though nobody waits for it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        _, pending = await asyncio.wait(others, timeout=PATIENCE)
        assert not pending, pending


async def turns(count):
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(count, operation):
    """Cancel it after so many turns; tell whether it was over before that."""
    task = asyncio.ensure_future(operation)
    await turns(count)
    over = task.done()
    task.cancel()
    try:
        await asyncio.wait_for(asyncio.shield(task), PATIENCE)
    except asyncio.CancelledError:
        assert task.cancelled()
    return over


def write(state, document):
    """Write as somebody else does."""
    with open(state.path, "w") as file:
        json.dump(document, file)


def content(state):
    """Return what the file holds, None if there is none; whatever isn't whole is an error."""
    if not os.path.exists(state.path):
        return None
    with open(state.path) as file:
        return json.load(file)


async def assert_free(state):
    """The lock can be had by a thread, a task and the kernel's reckoning, which is every other process's."""
    threads = perfkit.StateFile(state.path, default=dict, durability="process", timeout=1)
    await asyncio.to_thread(threads.update, lambda document: None)
    async with asyncio.timeout(PATIENCE):
        await state.save(OLD)
    assert not state._group.waiting


@pytest.mark.parametrize("name", OPERATIONS)
def test_cancelled_at_any_turn(state, name):
    operation, new = OPERATIONS[name]

    async def main():
        uncancelled = count = 0
        while uncancelled < 5:
            write(state, OLD)
            over = await cancelled_after(count, operation(state))
            await settled()
            assert content(state) in ([new] if over else [OLD, new]), f"after {count} turns"
            await assert_free(state)
            uncancelled += over
            count += 1
        return count

    assert run(main()) > 5, "it was over before it could be cancelled"


@asynccontextmanager
async def held_by_a_thread(state):
    """Another thread edits the file while the block runs; its number is 5."""
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with perfkit.StateFile(state.path, durability="process").edit() as document:
            document["n"] = 5
            entered.set()
            assert leave.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    await asyncio.to_thread(entered.wait, PATIENCE)
    yield
    leave.set()
    await asyncio.to_thread(thread.join, PATIENCE)


@pytest.fixture
def held_by_a_process(start):
    @asynccontextmanager
    async def held(state):
        holder = start("holder", state.path)
        holder.tell("edit 5")
        assert [holder.hear() for _ in range(3)] == [["ready"], ["asking"], ["held"]]
        yield
        holder.tell("leave")
        assert holder.hear() == ["left"]
        holder.close()

    return held


@pytest.mark.parametrize("who", ["thread", "process", "task"])
@pytest.mark.parametrize("name", CHANGES)
def test_cancelled_while_waiting_for_the_lock(state, held_by_a_process, name, who):
    operation, _ = OPERATIONS[name]

    @asynccontextmanager
    async def held_by_a_task(state):
        async with state.edit() as document:
            document["n"] = 5
            yield

    async def main():
        write(state, OLD)
        held = {"thread": held_by_a_thread, "process": held_by_a_process, "task": held_by_a_task}[who]
        async with held(state):
            for count in range(40):
                # in a task of its own, else it would be told that it is nesting
                assert not await cancelled_after(count, asyncio.create_task(operation(state)))
                assert content(state) == OLD
            await asyncio.sleep(0.02)  # into the waits between attempts, too
            assert not await cancelled_after(random.randrange(200), asyncio.create_task(operation(state)))
        await settled()
        assert content(state) == {"n": 5}
        await assert_free(state)

    run(main())


def test_some_of_a_crowd_are_cancelled(state):
    """Who isn't cancelled is answered; who is, is in the file whole or not at all."""

    def put(name):
        def change(document):
            document[name] = name
            document["n"] += 1
            return document["n"]

        return change

    async def main():
        for _ in range(20):
            write(state, OLD)
            names = [str(number) for number in range(24)]
            tasks = {name: asyncio.create_task(state.update(put(name)), name=name) for name in names}
            await turns(random.randrange(60))
            cancelled = random.sample(names, 8)
            for name in cancelled:
                tasks[name].cancel()
            answers = dict(zip(names, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
            await settled()
            document = content(state)
            assert document.pop("n") == len(document)
            answered = {name: answer for name, answer in answers.items() if isinstance(answer, int)}
            assert set(names) - set(cancelled) <= set(answered) <= set(document)
            assert len(set(answered.values())) == len(answered)
            await assert_free(state)

    run(main())


def test_all_tasks_are_cancelled_as_at_the_end_of_a_loop(state):
    """Ours among them: the same object goes on all the same."""

    async def main():
        for count in range(60):
            write(state, OLD)
            mine = asyncio.current_task()
            tasks = [asyncio.create_task(operation(state)) for operation, _ in map(OPERATIONS.get, CHANGES)]
            tasks += [asyncio.create_task(state.update(set_n)) for _ in range(4)]
            await turns(count)
            for task in asyncio.all_tasks() - {mine}:
                task.cancel()
            outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
            errors = [error for error in outcomes if isinstance(error, Exception)]
            assert all(isinstance(error, FileNotFoundError) for error in errors), errors  # one of them deletes it
            await settled()
            assert content(state) in (OLD, NEW, None)
            await assert_free(state)
            assert await asyncio.wait_for(state.update(lambda document: "still here"), PATIENCE) == "still here"

    run(main())


def test_all_tasks_are_cancelled_while_a_group_fails(tmp_path):
    """The group cannot be written, and by then nobody is left to lead those of it that would have to try again."""
    directory = tmp_path / "here"
    directory.mkdir()
    state = perfkit.AsyncStateFile(directory / "state.json", default=dict, durability="process", timeout=PATIENCE)
    entered, go_on = threading.Event(), threading.Event()

    def remove_the_directory(document):
        entered.set()
        assert go_on.wait(PATIENCE)
        for name in os.listdir(directory):
            os.unlink(directory / name)
        directory.rmdir()
        document["n"] = 1

    async def main():
        async with state.edit():
            tasks = [asyncio.create_task(state.update(fn)) for fn in (remove_the_directory, set_n, set_n)]
            await turns(5)
            assert len(state._group.waiting) == 3
        await asyncio.to_thread(entered.wait, PATIENCE)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await turns(5)
        go_on.set()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        await settled()
        assert [task.cancelled() for task in tasks] == [True] * 3
        directory.mkdir()
        await asyncio.wait_for(state.update(set_n), PATIENCE)
        assert await state.view() == NEW

    run(main())


def test_who_is_cancelled_while_a_worker_is_at_it_waits_for_the_worker(tmp_path):
    """When an edit's CancelledError is raised, nobody works for it any more, and the lock is free."""
    entered, go_on = threading.Event(), threading.Event()

    def slow_default():
        entered.set()
        assert go_on.wait(PATIENCE)
        return dict(OLD)

    state = perfkit.AsyncStateFile(
        tmp_path / "state.json", default=slow_default, durability="process", timeout=PATIENCE
    )

    async def main():
        task = asyncio.create_task(edit(state))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        await turns(20)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), PATIENCE)
        assert content(state) is None
        await assert_free(state)

    run(main())


def test_an_update_that_is_cancelled_while_its_function_runs_is_written(state):
    """Its caller is told at once, and doesn't learn what came of it; its neighbours are answered."""
    entered, go_on = threading.Event(), threading.Event()

    def slow(document):
        entered.set()
        assert go_on.wait(PATIENCE)
        document["n"] = 1

    async def main():
        write(state, OLD)
        task = asyncio.create_task(state.update(slow))
        assert await asyncio.to_thread(entered.wait, PATIENCE)
        neighbour = asyncio.create_task(state.update(lambda document: document["n"]))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await asyncio.wait_for(neighbour, PATIENCE) == 1
        await settled()
        assert content(state) == NEW
        await assert_free(state)

    run(main())
