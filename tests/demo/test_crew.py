"""The crew: whatever becomes of a worker, its parent learns of it and none is left."""

import os
from functools import partial

import pytest

from perfkit.demo.crew import Crew
from perfkit.demo.results import DemoError
from perfkit.demo.statefile_before import Ordinary, save_state
from perfkit.demo.statefile_mission import AGENTS, mission_state, with_board
from perfkit.demo.statefile_together import agent, dashboard

START, KEY = with_board(mission_state())


def crew_of_one(work, make, *args, timeout=60):
    """Let one worker work, to the end of whatever comes; return the worker."""
    with Crew() as crew:
        worker = crew.hire(work.__name__, work, make, KEY, *args, [0] * len(AGENTS))
        crew.begin()
        with pytest.raises(DemoError) as caught:
            crew.gather([worker], timeout=timeout, meanwhile=lambda: None)
    assert not worker.process.is_alive()
    return str(caught.value)


def test_a_worker_that_raises_is_reported_with_its_traceback(tmp_path):
    said = crew_of_one(agent, partial(Ordinary, str(tmp_path / "missing.json")), "scout", 1)
    assert said.startswith("the process 'agent' failed:\nTraceback")
    assert "FileNotFoundError" in said


def test_a_worker_that_dies_is_noticed():
    said = crew_of_one(agent, partial(os._exit, 3), "scout", 1)
    assert said == "the process 'agent' ended early, with exit code 3"


def test_workers_that_do_not_finish_are_ended(tmp_path):
    save_state(str(tmp_path / "state.json"), START)
    said = crew_of_one(dashboard, partial(Ordinary, str(tmp_path / "state.json")), timeout=0)
    assert said == "the processes did not finish in 0 s"


def test_telling_a_worker_that_is_gone():
    with Crew() as crew:
        worker = crew.hire("scout", agent, partial(os._exit, 3), KEY, "scout", 1, [0] * len(AGENTS))
        worker.process.kill()
        worker.process.join()
        with pytest.raises(DemoError, match="'scout' ended early, with exit code -9"):
            worker.tell("go")
