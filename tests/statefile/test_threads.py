"""Threads on one `StateFile`: groups are formed, each is answered for itself, views are never torn."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import perfkit
from perfkit import errors


@pytest.fixture
def state(tmp_path):
    state = perfkit.StateFile(tmp_path / "state.json", default=lambda: {"n": 0, "order": []}, timeout=20)
    state.update(lambda document: None)
    return state


def eventually(condition):
    deadline = threading.Event()
    for _ in range(2000):
        if condition():
            return
        deadline.wait(0.005)
    raise AssertionError("it never came to that")


def waiting_together(state, functions):
    """Have all ``functions`` wait behind an edit, in order; return their outcomes once it has ended."""
    with ThreadPoolExecutor(len(functions)) as pool:
        with state.edit():
            futures = []
            for number, fn in enumerate(functions, start=1):
                futures.append(pool.submit(state.update, fn))
                eventually(lambda number=number: len(state._group.waiting) == number)
        return [future.exception() or future.result() for future in futures]


def put(number):
    def fn(document):
        document["order"].append(number)
        return number

    return fn


def test_those_who_wait_share_one_write(state):
    before = state.stats()
    assert waiting_together(state, [put(number) for number in range(12)]) == list(range(12))
    after = state.stats()
    assert (after.groups - before.groups, after.updates - before.updates) == (1, 12)
    assert state.view()["order"] == list(range(12))


def test_who_fails_fails_alone(state):
    def fail(document):
        document["order"].append("half")
        raise LookupError("mine")

    def poison(document):
        document["order"].append({1})

    first, failed, second, poisoned, third = waiting_together(state, [put(1), fail, put(2), poison, put(3)])
    assert (first, second, third) == (1, 2, 3)
    assert str(failed) == "'mine'" or failed.args == ("mine",)
    assert isinstance(poisoned, errors.StateFileEncodeError)
    assert state.view()["order"] == [1, 2, 3]


def test_each_is_answered_after_it_is_in_the_file(state):
    seen = []

    def work(number):
        state.update(put(number))
        with open(state.path) as file:
            seen.append(number in json.load(file)["order"])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))
    assert seen == [True] * 80


def test_whoever_times_out_has_had_no_effect(tmp_path):
    state = perfkit.StateFile(tmp_path / "state.json", default=lambda: {"order": []}, timeout=0.05)
    with ThreadPoolExecutor(4) as pool:
        with state.edit():
            outcomes = [future.exception() for future in [pool.submit(state.update, put(n)) for n in range(4)]]
        assert {type(outcome) for outcome in outcomes} == {errors.StateFileTimeout}
    assert state.view()["order"] == []
    assert state.update(put(9)) == 9


def test_views_are_never_torn(state):
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            with state.edit() as document:
                document["n"], document["order"] = number, [number] * 50

    def read():
        last = 0
        for _ in range(1500):
            view = state.view()
            assert view["order"] == [view["n"]] * len(view["order"])
            assert view["n"] >= last, "time went backwards"
            last = view["n"]
        return last

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            assert max(pool.map(lambda _: read(), range(4))) > 0
    finally:
        stop.set()
        writer.join()


def test_two_that_find_a_corrupt_file_move_it_aside_once(tmp_path):
    path = tmp_path / "state.json"
    path.write_text("{broken")
    states = [perfkit.StateFile(path, default=dict, recover="backup") for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(perfkit.StateFile.view, states)) == [{}] * 6
    [backup] = tmp_path.glob("*.corrupt-*")
    assert backup.read_text() == "{broken"
    assert sum(state.stats().recovered for state in states) == 1
