"""A load that its own thread, task or context asks for again, from wherever code of others may run: nobody waits for
himself, and nobody is forgotten."""

import asyncio
import contextvars
import gc
import itertools
import sys
import threading
import weakref

import pytest
from interrupting import interrupted

from perfkit.caching import FrequencyBoostLRU, cached

PATIENCE = 20  # seconds; nothing here takes them unless it hangs


def outcome_of(function):
    """Return what a function returned in a thread of its own; it hangs if that takes long."""
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(function()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    return outcome[0]


def run(main):
    async def patiently():
        async with asyncio.timeout(PATIENCE):
            return await main

    return asyncio.run(patiently())


class Asked:
    @cached
    def method(self):
        return "value"


def plain_call():
    return cached(lambda: "value")


def call_of_a_method():
    return Asked().method


def load_into_a_cache():
    cache = FrequencyBoostLRU(3)
    return lambda: cache.get_or_load("key", lambda: "value")


@pytest.mark.parametrize("make", [plain_call, call_of_a_method, load_into_a_cache])
def test_a_handler_may_ask_at_any_point_for_what_its_thread_is_loading(make):
    def strike(at):
        function = make()
        return outcome_of(lambda: interrupted(function, at, function))

    places = list(itertools.takewhile(bool, map(strike, itertools.count())))
    assert len(places) > 10, "hardly anything was struck"


def test_a_finaliser_may_ask_for_what_its_thread_is_loading():
    @cached(maxsize=None)
    def function(number):
        return number

    class Circle:
        def __init__(self, number):
            self.circle, self.number = self, number

        def __del__(self):
            function(self.number)

    def collect_everywhere():
        threshold = gc.get_threshold()
        gc.freeze()  # what the other tests have made needn't be looked at each time
        try:
            for number in range(60):
                gc.collect()
                Circle(number)
                gc.set_threshold(1 + number % 30, 1000, 1000)
                function(number)
                gc.set_threshold(*threshold)
        finally:
            gc.set_threshold(*threshold)
            gc.unfreeze()
        return function.cache_info().currsize

    assert outcome_of(collect_everywhere) == 60


def test_cache_if_that_asks_for_what_is_being_kept():
    calls = []

    def is_kept(value):
        return len(calls) > 1 or function(1) == value

    @cached(cache_if=is_kept)
    def function(key):
        calls.append(key)
        return "value"

    assert outcome_of(lambda: function(1)) == "value"
    assert calls == [1, 1]


def test_a_ttl_that_is_kept_in_the_cache_it_is_the_ttl_of():
    @cached(ttl=lambda key, value: settings()["ttl"])
    def settings():
        return {"ttl": 30}

    assert outcome_of(settings) == {"ttl": 30}
    assert settings.cache_info().currsize == 1


@pytest.mark.parametrize("which", ["ttl", "getsizeof", "__eq__"])
def test_a_cache_whose_users_code_asks_for_what_is_being_put(which):
    asked, reentered = [], []

    def ask(*_):
        if not asked:
            asked.append(cache.get_or_load(Key(), lambda: 1))
        return 1

    class Key:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            if which == "__eq__" and is_loading and not reentered:
                reentered.append(True)
                ask()
            return isinstance(other, Key)

    options = {} if which == "__eq__" else {which: ask}
    cache, is_loading = FrequencyBoostLRU(10, **options), False
    if which == "__eq__":
        cache[1] = "another with this hash"

    def load():
        nonlocal is_loading
        is_loading = True
        return 1

    assert outcome_of(lambda: cache.get_or_load(Key(), load)) == 1
    assert asked == [1]


def test_two_tasks_of_one_load_that_wait_for_the_same_and_one_gives_up():
    """The other still waits, so who asks for the first load from the second would close a circle."""
    begun = {"one": 0, "two": 0}

    async def main():
        is_waited_for, may_ask = asyncio.Event(), asyncio.Event()

        @cached
        async def one():
            begun["one"] += 1
            if begun["one"] > 1:
                return "again"
            tasks = [asyncio.create_task(two()) for _ in range(2)]
            for _ in range(5):
                await asyncio.sleep(0)
            tasks[0].cancel()
            await asyncio.wait(tasks[:1])
            may_ask.set()
            return await tasks[1]

        @cached
        async def two():
            begun["two"] += 1
            is_waited_for.set()
            await may_ask.wait()
            return await one()

        second = asyncio.create_task(two())
        await is_waited_for.wait()
        return await asyncio.gather(one(), second)

    assert run(main()) == ["again", "again"]
    assert begun == {"one": 2, "two": 1}


class Value:
    pass


@pytest.mark.parametrize("how", ["one after another", "a task that stays"])
def test_a_load_that_begins_others_keeps_no_values_alive(how):
    values = []

    async def main():
        over = asyncio.Event()

        @cached(maxsize=1)
        async def get(key):
            value = Value()
            values.append(weakref.ref(value))
            loop = asyncio.get_running_loop()
            if how != "one after another":
                staying.append(asyncio.create_task(over.wait()))
            elif key < 100:
                loop.call_soon(begin, key + 1)
            return value

        def begin(key):
            task = asyncio.ensure_future(get(key))
            begun.add(task)
            task.add_done_callback(begun.discard)

        staying, begun = [], set()
        if how == "one after another":
            await get(0)
            while len(values) < 100:
                await asyncio.sleep(0)
        else:
            for key in range(100):
                await get(key)
        gc.collect()
        alive = sum(reference() is not None for reference in values)
        over.set()
        await asyncio.gather(*staying, *begun)
        return alive

    assert run(main()) <= 2, "one in the cache, one being made"


def test_what_a_load_began_is_part_of_what_the_load_was_part_of():
    """A load that has ended leaves a task behind, for which the load around it waits."""
    calls = []

    async def main():
        @cached
        async def outer():
            calls.append("outer")
            if len(calls) > 1:
                return "again"
            return await (await inner())[0]

        @cached
        async def inner():
            return [asyncio.create_task(outer())]

        return await outer()

    assert run(main()) == "again"
    assert calls == ["outer", "outer"]


async def in_one_context(*coroutines):
    context, loop = contextvars.copy_context(), asyncio.get_running_loop()
    return await asyncio.gather(*(loop.create_task(coroutine, context=context) for coroutine in coroutines))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Task.get_context is new in 3.12")
def test_tasks_that_share_a_context_are_one_call():
    calls = []

    @cached
    async def fetch(turns):
        calls.append(turns)
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert run(in_one_context(*(fetch(turns) for turns in (3, 5, 3, 5, 4)))) == [3, 5, 3, 5, 4]
    assert sorted(calls) == [3, 4, 5]


@pytest.mark.parametrize("turns", range(8))
def test_tasks_that_share_a_context_do_not_wait_in_a_circle(turns):
    """Whatever the third does with the context meanwhile, which comes and goes between the two."""
    begun = set()

    async def main():
        both = asyncio.Barrier(2)

        @cached
        async def one(name):
            if name not in begun:
                begun.add(name)
                await both.wait()
                for _ in range(4):
                    await asyncio.sleep(0)
                await one({"one": "two", "two": "one"}[name])
            return name

        @cached
        async def another():
            for _ in range(turns):
                await asyncio.sleep(0)

        return await in_one_context(one("one"), another(), one("two"))

    assert run(main()) == ["one", None, "two"]


def test_a_task_of_the_loop_that_a_load_runs_itself_does_not_wait_for_that_load():
    """It was made elsewhere, so its context says nothing of the load; but it runs in the very thread."""
    loop = asyncio.new_event_loop()

    async def ask():
        return function("asked")

    task = loop.create_task(ask())
    calls = []

    @cached(key=lambda key: 1)
    def function(key):
        calls.append(key)
        return loop.run_until_complete(task) if key == "led" else key

    try:
        assert outcome_of(lambda: function("led")) == "asked"
    finally:
        loop.close()
    assert calls == ["led", "asked"]


def test_a_key_whose_load_stopped_with_its_loop_is_kept_when_it_is_made_again():
    calls = []

    @cached
    async def fetch():
        calls.append(True)
        await asyncio.sleep(PATIENCE if len(calls) == 1 else 0)
        return "fetched"

    async def begin():
        begun.append(asyncio.ensure_future(fetch()))
        await asyncio.sleep(0)

    begun, loop = [], asyncio.new_event_loop()
    loop.run_until_complete(begin())
    assert [run(fetch()) for _ in range(3)] == ["fetched"] * 3
    assert len(calls) == 2
    begun[0].cancel()
    loop.run_until_complete(asyncio.wait(begun))
    loop.close()
    assert run(fetch()) == "fetched"
    assert len(calls) == 2
