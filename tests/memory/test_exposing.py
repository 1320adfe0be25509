"""Who may ask a watchdog, and what it answers."""

import os
import socket
import stat
import subprocess
import sys
import time

import pytest

import perfkit
from perfkit.memory import exposing
from perfkit.memory.command import NotExposed, shown

resource = pytest.importorskip("resource", reason="needs Unix")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")


@pytest.fixture
def dog():
    with perfkit.MemoryWatchdog("1GB", name="mine", expose=True) as dog:
        dog.add(perfkit.Reclaimer(lambda need: None, name="nothing"))
        yield dog


def test_what_it_answers_is_what_it_knows(dog):
    (report,) = exposing.reports(os.getpid())
    stats = dog.stats()
    assert (report["name"], report["level"], report["usage"]["limit"]) == ("mine", "ok", stats.usage.limit)
    assert [tier["what"] for tier in report["tiers"]] == [tier.what for tier in stats.tiers]
    assert [each["name"] for each in report["reclaimers"]] == ["nothing"]
    assert report["seconds_left"] is None


def test_people_are_shown_it(dog):
    text = shown(os.getpid())
    assert "watchdog  mine: ok" in text
    assert "too early to tell" in text
    assert "  nothing" in text
    assert max(map(len, text.splitlines())) <= 80


def test_several_watchdogs_answer_each(dog):
    with perfkit.MemoryWatchdog("2GB", name="other", expose=True):
        assert [report["name"] for report in exposing.reports(os.getpid())] == ["mine", "other"]
    assert [report["name"] for report in exposing.reports(os.getpid())] == ["mine"]


def test_the_socket_is_its_owners_alone(dog):
    facts = os.stat(dog._exposed._path)
    assert stat.S_ISSOCK(facts.st_mode)
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(dog._exposed._path)).st_mode) == 0o700


def test_it_goes_with_the_watchdog(dog):
    path = dog._exposed._path
    dog.stop()
    assert not os.path.exists(path)
    with pytest.raises(NotExposed, match="expose=True"):
        shown(os.getpid())


def test_who_hangs_up_is_no_trouble_for_the_next(dog):
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(dog._exposed._path)
    assert len(list(exposing.reports(os.getpid()))) == 1


def test_a_socket_left_by_a_killed_process_is_no_answer(dog, monkeypatch):
    dead = dog._exposed._path.replace(f"{os.getpid()}.", "1.")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(dead)
    try:
        assert list(exposing.reports(1)) == []
    finally:
        os.unlink(dead)


PROGRAM = """
import os, sys, perfkit
dog = perfkit.MemoryWatchdog(expose=True)
dog.start()
print(dog._exposed._path, flush=True)
sys.stdin.readline()
"""


def other(**how):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes, **how)


def test_a_program_that_ends_leaves_no_socket():
    with other() as process:
        path = process.stdout.readline().strip()
        assert os.path.exists(path)
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert not os.path.exists(path)


def test_what_a_killed_program_leaves_is_removed_by_the_next():
    with other() as process:
        path = process.stdout.readline().strip()
        process.kill()
    assert os.path.exists(path)
    with perfkit.MemoryWatchdog("1GB", expose=True):
        assert not os.path.exists(path)


def test_a_child_that_ends_removes_nothing_of_its_parents(dog):
    program = f"import os\n{PROGRAM.replace('sys.stdin.readline()', 'pid = os.fork()')}\nif pid: os.waitpid(pid, 0)"
    program += "; print(os.path.exists(dog._exposed._path))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "True"


def test_who_is_killed_while_it_is_asked(dog, monkeypatch):
    monkeypatch.setattr(exposing, "_is_same_user", lambda connection: False)  # it hangs up without a word
    with pytest.raises(NotExposed, match="while it was asked"):
        shown(os.getpid())


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors are counted differently elsewhere")
def test_a_process_without_descriptors_answers_once_it_has_some(dog):
    with socket.socket(socket.AF_UNIX) as connection:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            connection.connect(dog._exposed._path)
            time.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connection.settimeout(60)
        assert exposing._all_of(connection)
    assert len(list(exposing.reports(os.getpid()))) == 1


def test_a_process_that_is_gone():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(60)
    for pid in (process.pid, 99999999999999999999):
        with pytest.raises(NotExposed, match=f"there is no process {pid}"):
            shown(pid)


@pytest.mark.needs_privilege
def test_a_process_of_another_user():
    if os.geteuid():
        pytest.skip("only root can start somebody else's: run as root")
    with subprocess.Popen(["sleep", "60"], user=65534) as process:
        with pytest.raises(NotExposed, match="another user's, number 65534"):
            shown(process.pid)
        process.kill()


def test_a_directory_that_somebody_else_could_use_is_refused(tmp_path, monkeypatch):
    tmp_path.chmod(0o755)
    monkeypatch.setattr(exposing, "_folder", lambda: str(tmp_path))
    dog = perfkit.MemoryWatchdog("1GB", expose=True)
    with pytest.raises(PermissionError, match="of this user alone"):
        dog.start()
    assert not dog.is_running
    assert list(exposing.reports(os.getpid())) == []


@pytest.mark.needs_privilege
def test_another_user_is_let_in_nowhere(dog):
    if os.geteuid():
        pytest.skip("only root can be somebody else: run as root")
    path, pid = dog._exposed._path, os.fork()
    if not pid:
        status = 1
        try:
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(path)
        except PermissionError:
            status = 13
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 13
