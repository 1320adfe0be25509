"""KeyboardInterrupt inside a call: nobody else hangs, the lock is free, the file is whole, and the group goes on.

Once at random, with real signals; and once systematically, at each place where the interpreter may deliver one: at a
function's start, after a call of a C function, and where a loop turns back. Those places are found by tracing, one
after another.
"""

import contextlib
import dis
import json
import os
import sys
import threading

import pytest

import perfkit
from perfkit.statefile.lock import lock_for

OURS = (os.path.join(os.path.dirname(perfkit.__file__), ""), contextlib.__file__)
# Here are callbacks of weak references, run wherever a reference ends. Python itself drops an interrupt that strikes
# there.
CALLBACKS = tuple(os.path.join(OURS[0], *parts) for parts in [("_base", "fork.py"), ("registry.py",)])
HISTOGRAM = os.path.join(OURS[0], "_base", "histogram.py")
MONITORING = sys.version_info >= (3, 12)
PATIENCE = 2.0  # seconds that others wait before they are said to hang
ENOUGH = 5  # places found wrong, each of which takes that long


class Interruptor:
    """Raises KeyboardInterrupt at the ``at``-th place in perfkit (and the contextlib it runs in) that its thread comes
    by."""

    def __init__(self, at):
        self._left = at
        self._calls = 0
        self._before = {}  # by frame: its last instruction, and how many calls there had been by then
        self.struck = None

    def started(self, frame):
        """A function begins, or a generator goes on."""
        self._calls += 1
        self._before[id(frame)] = "RESUME", self._calls

    def instruction(self, frame, offset):
        """An instruction is about to be run."""
        if self._may_strike(*self._before.get(id(frame), ("", 0))):
            self._strike(frame)
        name = dis.opname[frame.f_code.co_code[offset]]
        self._before[id(frame)] = "" if name == "RESUME" else name, self._calls

    def _may_strike(self, name, calls):
        """Tell whether the interpreter looks for signals after an instruction."""
        if name in ("CALL", "CALL_KW", "CALL_FUNCTION_EX"):
            return calls == self._calls  # one that made a Python frame has looked at its start, and doesn't at its end
        return name in ("RESUME", "JUMP_BACKWARD")

    def _strike(self, frame):
        self._left -= 1
        if self._left < 0 and self.struck is None:
            self.struck = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_name}"
            raise KeyboardInterrupt


def counts(frame):
    file, caller = frame.f_code.co_filename, frame.f_back.f_code.co_filename
    # inside a histogram there is nothing to come undone, and much to count
    return file.startswith(OURS) and file not in CALLBACKS and not file == caller == HISTOGRAM


@contextlib.contextmanager
def watched_by(interruptor):
    """Show the interruptor what this thread does: 3.11's way, by a trace function."""

    def trace(frame, event, argument):
        if event == "call":
            interruptor.started(frame)
            frame.f_trace_opcodes = counts(frame)
        elif event == "opcode":
            interruptor.instruction(frame, frame.f_lasti)
        return trace if frame.f_trace_opcodes else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@contextlib.contextmanager
def monitored_by(interruptor):
    """The same by sys.monitoring (3.12), where a trace function no longer sees every instruction."""
    mine = threading.get_ident()

    def started(code, offset):
        if threading.get_ident() == mine:
            interruptor.started(sys._getframe(1))

    def instruction(code, offset):
        if not code.co_filename.startswith(OURS):
            return sys.monitoring.DISABLE
        frame = sys._getframe(1)
        if threading.get_ident() == mine and counts(frame):
            interruptor.instruction(frame, offset)
        return None

    tool, events = sys.monitoring.DEBUGGER_ID, sys.monitoring.events
    callbacks = {events.PY_START: started, events.PY_RESUME: started, events.INSTRUCTION: instruction}
    sys.monitoring.use_tool_id(tool, "interruptor")
    for event, callback in callbacks.items():
        sys.monitoring.register_callback(tool, event, callback)
    sys.monitoring.set_events(tool, sum(callbacks))
    try:
        yield
    finally:
        sys.monitoring.set_events(tool, 0)
        for event in callbacks:
            sys.monitoring.register_callback(tool, event, None)
        sys.monitoring.free_tool_id(tool)


def interrupted(operation, at):
    """Run it in this thread; return where it was interrupted, or None if it was over before that."""
    interruptor = Interruptor(at)
    with contextlib.suppress(KeyboardInterrupt), (monitored_by if MONITORING else watched_by)(interruptor):
        operation()
    return interruptor.struck


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
        wrong, at = {}, 0
        while len(wrong) < ENOUGH:
            path = memory_disk / f"{at}.json"
            path.write_text("{}")
            state = perfkit.StateFile(path, default=dict, durability="process", timeout=PATIENCE)
            places = []
            expected = scene(
                state, path, lambda operation, at=at, places=places: places.append(interrupted(operation, at))
            )
            if found := what_is_wrong(path, state, expected):
                wrong[places[0]] = found
            if places == [None]:
                break
            at += 1
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
