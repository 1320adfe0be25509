"""`Offloader`: bounded, named, cancellable before the start, waited for after it."""

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from perfkit._base.offload import Offloader

variable = contextvars.ContextVar("variable", default="unset")


@pytest.fixture
def offloader():
    return Offloader(max_workers=2, name="test-offload")


def test_results_errors_and_context(offloader):
    async def main():
        variable.set("the caller's")
        assert await offloader.run(variable.get) == "the caller's"
        with pytest.raises(ZeroDivisionError):
            await offloader.run(divmod, 1, 0)
        with pytest.raises(SystemExit):
            await offloader.run(sys.exit, 3)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await offloader.run(next, iter(()))
        return await asyncio.gather(*(offloader.run(pow, 2, n) for n in range(100)))

    assert asyncio.run(main()) == [2**n for n in range(100)]


def test_threads_are_bounded_named_daemons(offloader):
    gate, seen = threading.Event(), []

    def work():
        seen.append(threading.current_thread())
        gate.wait(10)

    async def main():
        tasks = [asyncio.create_task(offloader.run(work)) for _ in range(6)]
        await asyncio.sleep(0.05)  # a third worker would have taken up its call by now
        assert len(seen) == 2
        gate.set()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert len(seen) == 6
    assert {thread.name for thread in seen} == {"test-offload-1", "test-offload-2"}
    assert all(thread.daemon for thread in seen)


def test_cancelled_before_the_start_it_never_runs(offloader):
    gate, ran = threading.Event(), []

    async def main():
        busy = [asyncio.create_task(offloader.run(gate.wait, 10)) for _ in range(2)]
        queued = asyncio.create_task(offloader.run(ran.append, 1))
        await asyncio.sleep(0.01)
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        gate.set()
        await asyncio.gather(*busy)
        await offloader.run(ran.append, 2)

    asyncio.run(main())
    assert ran == [2]


def test_what_could_not_be_handed_over_never_runs(monkeypatch):
    """Whoever is told that his call failed must not find it done later."""
    offloader, gate, ran = Offloader(max_workers=1, name="test-offload"), threading.Event(), []

    async def main():
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_more_threads)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await offloader.run(ran.append, "no thread")
        busy = asyncio.create_task(offloader.run(gate.wait))
        await asyncio.sleep(0)
        submit = offloader._workers.submit

        def interrupted(job):
            submit(job)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(offloader._workers, "submit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                await offloader.run(ran.append, "interrupted")
        gate.set()
        await busy
        await offloader.run(ran.append, "last")

    asyncio.run(main())
    assert ran == ["last"]


def no_more_threads(_):
    raise RuntimeError("can't start new thread")


def test_cancelled_later_it_is_waited_for_however_often(offloader):
    started, gate, done = threading.Event(), threading.Event(), []

    def work():
        started.set()
        gate.wait(10)
        done.append(True)
        raise LookupError

    async def main():
        task = asyncio.create_task(offloader.run(work))
        await asyncio.sleep(0)
        started.wait(10)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.005)
            assert not task.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__cause__

    assert isinstance(asyncio.run(main()), LookupError)
    assert done == [True]


@pytest.mark.parametrize("arguments", [(1, 0), (1, 1)])
def test_closed_when_the_call_is_over_it_ends_there(offloader, arguments):
    """Though nobody has told it yet what came of the call."""

    async def main():
        running = offloader.run(divmod, *arguments)
        outcome = running.send(None)
        await asyncio.wait([outcome])
        with pytest.raises(GeneratorExit):
            running.throw(GeneratorExit())
        outcome.exception()

    asyncio.run(main())


def test_a_closed_loop_harms_no_worker(offloader):
    started, gate = threading.Event(), threading.Event()

    def work():
        started.set()
        gate.wait(10)

    loop = asyncio.new_event_loop()
    coroutine = offloader.run(work)
    task = loop.create_task(coroutine)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    started.wait(10)
    loop.close()
    gate.set()
    assert asyncio.run(offloader.run(pow, 2, 3)) == 8
    task._log_destroy_pending = False  # leaving it behind is the subject
    coroutine.close()


def test_after_a_fork_the_child_has_threads_of_its_own():
    program = """
import asyncio, os, threading
from perfkit._base.offload import Offloader
offloader = Offloader(max_workers=1, name="x")
asyncio.run(offloader.run(pow, 2, 3))
import warnings; warnings.simplefilter("ignore")
pid = os.fork()
assert asyncio.run(offloader.run(pow, 2, 4)) == 16
if pid == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
