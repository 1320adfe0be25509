"""One suite over `StateFile` and `AsyncStateFile`: what either promises, both keep."""

import asyncio
import copy
import inspect
import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

import perfkit
from perfkit import errors

MINE = {"n": 0, "é": [1, {"deep": True}]}


class Awaited:
    """An `AsyncStateFile` called from ordinary code, each call on the same loop."""

    def __init__(self, loop, *args, **kwargs):
        self._loop = loop
        self._state = perfkit.AsyncStateFile(*args, **kwargs)

    def __getattr__(self, name):
        attribute = getattr(self._state, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute
        return lambda *args, **kwargs: self._loop.run_until_complete(attribute(*args, **kwargs))

    @contextmanager
    def edit(self):
        """Step through ``async with`` by hand, in one task: the lock belongs to it."""
        begun, leave = self._loop.create_future(), self._loop.create_future()

        async def block():
            async with self._state.edit() as document:
                begun.set_result(document)
                error = await leave
                if error is not None:
                    raise error

        task = self._loop.create_task(block())
        self._loop.run_until_complete(asyncio.wait([task, begun], return_when=asyncio.FIRST_COMPLETED))
        if task.done():
            task.result()
        try:
            yield begun.result()
        except BaseException as error:
            leave.set_result(error)
        else:
            leave.set_result(None)
        self._loop.run_until_complete(task)


@pytest.fixture(params=["threads", "asyncio"])
def make(request):
    if request.param == "threads":
        yield perfkit.StateFile
        return
    loop = asyncio.new_event_loop()
    yield lambda *args, **kwargs: Awaited(loop, *args, **kwargs)
    loop.close()


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "state.json"
    file.write_text(json.dumps(MINE, indent=2))
    return file


def bump(document):
    document["n"] += 1
    return document["n"]


def test_reading(make, path):
    state = make(path)
    assert state.view() == state.load() == state.snapshot()[0] == MINE
    state.load()["n"] = 5
    state.load()["é"].append(5)
    state.snapshot()[0]["é"][1]["deep"] = 5
    assert state.view() == MINE
    with pytest.raises(TypeError, match="edit"):
        state.view()["é"].append(1)


def test_a_view_stays_what_it_was(make, path):
    state = make(path)
    before = state.view()
    state.update(bump)
    assert (before["n"], state.view()["n"]) == (0, 1)


def test_changing(make, path):
    state = make(path)
    with state.edit() as document:
        document["n"] = 10
    assert state.update(bump) == 11
    assert json.loads(path.read_text()) == {**MINE, "n": 11}
    version = state.save([1, 2])
    assert (state.load(), state.snapshot()[1]) == ([1, 2], version)
    assert path.read_text() == "[\n  1,\n  2\n]"


@pytest.mark.parametrize("scalar", ["text", 5, 1.5, True, None])
def test_what_holds_nothing_to_change_in_place_is_saved_instead(make, path, scalar):
    path.write_text(json.dumps(scalar))
    state, ran = make(path, timeout=5), []
    for change in (lambda: state.edit().__enter__(), lambda: state.update(ran.append)):
        with pytest.raises(TypeError, match=r"save\(\), or keep a dict or a list"):
            change()
    assert ran == []
    assert state.load() == scalar
    state.save([scalar])
    assert state.update(lambda document: document.pop()) == scalar


class Hidden:
    """A coroutine function that doesn't look like one."""

    async def __call__(self, document):
        document["n"] = 5


@pytest.mark.parametrize("fn", [lambda document: coroutine(document=document), Hidden()])
def test_a_coroutine_that_comes_out_of_a_function_is_refused(make, path, fn):
    state = make(path)
    with pytest.raises(TypeError, match="Await what you need first"):
        state.update(fn)
    assert state.load() == MINE


def test_what_an_update_returns_is_not_the_document(make, path):
    state = make(path)
    assert state.update(lambda document: {**document, "n": 5}) == {**MINE, "n": 5}
    assert state.load() == MINE


def test_indent_none_is_compact(make, path):
    make(path, indent=None).save({"a": [1, 2]})
    assert path.read_bytes() == b'{"a":[1,2]}'


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_an_exception_writes_nothing(make, path, error):
    state, before = make(path), path.read_bytes()

    def fail(document):
        document["n"] = 5
        raise error

    if error is ZeroDivisionError:  # the others would stop the loop that the asyncio half of this suite runs on
        with pytest.raises(error):
            state.update(fail)
    if error is ZeroDivisionError or isinstance(state, perfkit.StateFile):
        with pytest.raises(error), state.edit() as document:
            fail(document)
    assert path.read_bytes() == before
    assert state.update(bump) == 1


def test_what_json_refuses_is_not_written(make, path):
    state, before = make(path), path.read_bytes()
    for write in (lambda: state.save({"a": [{1}]}), lambda: state.update(lambda d: d.update(a=[{1}]))):
        with pytest.raises(errors.StateFileEncodeError, match=r"\$\.a\[0\], a set is not JSON") as caught:
            write()
        assert (caught.value.path, caught.value.where) == (str(path), "$.a[0]")
    with pytest.raises(TypeError), state.edit() as document:
        document["when"] = object()
    with pytest.raises(ValueError, match="allow_nan"):
        state.save([float("nan")])
    assert path.read_bytes() == before
    nan = make(path, allow_nan=True)
    nan.save([float("inf")])
    assert nan.load() == [float("inf")]


def test_versions(make, path):
    state, other = make(path), perfkit.StateFile(path)
    document, version = state.snapshot()
    other.update(bump)
    with pytest.raises(errors.StateFileConflict) as caught:
        state.save(document, base=version)
    assert (caught.value.base, caught.value.current) == (version, other.snapshot()[1])
    assert state.view()["n"] == 1
    assert state.stats().conflicts == 1
    version = state.save(document, base=caught.value.current)
    assert state.save({"n": 7}, base=version) == other.snapshot()[1]
    for wrong, error in [(3, TypeError), ("", ValueError), (version[:-1], ValueError), (version.upper(), ValueError)]:
        with pytest.raises(error, match=r"base must be .* snapshot\(\)"):
            state.save({}, base=wrong)
    assert state.load() == {"n": 7}


def test_a_file_that_came_or_went_is_a_conflict(make, path):
    state = make(path)
    _, version = state.snapshot()
    with pytest.raises(errors.StateFileConflict, match="was made by somebody else") as caught:
        state.save({}, base="absent")
    assert (caught.value.base, caught.value.current) == ("absent", version)
    state.delete()
    with pytest.raises(errors.StateFileConflict, match="was deleted by somebody else") as caught:
        state.save({}, base=version)
    assert (caught.value.base, caught.value.current) == (version, "absent")
    assert not state.exists()
    state.save({}, base=caught.value.current)
    assert state.load() == {}


def test_the_version_depends_on_content_alone(make, path, tmp_path):
    twin = tmp_path / "twin.json"
    twin.write_bytes(path.read_bytes())
    assert make(path).snapshot()[1] == make(twin).snapshot()[1]


def test_missing(make, tmp_path):
    path = tmp_path / "none.json"
    for read in ("view", "load", "snapshot"):
        with pytest.raises(FileNotFoundError, match="default"):
            getattr(make(path), read)()
    with pytest.raises(FileNotFoundError):
        make(path).update(bump)
    state = make(path, default=lambda: {"n": 0, "tuple": (1,)})
    assert state.view() == state.load() == {"n": 0, "tuple": [1]}
    assert (state.snapshot()[1], state.exists(), path.exists()) == ("absent", False, False)
    state.save({"n": 4}, base="absent")
    with pytest.raises(errors.StateFileConflict):
        state.save({"n": 5}, base="absent")
    assert (state.update(bump), state.exists()) == (5, True)
    assert (state.delete(), state.delete(), state.exists()) == (True, False, False)
    with state.edit():
        pass
    assert state.exists(), "an edit makes the file, also if it leaves the default as it is"


def test_changes_are_counted_by_how_they_were_made(make, path):
    state = make(path)
    for _ in range(2):
        with state.edit() as document:
            document["n"] += 1
    with pytest.raises(ZeroDivisionError), state.edit():
        raise ZeroDivisionError
    version = state.save({"n": 0})
    state.save({"n": 0}, base=version)
    with pytest.raises(errors.StateFileConflict):
        state.save({}, base="absent")
    state.update(bump)
    figures = state.stats()
    assert (figures.edits, figures.saves, figures.updates, figures.groups) == (2, 2, 1, 1)
    assert (figures.unchanged, figures.conflicts) == (1, 1)


def test_a_missing_directory_is_named(make, tmp_path):
    state = make(tmp_path / "no" / "state.json", default=dict)
    for change in (lambda: state.save({}), lambda: state.update(lambda d: None), state.delete):
        with pytest.raises(FileNotFoundError, match="create it") as caught:
            change()
        assert caught.value.filename == str(tmp_path / "no")
    assert (state.view(), state.exists()) == ({}, False)


def test_identical_content_is_not_written(make, path):
    state = make(path)
    state.save(MINE)
    before = path.stat()
    state.save(copy.deepcopy(MINE))
    state.update(lambda document: None)
    with state.edit():
        pass
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert state.stats().unchanged >= 3


def test_what_others_write_is_seen(make, path):
    state = make(path)
    for number in range(30):
        text = json.dumps({"n": number})
        if number % 2:
            path.write_text(text)
        else:
            (path.parent / "other").write_text(text)
            os.replace(path.parent / "other", path)
        assert state.view() == {"n": number}


def test_a_writer_in_the_middle_is_waited_for(make, path):
    state = make(path)

    def slowly():
        with open(path, "w") as file:
            file.write('{"n": ')
            file.flush()
            started.set()
            time.sleep(0.01)
            file.write("12}")

    started = threading.Event()
    thread = threading.Thread(target=slowly)
    thread.start()
    started.wait()
    assert state.view() == {"n": 12}
    thread.join()


@pytest.mark.parametrize(
    ("raw", "line", "column"),
    [(b"", 1, 1), (b'{\n  "a": 1,\n  "b" 2}', 3, 7), (b'{"a": "\xff"}', 1, 8), (b"[1] x", 1, 5), (b"[1,", 1, 4)],
)
def test_corrupt(make, path, raw, line, column):
    path.write_bytes(raw)
    state = make(path)
    for use in (state.view, state.load, state.snapshot, lambda: state.update(bump)):
        with pytest.raises(errors.StateFileCorrupt, match="left as it is") as caught:
            use()
        error = caught.value
        assert isinstance(error, json.JSONDecodeError)
        assert (error.path, error.lineno, error.colno) == (str(path), line, column)
    assert path.read_bytes() == raw
    state.save({"n": 1})
    assert state.view() == {"n": 1}


def test_recover(make, path, caplog):
    state = make(path, default=lambda: {"n": 0}, recover="backup")
    for use, expected in ((state.view, {"n": 0}), (lambda: state.update(bump), 1), (state.load, {"n": 0})):
        path.write_bytes(b"{broken")
        with caplog.at_level(logging.ERROR, "perfkit.statefile"):
            assert use() == expected
        [backup] = path.parent.glob("state.json.corrupt-*")
        assert backup.read_bytes() == b"{broken"
        assert str(backup) in caplog.text
        backup.unlink()
        caplog.clear()
    assert state.stats().recovered == 3


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000])
def test_what_is_nested_too_deeply_to_be_read_is_corrupt(make, path, raw):
    path.write_bytes(raw)
    for use in (make(path).view, lambda: make(path).update(bump)):
        with pytest.raises(errors.StateFileCorrupt, match=r"nested too deeply.*left as it is"):
            use()
    assert path.read_bytes() == raw
    assert make(path, default=dict, recover="backup").view() == {}
    [backup] = path.parent.glob("state.json.corrupt-*")
    assert backup.read_bytes() == raw
    path.write_bytes(raw)
    make(path).save({"n": 1})
    assert make(path).view() == {"n": 1}


def test_a_save_over_what_is_not_json(make, path):
    """With a base it is compared, and a conflict; without one it is moved aside, if that is asked for."""
    state = make(path, default=dict, recover="backup")
    _, version = state.snapshot()
    path.write_bytes(b"{broken")
    with pytest.raises(errors.StateFileConflict):
        state.save({"n": 1}, base=version)
    assert path.read_bytes() == b"{broken"
    assert list(path.parent.glob("state.json.corrupt-*")) == []
    state.save({"n": 1})
    [backup] = path.parent.glob("state.json.corrupt-*")
    assert backup.read_bytes() == b"{broken"
    assert state.view() == {"n": 1}


def test_nesting_is_refused(make, path):
    state, link = make(path, timeout=5), path.parent / "link"
    link.symlink_to(path)

    def nested(document):
        perfkit.StateFile(link, timeout=5).update(bump)

    with pytest.raises(errors.StateFileLockError, match="already"):
        perfkit.StateFile(path, timeout=5).update(nested)
    if isinstance(state, perfkit.StateFile):
        for inner in (
            lambda: state.update(bump),
            lambda: state.save({}),
            state.delete,
            lambda: state.edit().__enter__(),
        ):
            with state.edit() as document, pytest.raises(errors.StateFileLockError):
                inner()
            assert document == MINE
    assert state.update(bump) == 1


def test_nesting_in_a_task_is_refused(path):
    async def main():
        state = perfkit.AsyncStateFile(path, timeout=5)
        async with state.edit():
            for inner in (state.update(bump), state.save({}), state.delete()):
                with pytest.raises(errors.StateFileLockError, match="task"):
                    await inner
        return await state.update(bump)

    assert asyncio.run(main()) == 1


def test_the_wrong_kind_of_with_names_the_twin(path):
    async def main():
        async with perfkit.StateFile(path).edit():
            pass

    with pytest.raises(TypeError, match=r"entered by `with`.*perfkit\.AsyncStateFile"):
        asyncio.run(main())
    with pytest.raises(TypeError, match=r"entered by `async with`.*perfkit\.StateFile"):
        with perfkit.AsyncStateFile(path).edit():
            pass
    assert json.loads(path.read_text()) == MINE


HOLD = """
import sys, perfkit
with perfkit.StateFile(sys.argv[1]).edit():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held_elsewhere(path):
    """Another process in the middle of an edit."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.communicate(b"")


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_the_lock_is_not_waited_for_longer_than_asked(make, path, held_elsewhere, timeout):
    state = make(path, timeout=timeout)
    ran = []
    for change in (
        lambda: state.update(ran.append),
        lambda: state.save({}),
        state.delete,
        lambda: state.edit().__enter__(),
    ):
        with pytest.raises(errors.StateFileTimeout, match="timeout=") as caught:
            change()
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.timeout, caught.value.path) == (timeout, str(path))
    assert ran == []
    assert state.view() == MINE, "readers need no lock"
    held_elsewhere.communicate(b"")
    assert state.update(bump) == 1


def test_links_and_mode_are_kept(make, path):
    link = path.parent / "link"
    link.symlink_to("state.json")
    os.chmod(path, 0o640)
    make(link).update(bump)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert json.loads(path.read_text())["n"] == 1
    assert sorted(os.listdir(path.parent)) == ["link", "state.json", "state.json.lock"]
    assert make(link).delete()
    assert link.is_symlink()
    make(link, default=lambda: {"n": 0}).update(bump)
    assert json.loads(path.read_text()) == {"n": 1}


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="extended attributes are Linux's: run it there")
def test_extended_attributes_are_kept(make, path):
    try:
        os.setxattr(path, "user.origin", b"here")
    except OSError:
        pytest.skip("this file system has no user attributes: set TMPDIR to one that has")
    make(path).update(bump)
    assert os.getxattr(path, "user.origin") == b"here"


def test_the_umask_holds_for_new_files(make, tmp_path):
    before = os.umask(0o027)
    try:
        make(tmp_path / "new.json").save({})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["with space.json", "ünïcode-日本.json", "x" * 220, "-dash", "a'b\"c"])
def test_names(make, tmp_path, name):
    state = make(tmp_path / name, default=lambda: {"n": 0})
    assert (state.update(bump), state.view()) == (1, {"n": 1})


def test_a_later_chdir_changes_nothing(make, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = make("state.json")
    monkeypatch.chdir("/")
    assert (state.path, state.update(bump)) == (str(path), 1)


def test_trust_stat_false_reads_each_time(make, path):
    state = make(path, trust_stat=False)
    before = state.stats()
    for _ in range(3):
        state.view()
    after = state.stats()
    assert (after.reads.count - before.reads.count, after.hits, after.parses) == (3, 0, 1)


def test_memory_is_given_back(make, path):
    state = make(path)
    view = state.view()
    held = state.stats().held_bytes
    assert held > path.stat().st_size
    assert state.reclaim(1) == held
    assert state.stats().held_bytes == 0
    assert state.view() == view


async def coroutine(document):
    """Neither for update() nor for default=."""


def generator(document):
    yield


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"default": {}}, TypeError, "callable"),
        ({"default": coroutine}, TypeError, "'coroutine' is a coroutine or generator function"),
        ({"default": generator}, TypeError, "ordinary function"),
        ({"name": 5}, TypeError, "name must be a str"),
        ({"name": b"state"}, TypeError, "name must be a str"),
        ({"indent": "2"}, TypeError, "spaces"),
        ({"indent": True}, TypeError, "spaces"),
        ({"indent": -1}, ValueError, "0 to 32"),
        ({"durability": "fast"}, ValueError, "'process'"),
        ({"durability": ["power"]}, ValueError, "'power'"),
        ({"timeout": "30"}, TypeError, "seconds"),
        ({"timeout": -1}, ValueError, "0 seconds or more"),
        ({"timeout": 10**400}, ValueError, "None .wait for ever."),
        ({"timeout": float("nan")}, ValueError, "0 seconds or more"),
        ({"allow_nan": 1}, TypeError, "True or False"),
        ({"trust_stat": None}, TypeError, "True or False"),
        ({"recover": "delete", "default": dict}, ValueError, "backup"),
        ({"recover": "backup"}, ValueError, "needs a default"),
    ],
)
def test_bad_arguments_say_what_is_allowed(make, path, arguments, error, says):
    with pytest.raises(error, match=says):
        make(path, **arguments)


@pytest.mark.parametrize(
    ("path", "error", "says"),
    [
        (None, TypeError, "pathlib"),
        (3, TypeError, "pathlib"),
        (b"x", TypeError, "fsdecode"),
        ("", ValueError, "empty"),
        ("a\0b.json", ValueError, "NUL"),
        ("data/", ValueError, "add the file's name"),
        ("data/.", ValueError, "add the file's name"),
        ("..", ValueError, "add the file's name"),
        ("~/state.json", ValueError, "expanduser"),
    ],
)
def test_bad_paths_say_what_is_allowed(make, path, error, says):
    with pytest.raises(error, match=f"^path .*{says}"):
        make(path)
    with pytest.raises(error, match=f"^path .*{says}"):
        perfkit.read_json(path)


def test_a_name_too_long_for_those_made_of_it_is_refused(make, tmp_path):
    longest = tmp_path / ("é" * 121)
    make(longest).save([])
    with pytest.raises(ValueError, match="at most 242 bytes"):
        make(f"{longest}x")
    with open(f"{longest}x", "w") as file:
        file.write("[1]")
    assert perfkit.read_json(f"{longest}x") == [1]


def test_a_step_up_is_made_from_where_a_link_leads(make, tmp_path, monkeypatch):
    """As open() makes it."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep")
    monkeypatch.chdir(tmp_path)
    make("link/../state.json").save([])
    assert (tmp_path / "real" / "state.json").exists()
    assert make("link/../state.json").view() == perfkit.read_json("link/../state.json") == []
    monkeypatch.chdir(tmp_path / "link")
    assert perfkit.read_json("../state.json") == []


def test_a_link_that_leads_to_itself_stays(make, tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    state = make(tmp_path / "loop", default=dict)
    for use in (state.view, state.delete, lambda: state.save({}), lambda: state.update(bump)):
        with pytest.raises(OSError, match="symbolic links"):
            use()
    assert os.listdir(tmp_path) == ["loop"]


@pytest.mark.parametrize("kind", [perfkit.StateFile, perfkit.AsyncStateFile])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_object_is_not_copied(path, kind, copied):
    with pytest.raises(TypeError, match="makes its own of the path"):
        copied(kind(path))


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has no such modes")
def test_the_lock_file_may_be_opened_by_its_owner(make, path):
    path.chmod(0o200)
    make(path, default=dict).delete()
    assert stat.S_IMODE(os.stat(f"{path}.lock").st_mode) == 0o600


@pytest.mark.parametrize("name", ["~", "~$draft.json", "a~", "state.", "..json"])
def test_names_that_only_look_wrong_are_taken(make, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make(name).save([])
    assert make(name).path == str(tmp_path / name)
    assert perfkit.read_json(name) == []


def test_a_directory_of_the_name_is_spelled_out(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "~").mkdir()
    make("./~/state.json").save([])
    assert (tmp_path / "~" / "state.json").exists()


@pytest.mark.parametrize("document", [{1}, {"when": object()}])
def test_a_default_that_json_refuses_is_named(make, tmp_path, document):
    state = make(tmp_path / "none.json", default=lambda: document)
    for use in (state.view, state.load, lambda: state.update(bump)):
        with pytest.raises(errors.StateFileEncodeError, match=r"^default= of .*none\.json.* is not JSON"):
            use()
    assert not state.exists()


@pytest.mark.parametrize("fn", [None, 3, coroutine, generator])
def test_bad_mutators_say_what_is_allowed(make, path, fn):
    with pytest.raises(TypeError, match="function"):
        make(path).update(fn)
    assert json.loads(path.read_text()) == MINE


def test_it_is_listed_while_it_lives(make, path):
    state = make(path, name="mission")
    state.view()

    def listed():
        return [entry.stats for entry in perfkit.stats() if entry.name == "mission"]

    [figures] = listed()
    assert (figures.path, figures.parses) == (str(path), 1)
    del state
    assert listed() == []
