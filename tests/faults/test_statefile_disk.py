"""A disk that is full, read-only or not what it should be: an OSError, the old content, and nothing left lying
about."""

import errno
import json
import os
import socket
import sys
import threading

import pytest

import perfkit

READS = ["view", "load", "snapshot", "read_json", "async-view"]
CHANGES = ["edit", "update", "save", "async-edit", "async-update", "async-save"]


def oserror(number):
    return [type(OSError(number, "")).__name__, str(number)]


@pytest.fixture
def attempts(start):
    """``attempts(path)`` starts a program; ``try_("edit", 100)`` on what it returns tells how that went there."""

    def make(path, limit="any", user="same"):
        program = start("attempt", path, limit, user)
        assert program.hear() == ["ready"]

        def try_(operation, size=0):
            program.tell(f"{operation} {size}")
            return program.hear()

        return try_

    return make


def write_first(directory):
    path = directory / "state.json"
    path.write_text('{"n": 1, "padding": "old"}')
    return path


def assert_intact_and_usable(path, try_, operation):
    assert json.loads(path.read_bytes()) == {"n": 1, "padding": "old"}
    assert_no_litter(path.parent)
    assert try_(operation, 10) == ["ok"]
    assert json.loads(path.read_bytes())["padding"] == "x" * 10
    assert_no_litter(path.parent)


def assert_no_litter(directory):
    assert set(os.listdir(directory)) <= {"state.json", "state.json.lock"}


@pytest.mark.needs_privilege
@pytest.mark.parametrize("operation", CHANGES)
def test_a_full_disk_keeps_the_old_content(attempts, mounted, operation):
    path = write_first(mounted("tmpfs", "size=1m"))
    try_ = attempts(path)
    assert try_(operation, 2_000_000) == oserror(errno.ENOSPC)
    assert_intact_and_usable(path, try_, operation)


@pytest.mark.parametrize("operation", CHANGES)
def test_a_file_size_limit_keeps_the_old_content(attempts, tmp_path, operation):
    path = write_first(tmp_path)
    try_ = attempts(path, limit=100_000)
    assert try_(operation, 200_000) == oserror(errno.EFBIG)
    assert_intact_and_usable(path, try_, operation)


@pytest.mark.needs_privilege
@pytest.mark.parametrize("greedy_one_leads", [True, False])
def test_a_full_disk_is_told_to_each_of_a_group(mounted, eventually, greedy_one_leads):
    """Who asks for too much is refused; his neighbours are in the file or know that they are not."""
    path = write_first(mounted("tmpfs", "size=1m"))
    state = perfkit.StateFile(path)
    outcomes = {}

    def update(name, size):
        try:
            outcomes[name] = state.update(lambda document: document.update({name: "x" * size}) or "done")
        except OSError as error:
            outcomes[name] = error.errno

    sizes = {"small 1": 10, "small 2": 10, "greedy": 2_000_000, "small 3": 10}
    if greedy_one_leads:
        sizes = {"greedy": sizes.pop("greedy")} | sizes
    threads = [threading.Thread(target=update, args=item) for item in sizes.items()]
    with perfkit.StateFile(path).edit():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            eventually(lambda number=number: len(state._group.waiting) == number)
    for thread in threads:
        thread.join(20)
    assert outcomes["greedy"] == errno.ENOSPC
    assert set(outcomes.values()) <= {"done", errno.ENOSPC}
    in_the_file = set(state.load()) - {"n", "padding"}
    assert in_the_file == {name for name, outcome in outcomes.items() if outcome == "done"}
    assert "small 3" in in_the_file  # it neither led nor asked for much
    assert_no_litter(path.parent)


@pytest.mark.needs_privilege
def test_a_read_only_file_system_can_be_read(attempts, mounted, remount):
    path = write_first(mounted("tmpfs", "size=1m"))
    try_ = attempts(path)
    remount(path.parent, "ro")
    assert [try_(operation) for operation in READS] == [["ok"]] * len(READS)
    assert [try_(operation) for operation in CHANGES] == [oserror(errno.EROFS)] * len(CHANGES)
    remount(path.parent, "rw")
    assert try_("edit") == ["ok"]
    remount(path.parent, "ro")  # now with a lock file in it
    assert [try_(operation) for operation in CHANGES] == [oserror(errno.EROFS)] * len(CHANGES)


def test_an_unwritable_directory_can_be_read(attempts, public_directory, plain_user):
    path = write_first(public_directory)
    os.chmod(public_directory, 0o555)
    try_ = attempts(path, user=plain_user)
    assert [try_(operation) for operation in READS] == [["ok"]] * len(READS)
    assert [try_(operation) for operation in CHANGES] == [oserror(errno.EACCES)] * len(CHANGES)
    os.chmod(public_directory, 0o777)
    assert_intact_and_usable(path, try_, "update")


def test_an_unwritable_directory_with_a_lock_file_keeps_the_content(attempts, public_directory, plain_user):
    """The lock is had here, and the temporary file is what is refused."""
    path = write_first(public_directory)
    lock = public_directory / "state.json.lock"
    lock.touch()
    lock.chmod(0o666)
    os.chmod(public_directory, 0o555)
    try_ = attempts(path, user=plain_user)
    assert [try_(operation) for operation in CHANGES] == [oserror(errno.EACCES)] * len(CHANGES)
    os.chmod(public_directory, 0o777)
    assert_intact_and_usable(path, try_, "edit")


def test_a_forbidden_lock_file_keeps_writers_out(attempts, public_directory, plain_user):
    path = write_first(public_directory)
    os.chmod(public_directory, 0o777)
    lock = public_directory / "state.json.lock"
    lock.touch()
    lock.chmod(0)
    try_ = attempts(path, user=plain_user)
    assert [try_(operation) for operation in READS] == [["ok"]] * len(READS)
    assert [try_(operation) for operation in CHANGES] == [oserror(errno.EACCES)] * len(CHANGES)
    lock.chmod(0o666)
    assert_intact_and_usable(path, try_, "save")


def test_a_lock_file_that_may_only_be_read_is_enough(attempts, public_directory, plain_user):
    path = write_first(public_directory)
    os.chmod(public_directory, 0o777)
    lock = public_directory / "state.json.lock"
    lock.touch()
    lock.chmod(0o444)
    assert_intact_and_usable(path, attempts(path, user=plain_user), "edit")


@pytest.mark.parametrize("operation", CHANGES)
def test_a_missing_directory_is_named_and_not_made(attempts, tmp_path, operation):
    path = tmp_path / "missing" / "state.json"
    try_ = attempts(path)
    assert try_(operation) == oserror(errno.ENOENT)
    assert os.listdir(tmp_path) == []
    path.parent.mkdir()
    assert try_(operation) == ["ok"]


def test_the_error_of_a_missing_directory_names_it(tmp_path):
    with pytest.raises(FileNotFoundError) as caught, perfkit.StateFile(tmp_path / "no" / "s", default=dict).edit():
        pass
    assert caught.value.filename == str(tmp_path / "no")


def test_a_directory_that_is_removed_meanwhile(tmp_path):
    path = tmp_path / "here" / "state.json"
    path.parent.mkdir()
    state = perfkit.StateFile(path, default=dict, durability="process")

    def remove_directory(document):
        document["n"] = 1
        os.unlink(f"{path}.lock")
        path.parent.rmdir()

    with pytest.raises(perfkit.errors.StateFileLockError, match="removed"):
        state.update(remove_directory)
    assert os.listdir(tmp_path) == []
    path.parent.mkdir()
    state.update(lambda document: document.update(n=2))
    assert state.view() == {"n": 2}


def edit(state):
    with state.edit() as document:
        document["n"] = 2


CALLS = {
    "edit": edit,
    "update": lambda state: state.update(lambda document: document.update(n=2)),
    "save": lambda state: state.save({"n": 2}),
    "delete": lambda state: state.delete(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_whoever_runs_out_of_descriptors_has_changed_nothing(tmp_path, monkeypatch, call):
    """At whichever of the files that a change opens."""
    path, opened, failed = tmp_path / "state.json", os.open, 0
    path.write_text('{"n": 1}')
    state = perfkit.StateFile(path)
    state.update(lambda document: None)
    while True:
        left = iter(range(failed))

        def open_few(*arguments, left=left, **options):
            if next(left, None) is None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return opened(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, "open", open_few)
            outcome = in_words(call, state)
        if outcome == "ok":
            break
        failed += 1
        assert outcome == errno.EMFILE
        assert json.loads(path.read_bytes()) == {"n": 1}
        assert_no_litter(tmp_path)
    assert failed > 1
    assert state.exists() is (call is not CALLS["delete"])


def in_words(call, state):
    try:
        call(state)
    except OSError as error:
        return error.errno
    return "ok"


def test_a_save_that_can_not_tell_its_version_writes_nothing(tmp_path, monkeypatch):
    """What that takes may be out of reach by then, as after a chroot: it has to be found out before."""
    path = tmp_path / "state.json"
    path.write_text('{"n": 1}')
    monkeypatch.setitem(sys.modules, "hashlib", None)
    with pytest.raises(ImportError):
        perfkit.StateFile(path).save({"n": 2})
    assert json.loads(path.read_bytes()) == {"n": 1}


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(str(path))


NOT_FILES = {
    "directory": (os.mkdir, oserror(errno.EISDIR)),
    "FIFO": (os.mkfifo, oserror(errno.EINVAL)),
    "socket": (make_socket, oserror(errno.ENXIO)),
}


@pytest.mark.parametrize("kind", NOT_FILES)
def test_what_is_no_file_is_refused_at_once(attempts, tmp_path, kind):
    """Nobody has the other end of the FIFO: opening it in the ordinary way would wait for ever."""
    make, error = NOT_FILES[kind]
    path = tmp_path / "state.json"
    make(path)
    before = os.lstat(path)
    try_ = attempts(path)
    assert [try_(operation) for operation in READS + CHANGES] == [error] * len(READS + CHANGES)
    assert os.path.samestat(os.lstat(path), before)
    assert_no_litter(tmp_path)


@pytest.mark.parametrize("kind", ["directory", "link to a file", "link to nothing"])
def test_a_planted_lock_is_refused(attempts, tmp_path, kind):
    directory, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    directory.mkdir()
    path, lock = write_first(directory), directory / "state.json.lock"
    if kind == "directory":
        lock.mkdir()
    else:
        lock.symlink_to(elsewhere)
    if kind == "link to a file":
        elsewhere.write_text("not ours")
        elsewhere.chmod(0o600)
    try_ = attempts(path)
    error = oserror(errno.EISDIR if kind == "directory" else errno.ELOOP)
    assert [try_(operation) for operation in CHANGES] == [error] * len(CHANGES)
    if kind == "link to a file":
        assert elsewhere.read_text() == "not ours"
        assert elsewhere.stat().st_mode & 0o777 == 0o600
    else:
        assert not elsewhere.exists()
    lock.rmdir() if kind == "directory" else lock.unlink()
    assert_intact_and_usable(path, try_, "update")


@pytest.mark.parametrize("operation", CHANGES)
def test_a_planted_temporary_file_is_replaced_not_followed(attempts, tmp_path, operation):
    directory, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    directory.mkdir()
    elsewhere.write_text("not ours")
    path = write_first(directory)
    (directory / ".state.json.perfkit-tmp").symlink_to(elsewhere)
    assert attempts(path)(operation, 10) == ["ok"]
    assert elsewhere.read_text() == "not ours"
    assert not path.is_symlink()
    assert_no_litter(directory)
