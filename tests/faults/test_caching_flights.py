"""One call however many wait: threads, tasks, two loops; exceptions, cancellation, interrupts, circles, forks.

The faults of peers that the docstrings name were seen in them; here they must not be.
"""

import asyncio
import gc
import os
import signal
import threading
import weakref

import pytest

from perfkit.caching import FrequencyBoostLRU, cached

PATIENCE = 20  # seconds; nothing here takes them unless it hangs


def in_threads(*functions):
    """Call each in a thread of its own; return what they returned or raised, in order."""
    outcomes = [None] * len(functions)

    def call(number, function):
        try:
            outcomes[number] = function()
        except BaseException as error:
            outcomes[number] = error

    threads = [threading.Thread(target=call, args=item, daemon=True) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "it hangs"
    return outcomes


def run(main):
    async def patiently():
        async with asyncio.timeout(PATIENCE):
            return await main

    return asyncio.run(patiently())


def waiting_for(function, count):
    """Tell whether so many wait for the function's one flight."""
    return any(len(flight._wakers or ()) >= count for flight in list(function.cache._store.flights.values()))


class Slow:
    """A function to cache: counts its calls and lasts until it may go on."""

    def __init__(self):
        self.calls = 0
        self.go_on = threading.Event()
        self.error = None

    def __call__(self, key=None):
        self.calls += 1
        assert self.go_on.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return object()


@pytest.fixture
def slow():
    return Slow()


def let_go_when(condition, slow, eventually):
    eventually(condition)
    slow.go_on.set()


def test_eight_threads_are_one_call(slow, eventually):
    """lru_cache, cachetools (even with ``lock=``), moka and aiocache call it eight times."""
    function = cached(slow)
    *answers, _ = in_threads(*[function] * 8, lambda: let_go_when(lambda: waiting_for(function, 7), slow, eventually))
    assert len({id(answer) for answer in answers}) == 1
    assert (slow.calls, function.cache_info().misses) == (1, 8)


def test_an_exception_goes_to_all_who_wait_and_is_not_kept(slow, eventually):
    """theine hangs for ever on the next call after an exception; moka keeps it."""
    function = cached(slow)
    slow.error = ConnectionError("down")
    *answers, _ = in_threads(*[function] * 8, lambda: let_go_when(lambda: waiting_for(function, 7), slow, eventually))
    assert {type(answer) for answer in answers} == {ConnectionError}
    assert len(set(map(id, answers))) == 8, "or one caller's notes and frames would be seen by the others"
    assert slow.calls == 1
    slow.error = None
    assert function() is function()
    assert slow.calls == 2


def test_a_hundred_tasks_are_one_call():
    calls = []

    @cached
    async def fetch(key):
        calls.append(key)
        await asyncio.sleep(0.01)
        return object()

    async def main():
        return await asyncio.gather(*(fetch(1) for _ in range(100)))

    assert len(set(map(id, run(main())))) == 1
    assert calls == [1]


def test_an_exception_goes_to_all_tasks_that_wait():
    calls = []

    @cached
    async def fetch():
        calls.append(True)
        await asyncio.sleep(0)
        raise ConnectionError("down")

    async def main():
        return await asyncio.gather(*(fetch() for _ in range(10)), return_exceptions=True)

    assert {type(answer) for answer in run(main())} == {ConnectionError}
    assert {type(answer) for answer in run(main())} == {ConnectionError}
    assert len(calls) == 2


def test_two_loops_are_one_call(eventually):
    calls, go_on = [], threading.Event()

    @cached
    async def fetch():
        calls.append(True)
        while not go_on.is_set():
            await asyncio.sleep(0.001)
        return object()

    def let_go():
        eventually(lambda: waiting_for(fetch, 2))
        go_on.set()

    *answers, _ = in_threads(*[lambda: run(fetch())] * 3, let_go)
    assert len(set(map(id, answers))) == 1
    assert len(calls) == 1


@pytest.mark.parametrize("waiters", [0, 1, 5])
def test_a_leading_task_that_is_cancelled_hands_on(waiters):
    calls = []

    @cached
    async def fetch():
        calls.append(True)
        await asyncio.sleep(0.01)
        return "fetched"

    async def main():
        tasks = [asyncio.create_task(fetch()) for _ in range(waiters + 1)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        tasks[0].cancel()
        first, *others = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        assert others == ["fetched"] * waiters
        assert len(calls) == (2 if waiters else 1)
        assert await fetch() == "fetched"

    run(main())
    assert not fetch.cache._store.flights


def test_waiting_tasks_that_are_cancelled_leave_the_others_alone():
    """async-lru and others have leaked locks and cancelled everybody."""

    @cached
    async def fetch():
        await asyncio.sleep(0.01)
        return "fetched"

    async def main():
        tasks = [asyncio.create_task(fetch()) for _ in range(10)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in tasks[1::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[::2] == ["fetched"] * 5
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[1::2])

    run(main())
    assert not fetch.cache._store.flights


def test_cancelled_at_every_turn():
    """Whichever await it strikes at, in the leader or in one who waits, the next caller gets its value."""

    @cached(ttl=1000, refresh_ahead=0.5)
    async def fetch():
        for _ in range(4):
            await asyncio.sleep(0)
        return "fetched"

    async def main():
        for count in range(12):
            for struck in (0, 1):
                fetch.cache_clear()
                tasks = [asyncio.create_task(fetch()) for _ in range(3)]
                for _ in range(count):
                    await asyncio.sleep(0)
                tasks[struck].cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert set(outcomes) - {"fetched"} <= {outcomes[struck]}
                assert await fetch() == "fetched"

    run(main())
    assert not fetch.cache._store.flights


class Elsewhere:
    """An event loop in a thread of its own, with a call of ``function`` under way; stopped without ending it."""

    def __init__(self, function):
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda loop, context: None)
        self.started, self._stop = threading.Event(), asyncio.Event()
        self.task = None
        self._function = function
        self._thread = threading.Thread(target=self.loop.run_until_complete, args=[self._main()])
        self._thread.start()
        assert self.started.wait(PATIENCE)

    async def _main(self):
        self.task = asyncio.create_task(self._function())
        await asyncio.sleep(0)
        self.started.set()
        await self._stop.wait()

    def stop(self):
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)

    def close(self):
        self.stop()
        self.loop.close()
        self.task = None
        gc.collect()


def hangs_once():
    """Return a cached coroutine function whose first call doesn't end while its loop stands."""
    calls = []

    @cached
    async def fetch():
        calls.append(True)
        await asyncio.sleep(PATIENCE if len(calls) == 1 else 0)
        return "fetched"

    return fetch


@pytest.mark.parametrize("end", ["close", "stop"])
def test_a_loop_that_ends_in_the_middle_of_a_load(eventually, end):
    fetch = hangs_once()
    other = Elsewhere(fetch)

    def end_it():
        eventually(lambda: waiting_for(fetch, 1))
        getattr(other, end)()

    assert in_threads(lambda: run(fetch()), end_it) == ["fetched", None]
    other.close()


def test_a_thread_that_waits_for_a_loop_that_is_stopped(eventually):
    cache, other = FrequencyBoostLRU(8), None

    async def load():
        await asyncio.sleep(PATIENCE)

    other = Elsewhere(lambda: cache.aget_or_load("a", load))

    def stop():
        eventually(lambda: any(flight._wakers for flight in list(cache._store.flights.values())))
        other.stop()

    assert in_threads(lambda: cache.get_or_load("a", lambda: "loaded"), stop) == ["loaded", None]
    other.close()


def test_who_comes_when_the_loop_stands_already_does_not_wait_for_it():
    fetch = hangs_once()
    other = Elsewhere(fetch)
    other.stop()
    assert in_threads(lambda: run(fetch())) == ["fetched"]
    other.close()
    assert not fetch.cache._store.flights


def test_an_interrupted_leader_hands_on(slow, eventually):
    first = []

    def load():
        if not first:
            first.append(True)
            slow.go_on.wait(PATIENCE)
            raise KeyboardInterrupt
        return "loaded"

    function = cached(load)
    *answers, _ = in_threads(*[function] * 4, lambda: let_go_when(lambda: waiting_for(function, 3), slow, eventually))
    assert sorted(map(str, answers)) == ["", "loaded", "loaded", "loaded"]
    assert sum(isinstance(answer, KeyboardInterrupt) for answer in answers) == 1


def test_two_functions_that_wait_for_each_other_do_not_deadlock():
    both = threading.Barrier(2)

    @cached
    def one(deep=False):
        if not deep:
            both.wait(PATIENCE)
            two(True)
        return "one"

    @cached(key=lambda deep=False: 1)
    def two(deep=False):
        if not deep:
            both.wait(PATIENCE)
            one_by_key()
        return "two"

    @cached(key=lambda: 1)
    def one_by_key():
        return "one"

    assert in_threads(one, two) == ["one", "two"]


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_ring_of_functions_each_waiting_for_the_next(length):
    all_inside = threading.Barrier(length)
    functions = []
    inside = threading.local()

    def make(number):
        @cached
        def function():
            if not getattr(inside, "deep", False):
                inside.deep = True
                all_inside.wait(PATIENCE)
                functions[(number + 1) % length]()
            return number

        return function

    functions += [make(number) for number in range(length)]
    assert in_threads(*functions) == list(range(length))


def test_a_ring_of_tasks():
    async def main():
        all_inside = asyncio.Barrier(3)
        functions, deep = [], set()

        def make(number):
            @cached
            async def function():
                task = asyncio.current_task()
                if task not in deep:
                    deep.add(task)
                    await all_inside.wait()
                    await functions[(number + 1) % 3]()
                return number

            return function

        functions.extend(make(number) for number in range(3))
        return await asyncio.gather(*(function() for function in functions))

    assert run(main()) == [0, 1, 2]


def test_a_ring_by_way_of_a_task_of_its_own():
    """A task that a leader starts has the leader's context, so who waits for whom is known there too."""

    async def main():
        both, begun = asyncio.Barrier(2), set()

        @cached
        async def one():
            if "one" not in begun:
                begun.add("one")
                await both.wait()
                await two()
            return "one"

        @cached
        async def two():
            if "two" not in begun:
                begun.add("two")
                await both.wait()
                await asyncio.create_task(one())
            return "two"

        return await asyncio.gather(one(), two())

    assert run(main()) == ["one", "two"]


def test_a_ring_by_way_of_worker_threads():
    """`asyncio.to_thread` takes the context along."""

    async def main():
        both, begun = threading.Barrier(2), set()

        @cached
        def below(name):
            if name not in begun:
                begun.add(name)
                both.wait(PATIENCE)
                below({"one": "two", "two": "one"}[name])
            return name

        @cached
        async def above(name):
            return await asyncio.to_thread(below, name)

        return await asyncio.gather(above("one"), above("two"))

    assert run(main()) == ["one", "two"]


def test_a_thread_does_not_wait_for_a_task_of_the_loop_it_stops():
    cache = FrequencyBoostLRU(10)

    async def main():
        async def load_slowly():
            await asyncio.sleep(0.01)
            return "by the task"

        task = asyncio.create_task(cache.aget_or_load("key", load_slowly))
        await asyncio.sleep(0)
        here = cache.get_or_load("key", lambda: "here")
        return here, await task

    assert run(main()) == ("here", "by the task")


def test_threads_and_tasks_share_a_load(slow, eventually):
    cache = FrequencyBoostLRU(10)

    def in_a_loop():
        async def never():
            raise AssertionError("somebody else has begun")

        return run(cache.aget_or_load("key", never))

    def lead():
        return cache.get_or_load("key", slow)

    def follow():
        eventually(lambda: slow.calls)
        return in_a_loop()

    def let_go():
        eventually(lambda: any(flight._wakers for flight in list(cache._store.flights.values())))
        slow.go_on.set()

    one, two, _ = in_threads(lead, follow, let_go)
    assert one is two is cache["key"]


def test_get_or_load_keeps_what_it_is_told_to():
    cache = FrequencyBoostLRU(10)
    assert cache.get_or_load("a", lambda: 1, tags=["t"]) == cache.get_or_load("a", lambda: 2) == 1
    with pytest.raises(ZeroDivisionError):
        cache.get_or_load("b", lambda: 1 / 0)
    assert cache.get_or_load("b", lambda: None) is None
    assert cache.invalidate(tag="t") == 1
    figures = cache.stats()
    assert (figures.hits, figures.misses, figures.loads, figures.load_failures) == (1, 3, 3, 1)
    with pytest.raises(ValueError, match="ttl"):
        cache.get_or_load("c", lambda: 1, ttl=0)


def test_a_value_written_meanwhile_is_not_replaced_by_the_older_one(slow, eventually):
    cache = FrequencyBoostLRU(10)

    def write():
        eventually(lambda: slow.calls)
        cache["key"] = "written"
        slow.go_on.set()

    loaded, _ = in_threads(lambda: cache.get_or_load("key", slow), write)
    assert loaded != "written"
    assert cache["key"] == "written"


@pytest.mark.parametrize("how", ["function", "get_or_load"])
def test_what_is_invalidated_by_tag_while_it_is_loaded_is_not_kept(slow, eventually, how):
    function = cached(tags=lambda key: [f"tag {key}"])(slow)
    cache = function.cache if how == "function" else FrequencyBoostLRU(10)

    def load():
        return function("key") if how == "function" else cache.get_or_load("key", slow, tags=["tag key"])

    def invalidate():
        eventually(lambda: slow.calls)
        cache.invalidate(tag="another")
        cache.invalidate(tag="tag key")
        slow.go_on.set()

    first, _ = in_threads(load, invalidate)
    assert len(cache) == 0
    assert load() is not first


def test_nothing_of_a_load_stays():
    class Value:
        pass

    @cached
    def load(key):
        return Value()

    reference = weakref.ref(load(1))
    load.cache_clear()
    gc.collect()
    assert reference() is None

    class Thing:
        @cached
        def fail(self):
            raise ZeroDivisionError

    thing = Thing()
    with pytest.raises(ZeroDivisionError):
        thing.fail()
    reference = weakref.ref(thing)
    del thing
    gc.collect()
    assert reference() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork: run it on a POSIX system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_the_middle_of_a_load_does_not_wait_for_it(slow, eventually):
    function = cached(slow)
    function.cache["known"] = "known"
    held = threading.Event()

    def hold_the_lock():
        with function.cache._store.lock:
            held.set()
            slow.go_on.wait(PATIENCE)

    threads = [threading.Thread(target=function, args=["loading"]), threading.Thread(target=hold_the_lock)]
    threads[0].start()
    eventually(lambda: slow.calls)
    threads[1].start()
    assert held.wait(PATIENCE)
    child = os.fork()
    if not child:
        signal.alarm(PATIENCE)
        slow.go_on.set()
        slow.calls = 0
        try:
            function("loading")
            function.cache["more"] = 1
            os._exit(0 if slow.calls == 1 and len(function.cache) >= 2 else 1)
        finally:
            os._exit(2)
    slow.go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert function.cache["known"] == "known"
