"""KeyboardInterrupt inside a cached call, at any place: it reaches its thread, nobody else hangs, nothing is torn."""

import threading

import pytest
from interrupting import FIRST, STEP, interrupted

from perfkit.caching import FrequencyBoostLRU, cached
from perfkit.caching.entry import KEY

PATIENCE = 5.0  # seconds that others wait before they are said to hang
ENOUGH = 3  # places found wrong, each of which takes that long


def what_is_wrong(cache, call):
    """Return what an interrupt has left behind: who comes next is answered, and dictionary and policy agree."""
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(call()), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    wrong = [] if outcome == ["value"] else [f"the next caller: {outcome}"]
    store = cache._store
    living = {entry[KEY] for entry in store._policy.entries()}
    wrong += [] if living == set(store.data) else [f"the policy has {living}, the dictionary {set(store.data)}"]
    wrong += [f"{len(store.flights)} flights"] if store.flights else []
    return wrong


@pytest.fixture
def struck_everywhere():
    """``struck_everywhere(scene)`` plays the scene with an interrupt at the first place, the second, and so on.

    ``scene(struck)`` returns a cache and a call; in it ``struck(operation)`` runs something with the interrupt in it.
    """

    def play(scene):
        wrong, at = {}, FIRST
        while len(wrong) < ENOUGH:
            places = []
            cache, call = scene(lambda operation, at=at, places=places: places.append(interrupted(operation, at)))
            if found := what_is_wrong(cache, call):
                wrong[places[0]] = found
            if places == [None]:
                break
            at += STEP
        assert at > 5, "hardly anything was interrupted"
        assert not wrong, "\n".join(f"{place}: {'; '.join(found)}" for place, found in wrong.items())

    return play


def in_a_thread(operation):
    thread = threading.Thread(target=operation, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("options", [{}, {"ttl": 1000}, {"ttl": 1000, "refresh_ahead": 0.5, "stale_if_error": 5}])
def test_a_first_call(struck_everywhere, options):
    def scene(struck):
        function = cached(maxsize=3, **options)(lambda key: "value")
        for key in range(5):
            function(key)
        in_a_thread(lambda: struck(lambda: function("new"))).join(PATIENCE)
        return function.cache, lambda: function("new")

    struck_everywhere(scene)


@pytest.mark.parametrize("part", ["leads", "follows"])
def test_among_others_that_wait(struck_everywhere, eventually, part):
    def scene(struck):
        go_on = threading.Event()

        def slow(key):
            go_on.wait(PATIENCE)
            return "value"

        function = cached(slow)
        flights, answers = function.cache._store.flights, []

        def wait():
            answers.append(function("key"))

        def victim():
            struck(lambda: function("key"))

        first, *others = [victim, wait, wait] if part == "leads" else [wait, victim, wait]
        threads = [in_a_thread(first)]
        eventually(lambda: flights or not threads[0].is_alive())
        threads += [in_a_thread(other) for other in others]
        go_on.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert answers == ["value"] * 2
        return function.cache, lambda: function("key")

    struck_everywhere(scene)


def test_putting_in_and_taking_out(struck_everywhere):
    def scene(struck):
        cache = FrequencyBoostLRU(3, ttl=1000)
        for key in range(5):
            cache[key] = key

        def operations():
            cache["new"] = 1
            cache["new"] = 2
            cache.pop(4, None)
            cache.shrink(fraction=0.5)

        in_a_thread(lambda: struck(operations)).join(PATIENCE)
        return cache, lambda: cache.get_or_load("other", lambda: "value")

    struck_everywhere(scene)
