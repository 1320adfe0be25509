"""What only `AsyncStateFile` can get wrong: who leads, when callers come and go on one loop."""

import asyncio
import threading

import perfkit


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
        while not entered.is_set():  # noqa: ASYNC110 (a thread sets it)
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
