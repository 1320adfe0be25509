"""Loops that are closed, and programs that end, in the middle of something: the lock gets free and nothing hangs."""

import asyncio
import fcntl
import gc
import os
import threading
from contextlib import contextmanager

import pytest

import perfkit

PATIENCE = 10  # seconds; nothing here takes them unless it hangs


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"n": 0}')
    return str(path)


@pytest.fixture(autouse=True)
def collected():
    """What a test abandons is collected before the next one, so that what is said then is said in its name."""
    yield
    gc.collect()


def make(path, kind=perfkit.AsyncStateFile, **options):
    return kind(path, durability="process", timeout=PATIENCE, **options)


def set_n(document):
    document["n"] = 1


def abandon(coroutine, until):
    """Run a coroutine in a loop until an event, then close the loop as if nothing were left in it."""
    loop = asyncio.new_event_loop()
    complaints = []
    loop.set_exception_handler(lambda loop, context: complaints.append(context["message"]))
    task = loop.create_task(coroutine)
    del coroutine

    async def wait():
        while not until():
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(wait(), PATIENCE))
    loop.close()
    assert not task.done()
    return complaints


@contextmanager
def edited_by_a_thread(path):
    """Another thread edits the file while the block runs."""
    began, leave = threading.Event(), threading.Event()

    def edit():
        with make(path, perfkit.StateFile).edit():
            began.set()
            assert leave.wait(3 * PATIENCE)

    thread = threading.Thread(target=edit)
    thread.start()
    assert began.wait(PATIENCE)
    try:
        yield
    finally:
        leave.set()
        thread.join()


def is_locked(path):
    with open(path + ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def assert_free(path):
    gc.collect()
    assert not is_locked(path)
    assert perfkit.StateFile(path, timeout=1).update(lambda document: document["n"]) == 0


def only_their_own(complaints):
    """asyncio says of each task that was abandoned that it was; of anything of ours it must have nothing to say."""
    return set(complaints) <= {"Task was destroyed but it is pending!"}


@pytest.fixture
def inside():
    return threading.Event()


@pytest.fixture
def edit_for_ever(inside):
    async def edit(state):
        async with state.edit() as document:
            document["n"] = 1
            inside.set()
            await asyncio.Event().wait()

    return edit


def test_a_loop_closed_inside_an_edit(path, inside, edit_for_ever):
    complaints = abandon(edit_for_ever(make(path)), inside.is_set)
    assert_free(path)
    assert only_their_own(complaints)


def test_a_loop_closed_inside_an_edit_that_others_wait_for(path, inside, edit_for_ever, eventually):
    """A thread in line keeps the lock's queue alive, and with it whatever that refers to."""
    state, outcome = make(path, perfkit.StateFile), []
    thread = threading.Thread(target=lambda: outcome.append(state.update(lambda document: document["n"])))

    def others_wait():
        if inside.is_set() and not thread.ident:
            thread.start()
        return bool(state._group.waiting)

    abandon(edit_for_ever(make(path)), others_wait)
    gc.collect()
    thread.join(PATIENCE)
    assert outcome == [0]
    assert_free(path)


@pytest.mark.parametrize("operation", ["edit", "update", "save"])
def test_a_loop_closed_while_it_waits_in_line(path, operation, edit_for_ever, inside):
    """Its turn comes when nobody is there any more to take it."""
    asynchronous = make(path)
    operations = {
        "edit": lambda: edit_for_ever(asynchronous),
        "update": lambda: asynchronous.update(set_n),
        "save": lambda: asynchronous.save({"n": 1}),
    }
    turns = iter(range(200))
    with edited_by_a_thread(path):
        abandon(operations[operation](), lambda: next(turns) > 150)
        gc.collect()
    assert not inside.is_set()
    assert_free(path)


@pytest.mark.parametrize("operation", ["edit", "update"])
def test_a_loop_closed_while_a_worker_is_at_it(tmp_path, path, operation):
    """The worker ends what it has begun, and finds nobody to tell."""
    entered, go_on, over = threading.Event(), threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert go_on.wait(PATIENCE)
        over.set()

    os.unlink(path)
    state = make(path, default=lambda: slow() or {"n": 0})

    async def edit():
        async with state.edit():
            raise AssertionError("nobody runs this any more")

    abandon(edit() if operation == "edit" else state.update(lambda document: None), entered.is_set)
    gc.collect()
    go_on.set()
    assert over.wait(PATIENCE)
    threads = perfkit.StateFile(path, default=lambda: {"n": 0}, timeout=PATIENCE)
    gc.collect()
    assert threads.update(lambda document: document["n"]) == 0
    assert_free(path)

    async def again():
        assert await state.update(lambda document: document["n"]) == 0

    asyncio.run(again())


@pytest.mark.parametrize(
    "how",
    [
        "loop_closed_inside_an_edit",
        "exit_inside_an_async_edit",
        "interrupt_inside_an_async_edit",
        "exit_inside_an_edit",
        "exit_while_a_worker_works",
        "exit_while_daemon_threads_wait",
    ],
)
def test_a_program_that_ends_in_the_middle(start, path, how):
    program = start("exits", how, path)
    assert program.hear() == ["there"]
    program.end()
    assert_free(path)
