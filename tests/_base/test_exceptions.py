"""Raising one error to several callers."""

import gc
import subprocess
import sys
import traceback
import weakref

import pytest

from perfkit._base.exceptions import annotate, described, outlined, to_raise, without_frames


class Thing:
    """Something that a frame refers to."""


class Awkward(Exception):
    """No copy of it can be made."""

    def __new__(cls, *args):
        if args:
            raise TypeError("made by its own function alone")
        return super().__new__(cls)

    def __init__(self):
        super().__init__("awkward")


def caught(function):
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def refuse():
    thing = Thing()
    refuse.seen = weakref.ref(thing)
    raise ConnectionRefusedError(111, "nobody there")


def lose():
    try:
        refuse()
    except OSError as error:
        raise KeyError("lost") from error


def lines_of(error):
    return [(entry.name, entry.lineno, entry.line) for entry in traceback.extract_tb(error.__traceback__)]


def test_an_outline_shows_the_same_lines():
    error = caught(lose)
    kept = outlined(error)
    assert lines_of(kept) == lines_of(error)
    assert lines_of(kept.__cause__) == lines_of(error.__cause__)
    assert (type(kept.__cause__), kept.__cause__.errno) == (ConnectionRefusedError, 111)
    assert traceback.format_exception(kept)[0] == traceback.format_exception(error)[0]


def test_an_outline_keeps_no_frame_and_no_caller():
    kept = outlined(caught(lose))
    gc.collect()
    assert refuse.seen() is None
    frames = [frame for frame, _ in traceback.walk_tb(kept.__traceback__)]
    assert [(frame.f_back, frame.f_locals) for frame in frames] == [(None, {})] * len(frames)


def test_what_led_to_it_stays_and_circles_end():
    def fail():
        try:
            1 / 0  # noqa: B018 (it is to fail)
        except ZeroDivisionError:
            raise ValueError("meanwhile")  # noqa: B904 (that is the point)

    error = caught(fail)
    error.__context__.__context__ = error
    kept = outlined(error)
    assert isinstance(kept.__context__, ZeroDivisionError)
    assert kept.__context__.__context__ is None
    assert not kept.__suppress_context__
    assert outlined(caught(lose)).__suppress_context__


def test_the_tracebacks_of_those_who_are_told_do_not_grow():
    kept = outlined(caught(refuse))

    def tell():
        raise to_raise(kept)

    assert len({len(lines_of(caught(tell))) for _ in range(5)}) == 1
    assert lines_of(caught(tell))[-1][0] == "refuse"
    assert len(lines_of(kept)) == 2


def test_nor_that_of_one_which_can_not_be_copied():
    error = Awkward()

    def tell():
        raise to_raise(error)

    assert caught(tell) is error
    before = len(lines_of(error))
    assert len(lines_of(caught(tell))) == before


def test_each_copy_has_notes_of_its_own():
    error = ValueError()
    error.add_note("from before")
    copies = [without_frames(error) for _ in range(2)]
    for number, copy in enumerate(copies):
        copy.add_note(f"number {number}")
    assert error.__notes__ == ["from before"]
    assert [copy.__notes__ for copy in copies] == [["from before", "number 0"], ["from before", "number 1"]]


def test_a_note_replaces_the_one_with_its_heading():
    error = ValueError()
    error.add_note("somebody else's")
    for number in range(3):
        annotate(error, "ours", f"ours: {number}")
    assert error.__notes__ == ["somebody else's", "ours: 2"]


@pytest.mark.parametrize("flags", [[], ["-X", "no_debug_ranges"]])
def test_the_interpreter_prints_it_like_any_other(flags, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "from perfkit._base.exceptions import outlined\n"
        "def fail():\n"
        "    raise ValueError(\n"
        "        'no')\n"
        "try:\n"
        "    fail()\n"
        "except ValueError as error:\n"
        "    kept = outlined(error)\n"
        "raise kept\n"
    )
    command = [sys.executable, *flags, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{program}", line 9, in <module>',
        "    raise kept",
        f'  File "{program}", line 6, in <module>',
        "    fail()",
        f'  File "{program}", line 3, in fail',
        "    raise ValueError(",
        "ValueError: no",
    ]


def test_an_error_is_described_in_one_line_whatever_it_is():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    assert described(ValueError("two\nlines")) == "ValueError: two lines"
    assert described(ValueError()) == "ValueError"
    assert described(Mute()) == "Mute"
