"""KeyboardInterrupt inside a call: nobody else hangs, the lock is free, the file is whole, and the group goes on.

Once at random, with real signals; and once systematically, at each place where the interpreter may deliver one.
"""

import json
import threading

import pytest
from interrupting import FIRST, STEP, interrupted

import perfkit
from perfkit.statefile.lock import lock_for
from perfkit.statefile.places import stands_anywhere

PATIENCE = 2.0  # seconds that others wait before they are said to hang
ENOUGH = 5  # places found wrong, each of which takes that long


def bump(name):
    def change(document):
        document[name] = document.get(name, 0) + 1
        return document[name]

    return change


def edit(state):
    with state.edit() as document:
        bump("struck")(document)


def update(state):
    state.update(bump("struck"))


def save(state):
    state.save({"struck": 1})


def what_is_wrong(path, state, expected):
    """Return what an interrupt has left behind; ``struck`` may be counted or not, all the others must be."""
    document = json.loads(path.read_bytes())
    counted = document.pop("struck", 0)
    wrong = [] if document == expected and counted in (0, 1) else [f"the file holds {document}, struck {counted}"]
    for who, other in [("another state file", perfkit.StateFile(path, timeout=PATIENCE)), ("the same", state)]:
        outcome = in_a_thread(lambda other=other, who=who: other.update(bump(who)))
        wrong += [f"{who}: {outcome!r}"] if outcome != 1 else []
    return wrong


def in_a_thread(operation):
    """Return its result or its error; None if neither came."""
    outcome = [None]

    def run():
        try:
            outcome[0] = operation()
        except BaseException as error:
            outcome[0] = error

    thread = threading.Thread(target=run, daemon=True)  # one that hangs must not keep pytest from ending
    thread.start()
    thread.join(4 * PATIENCE)
    return outcome[0]


@pytest.fixture
def struck_everywhere(memory_disk):
    """``struck_everywhere(scene)`` plays the scene with an interrupt at the first place, the second, and so on.

    A scene is a function of the state file, its path and ``struck``, which runs an operation with the interrupt in it;
    it returns what the file must hold. Fails with all places that left something wrong.
    """

    def play(scene):
        wrong, at = {}, FIRST
        while len(wrong) < ENOUGH:
            path = memory_disk / f"{at}.json"
            path.write_text("{}")
            state = perfkit.StateFile(path, default=dict, durability="process", timeout=PATIENCE)
            places, stands = [], []

            def strike(operation, at=at, places=places, stands=stands):
                places.append(interrupted(operation, at))
                stands.append(stands_anywhere())

            found = what_is_wrong(path, state, scene(state, path, strike))
            if stands == [True]:
                found.append("its thread is held to be in line for ever")
            if found:
                wrong[places[0]] = found
            if places == [None]:
                break
            at += STEP
        assert at > 8, "hardly anything was interrupted"
        assert not wrong, "\n".join(f"{place}: {'; '.join(found)}" for place, found in wrong.items())

    return play


@pytest.mark.parametrize("operation", [edit, update, save])
def test_alone(struck_everywhere, operation):
    def scene(state, path, struck):
        victim = threading.Thread(target=struck, args=[lambda: operation(state)], daemon=True)
        victim.start()
        victim.join(4 * PATIENCE)
        return {}

    struck_everywhere(scene)


@pytest.mark.parametrize("part", ["leads", "follows", "follows-and-then-leads"])
def test_in_a_group(struck_everywhere, eventually, part):
    """Of three callers one is interrupted; the two others are answered, and what they did is in the file once."""

    def scene(state, path, struck):
        answers = {}

        def neighbour(name):
            try:
                answers[name] = state.update(bump(name))
            except BaseException as error:
                answers[name] = error

        victim = threading.Thread(target=struck, args=[lambda: update(state)], daemon=True)
        one, two = (threading.Thread(target=neighbour, args=[name], daemon=True) for name in ("one", "two"))

        def in_line(*threads):
            for thread in threads:
                before = len(state._group.waiting)
                thread.start()
                eventually(lambda before=before: len(state._group.waiting) > before or not victim.is_alive())

        if part == "follows-and-then-leads":

            def hold_up(document):
                in_line(victim, two)

            in_a_thread(lambda: state.update(hold_up))
            one.start()
        else:
            with perfkit.StateFile(path).edit():
                in_line(*([victim, one, two] if part == "leads" else [one, victim, two]))
        for thread in (victim, one, two):
            thread.join(4 * PATIENCE)
        return answers

    struck_everywhere(lambda state, path, struck: expect_ones(scene(state, path, struck)))


@pytest.mark.parametrize("operation", [edit, update, save])
@pytest.mark.parametrize("place", ["first", "last"])
def test_in_the_line(struck_everywhere, eventually, operation, place):
    """One is interrupted among others that wait for the lock, not for the same write."""

    def scene(state, path, struck):
        answers, lock = {}, lock_for(str(path))

        def neighbour():
            answers["one"] = perfkit.StateFile(path, durability="process", timeout=PATIENCE).update(bump("one"))

        victim = threading.Thread(target=struck, args=[lambda: operation(state)], daemon=True)
        other = threading.Thread(target=neighbour, daemon=True)
        with perfkit.StateFile(path).edit():
            for number, thread in enumerate([victim, other] if place == "first" else [other, victim], 2):
                thread.start()
                eventually(lambda number=number: len(lock._line._queue) >= number or not victim.is_alive())
        for thread in (victim, other):
            thread.join(4 * PATIENCE)
        if operation is save and place == "last":  # it may have replaced what the other wrote
            return answers if "one" in json.loads(path.read_bytes()) else {}
        return {"one": answers.get("one")}

    struck_everywhere(scene)


def expect_ones(answers):
    """Make of the neighbours' answers what the file must hold: each was answered 1, or the file can't be right."""
    return {
        name: answers.get(name, "no answer") if answers.get(name) == 1 else repr(answers.get(name))
        for name in ("one", "two")
    }


def test_at_random(start, tmp_path):
    path = tmp_path / "state.json"
    program = start("interrupted", path, 50)
    acknowledged, interrupts = (json.loads(line) for line in program.end().splitlines())
    document = json.loads(path.read_bytes())
    mine = acknowledged.pop("main")
    assert {name: document[name] for name in acknowledged} == acknowledged
    assert mine <= document["main"] <= mine + interrupts
    assert interrupts == 50
    perfkit.StateFile(path, timeout=1).update(bump("later"))
