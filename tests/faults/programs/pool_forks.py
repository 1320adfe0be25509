"""What a fork does to pools and their connections, one function a scenario; what is wrong is an AssertionError.

Argument: the scenario's name. The connections are sockets to a server in a thread of the parent, which notes what each
sends, and that it says goodbye when it is closed as drivers of databases do: it is the server that knows whether the
child used one of the parent's. Here and not in pytest's process, because that has threads of its own.
"""

import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
import traceback
import warnings

from perfkit.pooling import AsyncPool, Pool

PATIENCE = 5.0  # seconds until something is said to hang


class Conn:
    """A connection that says which process uses it, and goodbye when it is closed, be it by the collector."""

    def __init__(self, address):
        self.maker = os.getpid()
        self.socket = socket.create_connection(address, PATIENCE)

    def ask(self, what="ask"):
        self.socket.sendall(f"{what} {os.getpid()} {self.maker}\n".encode())
        return self.socket.recv(100)

    def close(self):
        with contextlib.suppress(OSError):
            self.socket.sendall(f"goodbye {os.getpid()} {self.maker}\n".encode())
        self.socket.close()

    def __del__(self):
        self.close()


class Server:
    """Answers each line, and notes it."""

    def __init__(self):
        self.lines = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            threading.Thread(target=self._serve, args=[self._listener.accept()[0]], daemon=True).start()

    def _serve(self, conn):
        # without a file object: one that a thread of the parent reads from can't be closed in a child
        with contextlib.suppress(ConnectionError), conn:
            while line := conn.recv(100):  # whoever sends one waits for the answer
                self.lines += [words.split() for words in line.decode().splitlines()]
                conn.sendall(b"ok\n")

    def connect(self):
        return Conn(self.address)

    async def aconnect(self):
        return Conn(self.address)

    def foreign(self):
        """Return what was sent over a connection by a process that hasn't made it."""
        return [line for line in self.lines if line[1] != line[2]]


def eventually(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.001)


def forked(work):
    """Run ``work()`` in a forked child that ends as programs do; return its pid."""
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        ended(work)
    return pid


def ended(work):
    """End a child in which ``work()`` is all that is left to do, as programs end."""
    try:
        work()
        gc.collect()
    except SystemExit:  # a child's child
        raise
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    sys.exit(0)


def wait_for(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child failed"


def use(pool):
    with pool.connection() as conn:
        assert conn.ask() == b"ok\n"
        return conn.maker


def check(server, pool):
    """The parent's connections are as they were: nobody else has used them, and they serve on."""
    assert server.foreign() == []
    made = pool.stats().created
    conns = [pool.acquire() for _ in range(pool.stats().size)]
    for conn in conns:
        assert conn.ask() == b"ok\n"
        pool.release(conn)
    assert pool.stats().created == made, "some were made anew"


def filled(server, **options):
    pool = Pool(server.connect, **({"max_size": 4} | options))
    conns = [pool.acquire() for _ in range(3)]
    for conn in conns:
        pool.release(conn)
    return pool


def serves(pool):
    """What a child may expect of an inherited pool: it is empty and works, to its full size, and can be closed."""
    stats = pool.stats()
    assert (stats.size, stats.idle, stats.waiting, stats.connecting) == (0, 0, 0, 0), stats
    assert use(pool) == os.getpid()
    conns = [pool.acquire(PATIENCE) for _ in range(stats.max_size)]
    assert {conn.maker for conn in conns} == {os.getpid()}
    for conn in conns:
        assert conn.ask() == b"ok\n"
        pool.release(conn)
    pool.drain()
    use(pool)
    pool.close()
    assert pool.stats().size == 0


def idle_ones():
    server = Server()
    pool = filled(server)
    wait_for(forked(lambda: serves(pool)))
    check(server, pool)


def ones_that_are_neither_true_nor_false():
    """Such as an array, or a collection of pymongo: asking for their truth is an error."""

    class Undecided(Conn):
        def __bool__(self):
            raise ValueError("its truth is ambiguous")

    server = Server()
    pool, other = Pool(lambda: Undecided(server.address), max_size=4), filled(server)
    lent = pool.acquire()
    use(pool)

    def work():
        serves(pool)
        serves(other)

    wait_for(forked(work))
    pool.release(lent)
    check(server, pool)
    check(server, other)


def a_child_that_does_nothing():
    server = Server()
    pool = filled(server)
    wait_for(forked(lambda: None))
    check(server, pool)


def a_child_that_lets_go_of_the_pool():
    server = Server()
    pools = [filled(server)]
    kept = pools[0]

    def work():
        nonlocal kept
        kept = None
        pools.clear()
        gc.collect()

    wait_for(forked(work))
    check(server, kept)


def a_grandchild():
    server = Server()
    pool = filled(server)

    def work():
        use(pool)
        wait_for(forked(lambda: serves(pool)))
        assert use(pool) == os.getpid()
        assert pool.stats().created == 1

    wait_for(forked(work))
    check(server, pool)


def a_lease_held_across():
    """Left in the child, too: that gives nothing back and touches nothing."""
    server = Server()
    pool = filled(server)
    with pool.connection() as conn:
        pid = os.fork()
        if pid:
            conn.ask()
    if not pid:
        ended(lambda: serves(pool))
    wait_for(pid)
    check(server, pool)


def a_lease_held_across_with_all_options():
    """No reset and no validation of the parent's connection when the child leaves its `with`."""
    server = Server()
    pool = filled(
        server,
        reset=lambda conn: conn.ask("reset"),
        validate=lambda conn: conn.ask("validate"),
        validate_after=0.0,
        max_uses=100,
        leak_after=1000.0,
    )
    with contextlib.suppress(KeyError):
        with pool.connection():
            pid = os.fork()
            if not pid:
                raise KeyError
    if not pid:
        ended(lambda: serves(pool))
    wait_for(pid)
    check(server, pool)


def a_lease_held_across_with_a_reset():
    server = Server()
    pool = filled(server, reset=lambda conn: conn.ask("reset"))
    with pool.connection():
        pid = os.fork()
    if not pid:
        ended(lambda: serves(pool))
    wait_for(pid)
    check(server, pool)


def an_acquired_one_held_across():
    """The child lets go of it, without a release."""
    server = Server()
    pool = filled(server)
    conn = pool.acquire()
    pid = os.fork()
    if not pid:
        del conn
        ended(lambda: serves(pool))
    wait_for(pid)
    pool.release(conn)
    check(server, pool)


def an_acquired_one_released_in_the_child():
    server = Server()
    pool = filled(server, reset=lambda conn: conn.ask("reset"))
    conn = pool.acquire()
    pid = os.fork()
    if not pid:

        def work():
            nonlocal conn
            pool.release(conn)
            conn = None
            serves(pool)

        ended(work)
    wait_for(pid)
    pool.release(conn)
    check(server, pool)


def one_in_another_threads_locals():
    """Python lets go of what is local to other threads before anybody is told that this is a child."""
    server = Server()
    pool = filled(server)
    local, taken, over = threading.local(), threading.Event(), threading.Event()

    def work():
        local.conn = pool.acquire()
        taken.set()
        over.wait(PATIENCE)
        pool.release(local.conn)

    thread = threading.Thread(target=work)
    thread.start()
    taken.wait(PATIENCE)
    wait_for(forked(lambda: serves(pool)))
    over.set()
    thread.join()
    check(server, pool)


def others_wait_and_connect():
    """In the parent threads wait for the only connection, and others for a connect that hangs; none are the child's."""
    server = Server()
    gate = threading.Event()

    def slow():
        gate.wait(PATIENCE)
        return server.connect()

    pool, hanging = filled(server, max_size=3), Pool(slow, max_size=2)
    conns = [pool.acquire() for _ in range(3)]
    threads = [threading.Thread(target=use, args=[one]) for one in (pool, pool, hanging)]
    for thread in threads:
        thread.start()
    eventually(lambda: pool.stats().waiting == 2 and hanging.stats().connecting == 1)

    def work():
        serves(pool)
        gate.set()
        serves(hanging)

    wait_for(forked(work))
    gate.set()
    for conn in conns:
        pool.release(conn)
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    check(server, pool)
    check(server, hanging)


def others_are_in_the_pool():
    """Threads that use it without a pause, so that a fork finds its lock held and its state half changed."""
    server = Server()
    pool, over = filled(server), threading.Event()
    pool.stats()  # what it imports is imported: a fork in the midst of an import leaves that locked in the child

    def work():
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                with pool.connection(0.0001) as conn:
                    conn.ask()
            pool.resize(max_size=4)
            pool.stats()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            wait_for(forked(lambda: serves(pool)))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    check(server, pool)


def others_drain_it():
    """What is on its way to be closed when the fork comes is closed by the parent alone."""
    server = Server()
    pool, over = filled(server), threading.Event()

    def work():
        while not over.is_set():
            use(pool)
            pool.drain()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(25):
            wait_for(forked(lambda: serves(pool)))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    check(server, pool)


def a_closed_pool_stays_closed():
    server = Server()
    pool = filled(server)
    pool.close()

    def work():
        try:
            use(pool)
        except RuntimeError:
            return
        raise AssertionError("a closed pool served")

    wait_for(forked(work))


def many_children_do_not_wait_alike():
    """Jitter is drawn anew in each child, or all would come back in the same moment."""
    server = Server()
    pool = filled(server, max_lifetime=1000.0, lifetime_jitter=0.5)
    reader, writer = os.pipe()

    def work():
        use(pool)
        ages = [entry.expires_at - entry.created for entry in pool._core.entries]
        os.write(writer, f"{ages[0]!r}\n".encode())

    for _ in range(5):
        wait_for(forked(work))
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert len(set(lines)) == 5
    check(server, pool)


def an_async_pool():
    """The child uses it in a loop of its own, while the parent's runs; the parent's goes on."""
    server = Server()
    pool = AsyncPool(server.aconnect, max_size=3)

    async def use_all():
        conns = [await pool.acquire(PATIENCE) for _ in range(3)]
        assert {conn.maker for conn in conns} == {os.getpid()}
        for conn in conns:
            conn.ask()
            pool.release(conn)

    async def child():
        assert pool.stats().size == 0
        await use_all()
        await pool.aclose()
        assert pool.stats().size == 0

    async def main():
        await use_all()
        async with pool.connection():
            pid = os.fork()
        if not pid:
            return None
        wait_for(pid)  # and the loop meanwhile: the child's is a copy that shares its pipe and its epoll
        await use_all()
        assert pool.stats().created == 3
        await pool.aclose()
        return pid

    if asyncio.run(main()) is None:
        ended(lambda: asyncio.run(child()))
    assert server.foreign() == []


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    faulthandler.register(signal.SIGALRM, chain=True)  # a watchdog thread of its own would hang a child that ends
    signal.alarm(30)
    globals()[sys.argv[1]]()
