"""KeyboardInterrupt at any one place of perfkit: where, that is, the interpreter may deliver one.

At a function's start, after a call of a C function, and where a loop turns back. Those places are found by tracing, one
after another: ``interrupted(operation, at)`` strikes at the ``at``-th. Whatever else may come at any such place, a
signal's handler or a finaliser, is ``interrupted(operation, at, strike)``.
"""

import contextlib
import dis
import os
import sys
import threading

import perfkit

# the last is what the wrappers of cached functions say they come from
OURS = (os.path.join(os.path.dirname(perfkit.__file__), ""), contextlib.__file__, "<perfkit.cached")
# Here are callbacks of weak references, run wherever a reference ends. Python itself drops an interrupt that strikes
# there.
CALLBACKS = tuple(os.path.join(OURS[0], *parts) for parts in [("_base", "fork.py"), ("registry.py",)])
HISTOGRAM = os.path.join(OURS[0], "_base", "histogram.py")
MONITORING = sys.version_info >= (3, 12)
# In `.ci/run` each interpreter strikes at every third place, from another one on: between them they strike at all. By
# itself it strikes at all of them, which takes three times as long.
FIRST, STEP = (sys.version_info[1] % 3, 3) if os.environ.get("PERFKIT_CI") else (0, 1)


class Interruptor:
    """Calls a handler at the ``at``-th place in perfkit (and the contextlib it runs in) that its thread comes by."""

    def __init__(self, at, handler):
        self._left = at
        self._handler = handler
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
            self._handler()


def counts(frame):
    if frame.f_code.co_name == "__del__":  # there Python drops an interrupt
        return False
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


def interrupt():
    raise KeyboardInterrupt


def interrupted(operation, at, handler=interrupt):
    """Run it in this thread; return where it was interrupted, or None if it was over before that.

    ``handler()`` is called there, as that of a signal would be.
    """
    interruptor = Interruptor(at, handler)
    with contextlib.suppress(KeyboardInterrupt), (monitored_by if MONITORING else watched_by)(interruptor):
        operation()
    return interruptor.struck
