"""What forking may do to locks, threads and loops, one function a scenario; what is wrong is an AssertionError.

Arguments: the scenario's name, the file. Here and not in pytest's process, because that has threads of its own.
"""

import asyncio
import faulthandler
import fcntl
import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings

import perfkit
from perfkit.errors import StateFileLockError, StateFileTimeout


def state_of(path, timeout=20.0, kind=perfkit.StateFile):
    return kind(path, default=lambda: {"n": 0}, durability="process", timeout=timeout)


def bump(document):
    document["n"] += 1
    return document["n"]


def is_locked(path):
    """Ask the kernel, on an open file of our own."""
    fd = os.open(path + ".lock", os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def eventually(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.001)


def forked(work):
    """Run ``work()`` in a forked child; return its pid."""
    pid = os.fork()
    if pid:
        return pid
    signal.alarm(30)
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def reap(pid):
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"the child ended with {os.waitstatus_to_exitcode(status)}"


class Gate:
    """Something that one process waits for and another opens."""

    def __init__(self):
        self._reading, self._writing = os.pipe()

    def open(self):
        os.write(self._writing, b"x")

    def wait(self):
        assert select.select([self._reading], [], [], 5)[0], "nobody opened the gate"
        os.read(self._reading, 1)


def the_child_cannot_write_an_open_edit(path):
    pid = None
    try:
        with state_of(path).edit() as document:
            document["n"] = 1
            pid = os.fork()
            if pid == 0:
                document["n"] = 2
            else:
                reap(pid)
                assert is_locked(path), "the child's end unlocked the parent's edit"
    except StateFileLockError:
        os._exit(0 if pid == 0 else 1)
    if pid == 0:
        os._exit(2)
    assert not is_locked(path)
    assert state_of(path).view() == {"n": 1}


def the_child_can_abandon_an_open_edit(path):
    """An exception that leaves the block in the child writes nothing and unlocks nothing."""
    pid = None
    try:
        with state_of(path).edit() as document:
            document["n"] = 1
            pid = os.fork()
            if pid == 0:
                raise ZeroDivisionError
            reap(pid)
            assert is_locked(path)
    except ZeroDivisionError:
        assert pid == 0
        state_of(path, timeout=0).view()
        os._exit(0)
    assert state_of(path).view() == {"n": 1}


def the_lock_is_free_once_the_parent_leaves(path):
    """Though the child lives on with whatever it inherited."""
    state, go = state_of(path), Gate()

    def child():
        go.wait()
        assert state.update(bump) == 2

    with state.edit() as document:
        pid = forked(child)
        assert is_locked(path)
        bump(document)
    assert not is_locked(path)
    go.open()
    reap(pid)
    assert state.update(bump) == 3


def the_child_waits_like_everybody_else(path):
    """Inside the inherited block, too, where it isn't nesting: it has no lock."""
    state = state_of(path)
    other = state_of(path + ".other")

    def child():
        try:
            with state_of(path, timeout=0.05).edit():
                raise AssertionError("the child got the lock that its parent has")
        except StateFileTimeout:
            pass
        assert other.update(bump) == 1
        assert state.update(bump) == 2  # the parent leaves meanwhile

    with state.edit() as document:
        pid = forked(child)
        eventually(lambda: os.path.exists(path + ".other"))
        bump(document)
    reap(pid)
    assert state.view() == {"n": 2}


def the_lock_of_a_killed_parent_is_free(path):
    ready, never, up = Gate(), Gate(), Gate()
    pids = Gate()

    def orphan():
        up.open()
        never.wait()

    def parent():
        with state_of(path).edit():
            os.write(pids._writing, forked(orphan).to_bytes(4, "little"))
            ready.open()
            never.wait()

    pid = forked(parent)
    ready.wait()
    up.wait()  # or it may not have run at all yet
    grandchild = int.from_bytes(os.read(pids._reading, 4), "little")
    try:
        assert is_locked(path)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.kill(grandchild, 0)  # it lives
        assert not is_locked(path), "the orphan holds the lock of its parent"
        assert state_of(path, timeout=1).update(bump) == 1
    finally:
        os.kill(grandchild, signal.SIGKILL)


def the_lock_of_a_killed_parent_is_free_from_what_it_started(path):
    """A program that was started inside an edit, with every descriptor that may be inherited."""
    ready, never = Gate(), Gate()

    def parent():
        with state_of(path).edit():
            sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
            ready.open()
            never.wait()
            sleeper.wait()

    pid = forked(parent)
    ready.wait()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not is_locked(path)
    assert state_of(path, timeout=1).update(bump) == 1


def the_lock_of_a_killed_parent_is_free_from_a_child_that_does_not_know_of_it(path):
    """One that was forked when the lock file was open already, and not yet noted to be."""
    ready, never, up, pids = Gate(), Gate(), Gate(), Gate()
    open_file = os.open

    def orphan():
        up.open()
        never.wait()

    def open_and_fork(name, *arguments):
        fd = open_file(name, *arguments)
        if name == path + ".lock" and os.open is open_and_fork:
            os.open = open_file
            os.write(pids._writing, forked(orphan).to_bytes(4, "little"))
        return fd

    def parent():
        os.open = open_and_fork
        with state_of(path).edit():
            ready.open()
            never.wait()

    pid = forked(parent)
    ready.wait()
    up.wait()
    grandchild = int.from_bytes(os.read(pids._reading, 4), "little")
    try:
        assert is_locked(path)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.kill(grandchild, 0)  # it lives
        assert not is_locked(path), "a child holds a lock that it doesn't know of"
    finally:
        os.kill(grandchild, signal.SIGKILL)


def waiting_threads_stay_with_the_parent(path):
    state = state_of(path)

    def edit():
        with state.edit() as document:
            bump(document)

    threads = [threading.Thread(target=work) for work in (edit, edit, lambda: state.update(bump)) for _ in range(2)]
    with state.edit() as document:
        for thread in threads:
            thread.start()
        eventually(lambda: len(state._group.waiting) == 2)

        def child():
            state.update(bump)
            edit()

        pid = forked(child)
        bump(document)
    for thread in threads:
        thread.join(20)
    reap(pid)
    assert state.view() == {"n": 9}


def a_group_stays_with_the_parent(path):
    """Forked while a leader is in its function and others wait to be committed with the next group."""
    state, entered, go_on = state_of(path), threading.Event(), threading.Event()

    def slow(document):
        entered.set()
        assert go_on.wait(20)
        return bump(document)

    threads = [threading.Thread(target=state.update, args=[fn]) for fn in (slow, bump, bump, bump)]
    threads[0].start()
    assert entered.wait(20)
    for thread in threads[1:]:
        thread.start()
    eventually(lambda: len(state._group.waiting) == 3)
    pids = [forked(lambda: state.update(bump)) for _ in range(2)]
    go_on.set()
    for thread in threads:
        thread.join(20)
    for pid in pids:
        reap(pid)
    assert state.view() == {"n": 6}


def a_function_that_forks_is_written_by_the_parent_alone(path):
    state, pid = state_of(path), None

    def fork_and_bump(document):
        nonlocal pid
        pid = os.fork()
        document["by"] = "parent" if pid else "child"
        if pid:
            reap(pid)
        return bump(document)

    try:
        state.update(fork_and_bump)
    except StateFileLockError:
        assert pid == 0
        os._exit(0 if os.path.exists(path) is False else 3)
    if pid == 0:
        os._exit(2)
    assert state.view() == {"n": 1, "by": "parent"}
    assert state.update(bump) == 2


def a_child_of_a_function_that_forks_can_update(path):
    """It came out of the middle of a group: the others of that group are no longer there to be waited for."""
    state, pid, child_is_out = state_of(path), None, Gate()

    def fork_and_fail(document):
        nonlocal pid
        if pid is None:
            pid = os.fork()
            signal.alarm(0 if pid else 30)
            if pid:
                child_is_out.wait()
        raise ZeroDivisionError

    def lead():
        try:
            state.update(fork_and_fail)
        except (ZeroDivisionError, StateFileLockError):
            if pid:
                return
        if state.view() != {"n": 0}:
            os._exit(3)  # the child has written what its parent still has the lock for
        child_is_out.open()
        state.update(bump)
        os._exit(0)

    threads = [threading.Thread(target=work) for work in (lead, lambda: state.update(bump), lambda: state.update(bump))]
    with state.edit():
        for number, thread in enumerate(threads, start=1):
            thread.start()
            eventually(lambda number=number: len(state._group.waiting) == number)
    for thread in threads:
        thread.join(20)
    reap(pid)
    assert state.view() == {"n": 3}


def a_new_loop_in_the_child(path):
    state = state_of(path, kind=perfkit.AsyncStateFile)

    async def bumps():
        await asyncio.gather(*(state.update(bump) for _ in range(5)))
        async with state.edit() as document:
            bump(document)

    asyncio.run(bumps())
    reap(forked(lambda: asyncio.run(bumps())))
    asyncio.run(bumps())
    assert state_of(path).view() == {"n": 18}


def a_fork_inside_an_async_edit(path):
    state = state_of(path, kind=perfkit.AsyncStateFile)

    async def outer():
        pid = None
        try:
            async with state.edit() as document:
                pid = os.fork()
                document["n"] = 1 if pid else 2
                if pid:
                    reap(pid)
                    assert is_locked(path)
        except StateFileLockError:
            os._exit(0 if pid == 0 else 1)
        if pid == 0:
            os._exit(2)
        assert not is_locked(path)
        assert await state.view() == {"n": 1}

    asyncio.run(outer())


def a_new_loop_inside_an_async_edit(path):
    """The same object, in the child's own loop, while the parent's edit is open."""
    state = state_of(path, kind=perfkit.AsyncStateFile)
    started = Gate()

    async def child():
        started.open()
        assert await state.update(bump) == 2
        async with state.edit() as document:
            assert bump(document) == 3

    async def parent():
        async with state.edit() as document:
            pid = forked(lambda: asyncio.run(child()))
            await asyncio.to_thread(started.wait)
            bump(document)
        await asyncio.to_thread(reap, pid)
        assert await state.view() == {"n": 3}

    asyncio.run(parent())


def multiprocessing_workers(path):
    """They inherit the object, and all of them and the parent's threads count with it."""
    state = state_of(path)
    context = multiprocessing.get_context("fork")

    def work():
        for _ in range(10):
            state.update(bump)
            with state.edit() as document:
                bump(document)

    workers = [context.Process(target=work) for _ in range(4)] + [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert [worker.exitcode for worker in workers[:4]] == [0] * 4
    assert state.view() == {"n": 6 * 20}


def forks_at_any_moment(path):
    """While threads of the parent are anywhere inside perfkit, its caches and statistics too."""
    state, asynchronous = state_of(path), state_of(path, kind=perfkit.AsyncStateFile)
    stop = threading.Event()
    done = [0] * 4

    def hammer(number):
        while not stop.is_set():
            if number % 2:
                state.update(bump)
            else:
                with state_of(path).edit() as document:
                    bump(document)
            done[number] += 1
            perfkit.read_json(path)

    def child():
        state.update(bump)
        with state.edit() as document:
            bump(document)
        asyncio.run(asynchronous.update(bump))
        assert perfkit.read_json(path)["n"] > 0
        assert perfkit.stats()

    threads = [threading.Thread(target=hammer, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    pids = []
    for _ in range(30):
        time.sleep(random.uniform(0, 0.01))
        pids.append(forked(child))
    for pid in pids:
        reap(pid)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert state.view() == {"n": sum(done) + 3 * 30}


def main(scenario, path):
    faulthandler.dump_traceback_later(60, exit=True)
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of forks beside threads: they are the subject
    globals()[scenario](path)


if __name__ == "__main__":
    main(*sys.argv[1:])
