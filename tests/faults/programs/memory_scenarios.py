"""Programs under memory pressure, each a function; argv: its name, and what it takes."""

import contextlib
import ctypes
import functools
import gc
import hashlib
import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import time

import perfkit
from perfkit.memory import exposing, sampling, watchdog
from perfkit.memory.levels import Escalation

MB = 1_000_000


def enter(group):
    """Move into a control group, before anything is allocated."""
    with open(f"{group}/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))


def peak_rss():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def churn(group, guarded):
    """3 GB, a little work done on each bit of them, pass through a cache that has no bound of its own."""
    enter(group)
    seen = 0
    cache = perfkit.FrequencyBoostLRU(10**9)
    dog = perfkit.MemoryWatchdog() if guarded == "guarded" else contextlib.nullcontext()
    with dog:
        for number in range(30_000):
            cache[number] = value = random.randbytes(1000) * 100
            seen ^= hashlib.sha1(value).digest()[0]
    print("survived", seen)


def page_cache(group, folder):
    """300 MB of file cache, which the kernel gives up by itself, are no pressure."""
    enter(group)
    with perfkit.MemoryWatchdog() as dog:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(300):
                file.write(bytes(MB))
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            while file.read(MB):
                pass
            print(dog.level, dog.usage().used // MB, dog.stats().passes)


def limit_of(group):
    """What the limit is, and where it comes from."""
    enter(group)
    print(*perfkit.memory_limit(), sep="\n")


def reach(group, megabytes):
    """Hold so much, and say what the watchdog says of it."""
    enter(group)
    with perfkit.MemoryWatchdog() as dog:
        held = bytearray(b"x") * (int(megabytes) * MB)
        usage = dog.usage()
        print(usage.source, usage.limit, usage.used // MB, round(usage.fraction, 2), len(held))


def hold(group, megabytes):
    """Hold so much until killed."""
    enter(group)
    held = bytearray(b"x") * (int(megabytes) * MB)
    print("holding", flush=True)
    time.sleep(60)
    print(len(held))


def shared_memory(group):
    """Files in a tmpfs are charged to the group and no process; a reclaimer that removes them is seen to help."""
    enter(group)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, perfkit.MemoryWatchdog() as dog:
        reclaimed = []

        @dog.reclaimer(cooldown=0)
        def drop_files(need):
            for name in os.listdir(folder):
                reclaimed.append(os.path.getsize(f"{folder}/{name}"))
                os.unlink(f"{folder}/{name}")

        for number in range(60):
            with open(f"{folder}/{number}", "wb") as file:
                file.write(bytes(20 * MB))
            time.sleep(0.02)
        print(sum(reclaimed) // MB, dog.stats().reclaimers[0].freed_bytes // MB)


def leak(megabytes):
    """A cache grows by 0.5 GB/s, against a soft limit; what it missed while it had no turn is not made up for."""
    limit = int(megabytes) * MB
    cache = perfkit.FrequencyBoostLRU(10**9)
    with perfkit.MemoryWatchdog(limit) as dog:
        due = time.perf_counter()
        for number in range(20_000):
            cache[number] = bytes(bytearray(100_000))
            due = max(due + 0.0002, time.perf_counter() - 0.002)
            time.sleep(max(0.0, due - time.perf_counter()))
        print(peak_rss() / limit, dog.stats().passes)


def blocks(megabytes):
    """Blocks of 64 MB at full speed, each behind a guard."""
    limit, held = int(megabytes) * MB, []
    with perfkit.MemoryWatchdog(limit) as dog:

        @dog.reclaimer(cooldown=0)
        def drop(need):
            while need > 0 and held:
                need -= len(held.pop(0))

        for _ in range(40):
            with perfkit.memory_guard("64MB", timeout=30):
                held.append(b"x" * (64 * MB))
        print(peak_rss() / limit, dog.stats().refused)


def unreclaimable(megabytes):
    """What holds memory can't be had to let go of it."""
    limit = int(megabytes) * MB
    with perfkit.MemoryWatchdog(limit) as dog:
        held = bytearray(b"x") * (int(limit * 0.9) - dog.usage().used)
        began, spent = time.monotonic(), time.process_time()
        time.sleep(8)
        share = (time.process_time() - spent) / (time.monotonic() - began)
        stats = dog.stats()
        print(share, stats.level, stats.passes, stats.vain_passes, len(held))


def stop_at_low(megabytes):
    """A pass lets go of what is needed, and not of all there is."""
    limit = int(megabytes) * MB
    dog = perfkit.MemoryWatchdog(limit)  # not started: the one pass is made here
    held = bytearray(b"x") * int(0.5 * limit)
    cache = perfkit.FrequencyBoostLRU(10**9)
    while dog.usage().fraction < 0.9:
        cache[len(cache)] = bytes(bytearray(100_000))
    need = dog.usage().used - 0.70 * limit
    freed = dog.relieve()
    print(need / limit, freed / limit, dog.usage().fraction, len(cache), len(held))


def fork():
    """A child measures itself, is not watched, and can be."""
    ballast = bytearray(b"x") * (150 * MB)
    with perfkit.MemoryWatchdog("1GB", sidecar=True, expose=True) as dog:
        before = dog.usage().rss
        pid = os.fork()
        if not pid:
            assert not dog.is_running
            more = bytearray(b"x") * (100 * MB)
            grown = dog.usage().rss
            assert grown > before + 80 * MB, (before, grown)
            with perfkit.memory_guard("10MB"):
                pass
            gc.collect()
            dog.start()
            assert dog.relieve() == 0
            assert [report["name"] for report in exposing.reports(os.getpid())] == [dog.name]
            dog.stop()
            assert len(more) + len(ballast)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert status == 0
        assert dog.is_running
        assert len(list(exposing.reports(os.getpid()))) == 1
        assert dog._sidecar._process.poll() is None
        assert dog.usage().rss < before + 50 * MB
    print("done")


def closed_descriptors():
    """A program that becomes a daemon closes what it did not open, and opens others in its place."""
    first = perfkit.memory_limit(), perfkit.MemoryWatchdog("1GB").usage().rss
    assert first[1] > MB
    os.closerange(3, 64)
    others = [os.open("/proc/self/statm", os.O_RDONLY) for _ in range(3)] + [os.open("/dev/zero", os.O_RDONLY)] * 20
    assert perfkit.MemoryWatchdog("1GB").usage().rss > MB
    os.closerange(3, 64)
    with open("/dev/null") as null:
        assert perfkit.MemoryWatchdog("1GB").usage().rss > MB, (null, others)
    print("done")


def raising_and_hanging(megabytes):
    """One reclaimer raises, one never returns; the third frees all the same, and none is called beside itself."""
    limit, held, calls = int(megabytes) * MB, [], {"raising": 0, "hanging": 0}
    release = threading.Event()
    with perfkit.MemoryWatchdog(limit) as dog:

        @dog.reclaimer(cooldown=0)
        def raising(need):
            calls["raising"] += 1
            raise SystemExit("no")

        @dog.reclaimer(cooldown=0)
        def hanging(need):
            calls["hanging"] += 1
            release.wait()

        @dog.reclaimer(cooldown=0)
        def good(need):
            while need > 0 and held:
                need -= len(held.pop(0))

        for _ in range(100):
            with perfkit.memory_guard("20MB", timeout=30):
                held.append(b"x" * (20 * MB))
        stats = {each.name.rpartition(".")[2]: each for each in dog.stats().reclaimers}
        assert peak_rss() < limit
        assert calls["raising"] == stats["raising"].errors >= 1, calls
        assert calls["hanging"] == 1 == stats["hanging"].hung, calls
        assert stats["hanging"].is_busy
        assert stats["good"].freed_bytes > 1000 * MB
        release.set()
    print("done")


def hold_the_interpreter(megabytes):
    """C code keeps the interpreter's lock, with more in use than there may be: only the sidecar can see it."""
    with perfkit.MemoryWatchdog(int(megabytes) * MB, sidecar=True):
        time.sleep(0.5)  # until the sidecar is there
        print("holding", flush=True)
        held = mmap.mmap(-1, 2 * int(megabytes) * MB)
        python = ctypes.PyDLL(None)  # calls through this keep the lock
        python.memset(ctypes.c_char_p(ctypes.addressof(ctypes.c_char.from_buffer(held))), 1, len(held))
        python.sleep(60)


def full(limit, fraction):
    """Hold so much of the limit."""
    held = []
    while sampling.rss() < fraction * limit:
        held.append(bytearray(b"x") * MB)
    return held


def slow_pass(megabytes):
    """The watchdog is at work, for longer than the sidecar waits for a sign of life."""
    limit, begun, held = int(megabytes) * MB, threading.Event(), []
    with perfkit.MemoryWatchdog(limit, sidecar=True) as dog:

        def slow(need, *, is_last=False):
            begun.set()
            time.sleep(0.6)
            if is_last:
                held.clear()

        for number in range(3):
            dog.add(perfkit.Reclaimer(functools.partial(slow, is_last=number == 2), name=f"slow {number}"))
        time.sleep(0.5)  # until the sidecar is there
        held.extend(full(limit, 0.82))
        begun.wait(60)
        held.extend(full(limit, 0.99))
        time.sleep(3)
        print("lived", dog.stats().passes >= 1, held == [])


def collecting(megabytes):
    """A collection keeps the interpreter's lock for longer than the sidecar waits at the limit."""
    many = [[[]] for _ in range(3_000_000)]
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    limit = sampling.rss() + int(megabytes) * MB
    with perfkit.MemoryWatchdog(limit, sidecar=True) as dog:
        dog._escalation = Escalation([], 0)  # or it would be killed for being hopeless
        time.sleep(0.5)
        held = full(limit, 1.03)
        began = time.monotonic()
        for _ in range(3):
            gc.collect()
        print("lived", time.monotonic() - began > 0.3, len(held) + len(many) > 0)


def stopped(megabytes):
    """It is stopped by a signal, and goes on: it takes nothing meanwhile."""
    limit = int(megabytes) * MB
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with perfkit.MemoryWatchdog(limit, sidecar=True) as dog:
        dog._escalation = Escalation([], 0)
        time.sleep(0.5)
        held = full(limit, 0.98)
        print("ready", flush=True)
        sys.stdin.readline()
        time.sleep(0.5)
        print("lived", len(held) > 0)


def raised(group):
    """The group's limit is raised, and what is in use by then would have been too much."""
    with perfkit.MemoryWatchdog(sidecar=True) as dog:
        enter(group)
        time.sleep(0.5)
        dog._relief.gauge.look_for_bounds(at_once=True)
        limit = dog.usage().limit
        for name in ("memory.memsw.limit_in_bytes", os.path.basename(dog.usage().source)):
            with contextlib.suppress(FileNotFoundError, PermissionError), open(f"{group}/{name}", "w") as file:
                file.write(str(4 * limit))
        dog._relief.gauge.look_for_bounds(at_once=True)
        held = full(limit, 1.5)
        ctypes.PyDLL(None).usleep(900_000)  # the interpreter is kept
        ctypes.PyDLL(None).usleep(900_000)
        print("lived", dog.usage().limit > limit, len(held) > 0)


def deaf_sidecar(megabytes):
    """The sidecar has gone, and SIGPIPE has its usual meaning."""
    limit = int(megabytes) * MB
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with perfkit.MemoryWatchdog(limit, sidecar=True) as dog:
        os.kill(dog._sidecar.pid, signal.SIGKILL)
        dog._sidecar._process.wait()
        held = full(limit, 0.9)
        polls = dog.stats().polls
        while dog.stats().polls < polls + 5:
            time.sleep(0.01)
        print("lived", len(held) > 0)


def line_reused(megabytes, name):
    """All descriptors are closed, and the number of the sidecar's is another file's."""
    limit = int(megabytes) * MB
    with perfkit.MemoryWatchdog(limit, sidecar=True, expose=True) as dog:
        time.sleep(0.3)
        taken = dog._sidecar._line.socket.fileno(), dog._exposed._listener.socket.fileno()
        os.closerange(3, 100)
        files = [os.open(name, os.O_CREAT | os.O_RDWR) for _ in range(max(taken) - 2)]
        assert set(taken) <= set(files)
        held = full(limit, 0.9)
        polls = dog.stats().polls
        while dog.stats().polls < polls + 5:
            time.sleep(0.01)
    for fd in files:
        assert os.fstat(fd).st_size == 0
    print("lived", len(held) > 0)


def last_resort(megabytes):
    """Nothing helps: restart is called, then SIGTERM is sent, which this program ignores, then the sidecar kills."""
    watchdog.GRACE = 0.3
    signal.signal(signal.SIGTERM, lambda *_: print("terminate", flush=True))
    limit = int(megabytes) * MB

    def restart(dog):
        print("restart", dog.level, flush=True)

    with perfkit.MemoryWatchdog(limit, restart=restart, sidecar=True) as dog:
        time.sleep(0.5)
        held = bytearray(b"x") * (int(limit * 0.97) - dog.usage().used)
        time.sleep(60)
        print(len(held))


def orphan(megabytes):
    """Say which process the sidecar is, and wait to be killed."""
    with perfkit.MemoryWatchdog(int(megabytes) * MB, sidecar=True) as dog:
        print(dog._sidecar.pid, flush=True)
        time.sleep(60)


def kept_by_the_allocator(megabytes):
    """Objects go and their memory doesn't: every page has one that stays. That is told, and nothing is escalated."""
    limit = int(megabytes) * MB
    restarts = []
    with perfkit.MemoryWatchdog(limit, critical=0.9, restart=lambda dog: restarts.append(1)) as dog:
        small, kept, is_gone = [], [], threading.Event()

        @dog.reclaimer(cooldown=0)
        def drop(need):
            kept.extend(small[::50])
            small.clear()
            is_gone.set()

        while not is_gone.is_set():
            small.extend([str(number) + "x" * 30 for number in range(1000)])
        time.sleep(0.5)  # until that pass is over
        small.clear()
        usage = dog.usage()
        more = bytearray(b"x") * (int(0.93 * limit) - usage.used)
        until = time.monotonic() + 20
        while not dog.stats().is_stuck and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.2)
        print(dog.stats().is_stuck, dog.level, len(restarts), usage.fraction, len(more))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
