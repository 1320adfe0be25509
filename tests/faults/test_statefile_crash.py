"""kill -9 at any moment: the file is whole, what was acknowledged is in it, and the next writer works at once."""

import json
import os
import random
import select
import signal
import time

import pytest

import perfkit

KILLS = 50  # for each durability and way: 200 in all
TEMP = ".state.json.perfkit-tmp"


class Rounds:
    """Children that write and are killed, one after another, in one directory."""

    def __init__(self, start, directory, durability, way):
        self.path = directory / "state.json"
        self.path.write_text('{"n": 0, "again": 0}')
        self._acknowledged, ours = os.pipe()
        self._server = start("crash_server", ours, self.path, durability, way, pass_fds=[ours])
        os.close(ours)

    def close(self):
        os.close(self._acknowledged)

    def kill_one(self, within):
        """Kill a writer at a random moment up to ``within`` seconds after its first change.

        Return the last number it acknowledged and what lay in the directory meanwhile.
        """
        self._server.tell("go")
        [pid] = self._server.hear()
        first = os.read(self._acknowledged, 8)
        seen = set(os.listdir(self.path.parent))
        time.sleep(random.uniform(0, within))
        os.kill(int(pid), signal.SIGKILL)
        assert self._server.hear() == [str(-signal.SIGKILL)]
        rest = os.read(self._acknowledged, 1 << 16) if self._has_more() else b""
        return int.from_bytes((first + rest)[-8:], "little"), seen | set(os.listdir(self.path.parent))

    def _has_more(self):
        return bool(select.select([self._acknowledged], [], [], 0)[0])


@pytest.fixture
def rounds(start, tmp_path):
    made = []

    def make(durability, way):
        directory = tmp_path / way
        directory.mkdir()
        made.append(Rounds(start, directory, durability, way))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("way", ["edit", "update"])
@pytest.mark.parametrize("durability", ["process", "power"])
def test_kills_lose_and_spoil_nothing(rounds, durability, way):
    victims = rounds(durability, way)
    directory = victims.path.parent
    survivor = perfkit.StateFile(victims.path, durability=durability, timeout=1)
    temps_left = 0
    for _ in range(KILLS):
        acknowledged, names = victims.kill_one(within=0.008)
        assert names - {"state.json", "state.json.lock"} <= {TEMP}
        temps_left += TEMP in names
        document = json.loads(victims.path.read_bytes())
        assert document["n"] == document["again"] >= acknowledged
        assert survivor.view() == document

        survivor.update(lambda document: document.update(n=document["n"] + 1, again=document["n"] + 1))
        assert sorted(os.listdir(directory)) == ["state.json", "state.json.lock"]
        assert survivor.view()["n"] == document["n"] + 1
    assert temps_left, "no kill struck while a temporary file was there: the kills prove little"


def test_the_same_kills_do_spoil_a_file_that_is_written_in_place(rounds):
    victims = rounds("process", "naive")
    for _ in range(200):
        victims.kill_one(within=0.008)
        if not is_json(victims.path):
            return
    pytest.fail("200 kills spoiled nothing")


def is_json(path):
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


@pytest.fixture
def holders(start, tmp_path):
    """``holders(n)`` starts n programs that edit one file as they are told."""
    path = tmp_path / "state.json"

    def make(count):
        made = [start("holder", path) for _ in range(count)]
        assert [each.hear() for each in made] == [["ready"]] * count
        return path, made

    return make


def test_the_lock_of_a_killed_holder_goes_to_who_waits(holders):
    path, (holder, waiter) = holders(2)
    holder.tell("edit 1")
    assert [holder.hear(), holder.hear()] == [["asking"], ["held"]]
    waiter.tell("edit 2")
    assert waiter.hear() == ["asking"]
    holder.kill()
    assert waiter.hear() == ["held"]
    waiter.tell("leave")
    assert waiter.hear() == ["left"]
    assert perfkit.StateFile(path).view() == {"n": 2}


def test_a_killed_waiter_is_no_obstacle(holders):
    path, (holder, *waiters) = holders(6)
    holder.tell("edit 1")
    assert [holder.hear(), holder.hear()] == [["asking"], ["held"]]
    for number, waiter in enumerate(waiters, start=2):
        waiter.tell(f"edit {number}")
        assert waiter.hear() == ["asking"]
        time.sleep(random.uniform(0, 0.02))  # any moment of its waiting
        waiter.kill()
    holder.tell("leave")
    assert holder.hear() == ["left"]
    state = perfkit.StateFile(path, timeout=1)
    assert state.view() == {"n": 1}
    assert state.update(lambda document: document["n"]) == 1


def test_a_holder_that_stops_is_waited_for(holders):
    """A stopped process still holds its lock: nobody takes it away, and it is free once that process goes on or
    dies."""
    path, (holder, other) = holders(2)
    holder.tell("edit 1")
    assert [holder.hear(), holder.hear()] == [["asking"], ["held"]]
    os.kill(holder.pid, signal.SIGSTOP)
    other.tell("try 0.05")
    assert other.hear() == ["timeout"]
    os.kill(holder.pid, signal.SIGCONT)
    holder.tell("leave")
    assert holder.hear() == ["left"]
    other.tell("try 1")
    assert other.hear() == ["had"]
    assert perfkit.StateFile(path).view() == {"n": 1}
