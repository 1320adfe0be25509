"""A pool under many threads, interrupts, finalisers and signals: nothing is lent twice, nothing is lost.

``struck_everywhere`` plays a scene with something striking at the first place in perfkit, then at the second, and so
on to the last. What has to be so afterwards is in ``what_is_wrong``.
"""

import contextlib
import gc
import random
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from functools import partial

import pytest
from interrupting import FIRST, STEP, interrupt, interrupted

import perfkit
from perfkit import errors
from perfkit.pooling import Pool

THREADS = 16
PATIENCE = 5.0  # seconds until something is said to hang
ENOUGH = 1  # places found wrong, each of which may take that long


class Conn:
    """A connection that only one may hold at a time."""

    def __init__(self):
        self._held = threading.Lock()
        self.is_dead = False

    def use(self):
        assert self._held.acquire(blocking=False), "two hold it"
        self._held.release()

    def __enter__(self):
        assert self._held.acquire(blocking=False), "two hold it"
        return self

    def __exit__(self, *raised):
        self._held.release()


class Server:
    """Makes connections and counts; it holds none, so what a pool loses is gone."""

    def __init__(self):
        self.made = 0
        self.closed = 0
        self.alive = weakref.WeakSet()
        self._lock = threading.Lock()

    def connect(self):
        conn = Conn()
        with self._lock:
            self.made += 1
            self.alive.add(conn)
        return conn

    def close(self, conn):
        with conn, self._lock:  # nobody uses it any more
            self.closed += 1

    def pool(self, **options):
        return Pool(self.connect, close=self.close, **({"max_size": 3, "timeout": PATIENCE} | options))


class Stop(BaseException):
    """What ends a use half-way."""


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def switching_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def all_at_once(work, count=THREADS):
    """Run ``work(number)`` in so many threads; return what each returned."""
    results, failures = [None] * count, []
    together = threading.Barrier(count)

    def run(number):
        together.wait()
        try:
            results[number] = work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "it hangs"
    if failures:
        raise failures[0]
    return results


# -- what random users do; each tells how often it was lent a connection


def by_with(pool, dice):
    with pool.connection() as conn, conn:
        if dice.random() < 0.1:
            time.sleep(0)
    return 1


def by_acquire(pool, dice):
    conn = pool.acquire()
    with conn:
        time.sleep(0)
    pool.release(conn)
    return 1


def failing(pool, dice):
    try:
        with pool.connection() as conn, conn:
            conn.is_dead = dice.random() < 0.3
            raise dice.choice([KeyError, Stop])
    except (KeyError, Stop):
        return 1


def discarding(pool, dice):
    conn = pool.acquire()
    conn.use()
    pool.discard(conn)
    return 1


def discarding_within(pool, dice):
    with pool.connection() as conn, conn:
        pool.discard(conn)
    return 1


def impatient(pool, dice):
    try:
        conn = pool.acquire(dice.choice([0, 0.0001, 0.001]))
    except errors.PoolTimeout:
        return 0
    conn.use()
    pool.release(conn)
    return 1


def two_generators(pool, dice):
    """One is finished, one is left to the collector."""

    def borrow():
        with pool.connection() as conn, conn:
            yield

    assert list(borrow()) == [None]
    next(borrow())
    return 2


def draining(pool, dice):
    pool.drain()
    return 0


def resizing(pool, dice):
    pool.resize(max_size=dice.randint(2, 6))
    return 0


def looking(pool, dice):
    stats = pool.stats()
    assert 0 <= stats.idle <= stats.size
    return 0


USERS = [by_with] * 10 + [by_acquire] * 10 + [impatient] * 6
USERS += [failing, discarding, discarding_within, two_generators] * 2 + [draining, resizing, looking]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_uses": 7, "max_idle": 0.001},
        {"validate": lambda conn: conn.use() or not conn.is_dead, "validate_after": 0.0},
        {"reset": lambda conn: conn.use(), "leak_after": 100},
        {"max_lifetime": 0.005, "lifetime_jitter": 0.9, "min_size": 2},
    ],
    ids=["plain", "uses", "validated", "reset", "lifetime"],
)
def test_whatever_sixteen_threads_do(server, eventually, switching_often, options):
    pool = server.pool(**{"max_size": 4, "timeout": 60} | options)

    def work(number):
        dice = random.Random(number)
        return sum(dice.choice(USERS)(pool, dice) for _ in range(400))

    lent = sum(all_at_once(work))
    gc.collect()
    pool.resize(min_size=0, max_size=4)
    eventually(lambda: whole(pool))
    stats = pool.stats()
    assert stats.acquired == lent
    assert stats.created == server.made
    eventually(lambda: server.made - server.closed == pool.stats().size)
    eventually(lambda: sum(pool.stats().closed.values()) == server.closed)  # the upkeep may close another meanwhile
    assert stats.closed["lost"] == 0
    assert all_can_be_lent(pool)
    pool.close()
    assert server.made == server.closed


def whole(pool):
    pool.stats()  # what is known to be lost is taken in then
    stats = pool.stats()
    return stats.size == stats.idle and not stats.waiting and not stats.connecting


def all_can_be_lent(pool):
    """Borrow as many as there may be, at once, and give them back."""
    conns = []
    try:
        while len(conns) < pool.stats().max_size:
            conns.append(pool.acquire(PATIENCE / 2))
    except errors.PoolTimeout:
        return False
    finally:
        for conn in conns:
            pool.release(conn)
    return len(set(map(id, conns))) == len(conns)


def test_every_thread_has_its_turn(server):
    """Eight threads on four connections, each held for a while: counted when they have had a certain number together.

    One thread may wake another late on a machine with other things to do, so turns are counted, and no time.
    """
    pool, turns = server.pool(max_size=4), Counter()
    enough = 8 * 3000

    def work(number):
        while turns.total() < enough:
            with pool.connection() as conn, conn:
                time.sleep(200e-6)
            turns[number] += 1

    all_at_once(work, 8)
    mean = turns.total() / 8
    assert len(turns) == 8
    assert all(abs(count / mean - 1) <= 0.05 for count in turns.values()), turns
    assert pool.stats().timeouts == 0
    assert server.made == 4
    pool.close()


# -- striking everywhere


def in_a_thread(operation):
    thread = threading.Thread(target=operation, daemon=True)
    thread.start()
    return thread


def what_is_wrong(pool, server):
    """Return what a strike has left behind."""
    if not pool._lock.acquire(timeout=PATIENCE / 2):
        return "the lock is held for ever"
    pool._lock.release()
    until = time.monotonic() + PATIENCE / 2
    while not whole(pool) and time.monotonic() < until:
        gc.collect()
    if not whole(pool):
        return f"not whole: {pool!r}, {pool.stats()}"
    if not all_can_be_lent(pool):
        return f"not all can be lent: {pool!r}"
    pool.close(0)
    if pool.stats().size:
        return f"not closed: {pool!r}"
    return ""


@pytest.fixture
def struck_everywhere():
    """``struck_everywhere(scene)`` plays it with a strike at each place; ``scene(server, struck)`` returns its pool.

    In it ``struck(operation, strike)`` runs something in a thread of its own, and waits for it.

    Scenes that go through the same places as their neighbours share them, to take less time: with ``of=(2, 5)`` it is
    every fifth place, from the third on.
    """

    def play(scene, of=(0, 1)):
        wrong, at, step = {}, of[0] + of[1] * FIRST, of[1] * STEP
        while len(wrong) < ENOUGH:
            places, server = [], Server()

            def struck(operation, strike=interrupt, at=at, places=places):
                def run():
                    with contextlib.suppress(RuntimeError):  # of a lock that is let go of below, when it hung
                        places.append(interrupted(operation, at, strike))

                thread = in_a_thread(run)
                thread.join(PATIENCE)
                return "it hangs" if thread.is_alive() or not places else ""

            pool, found = scene(server, struck)
            found = found or what_is_wrong(pool, server)
            if found:
                wrong[at, *places] = found
                if pool._lock.locked():  # or the maintenance thread would wait for it, and all other pools for that
                    pool._lock.release()
            if places == [None]:
                break
            at += step
        assert at > 5, "hardly anything was struck"
        assert not wrong, "\n".join(f"{place}: {found}" for place, found in wrong.items())

    return play


def use(pool):
    with pool.connection() as conn:
        conn.use()


def use_unless_refused(pool):
    with contextlib.suppress(errors.PoolReentered):
        use(pool)


def use_and_fail(pool):
    try:
        with pool.connection() as conn:
            conn.use()
            raise KeyError
    except KeyError:
        pass


def take_and_release(pool):
    pool.release(pool.acquire())


def take_and_discard(pool):
    pool.discard(pool.acquire())


OPERATIONS = [use, use_and_fail, take_and_release, take_and_discard]
KINDS = {
    "plain": {},
    "validated": {"validate": lambda conn: True, "validate_after": 0.0},
    "dead": {"validate": lambda conn: not conn.is_dead, "validate_after": 0.0, "max_uses": 3},
    "reset": {"reset": lambda conn: None, "leak_after": 100, "max_uses": 2},
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [True, False], ids=["none there", "one idle"])
def test_interrupted_anywhere(struck_everywhere, operation, kind, first):
    def scene(server, struck):
        pool = server.pool(**KINDS[kind])
        if not first:
            with pool.connection() as conn:
                conn.is_dead = kind == "dead"
            del conn
        return pool, struck(lambda: operation(pool))

    struck_everywhere(scene, of=((OPERATIONS.index(operation) + list(KINDS).index(kind)) % 4, 4))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_interrupted_while_it_waits_or_is_handed_one(struck_everywhere, eventually, operation):
    """Another gives back when the victim has stood in line, or was interrupted before."""

    def scene(server, struck):
        pool = server.pool(max_size=1)
        conn, over = pool.acquire(), threading.Event()

        def give():
            eventually(lambda: pool._waiting or over.is_set())
            pool.release(conn)

        giver = in_a_thread(give)
        found = struck(lambda: operation(pool))
        over.set()
        giver.join(PATIENCE)
        return pool, found

    struck_everywhere(scene)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_interrupted_while_others_wait(struck_everywhere, eventually, operation):
    """Whoever stands in line for what the victim has is served in the end, though he waits without a limit."""

    def scene(server, struck):
        pool, served = server.pool(max_size=1, timeout=None), []

        def wait():
            use(pool)
            served.append(True)

        waiters = []

        def hold(conn):
            waiters.extend(in_a_thread(wait) for _ in range(2))
            eventually(lambda: len(pool._waiting) == 2)

        def victim():
            operation(Holding(pool, hold))

        found = struck(victim)
        until = time.monotonic() + PATIENCE / 2
        while len(served) < len(waiters) and time.monotonic() < until:
            gc.collect()
            pool.stats()
            time.sleep(0.0005)
        return pool, found or ("" if len(served) == len(waiters) else f"{len(served)} served of {len(waiters)}")

    struck_everywhere(scene, of=(OPERATIONS.index(operation), 4))


class Holding:
    """A pool as an operation sees it, that does something with each connection it lends."""

    def __init__(self, pool, hold):
        self._pool, self._hold = pool, hold
        self.release, self.discard = pool.release, pool.discard

    def acquire(self):
        conn = self._pool.acquire()
        self._hold(conn)
        return conn

    def connection(self):
        lease = self._pool.connection()
        hold = self._hold

        class Lease:
            def __enter__(self):
                conn = lease.__enter__()
                hold(conn)
                return conn

            def __exit__(self, *raised):
                return lease.__exit__(*raised)

        return Lease()


CALLS = {
    "close": lambda pool: pool.close(0.05),  # it waits for what the strike gives back, where that comes later
    "drain": lambda pool: pool.drain(),
    "resize": lambda pool: pool.resize(max_size=2),
    "stats": lambda pool: pool.stats(),
    "warm": lambda pool: pool.warm(),
    "upkeep": lambda pool: pool._keep_up(),
}


@pytest.mark.parametrize("name", CALLS)
def test_another_call_interrupted(struck_everywhere, name):
    def scene(server, struck):
        pool = server.pool(min_size=1)
        use(pool)
        found = struck(lambda: CALLS[name](pool))
        if name == "close":
            if not pool._core.is_closed:
                use(pool)
                pool.close(0)
            pool = server.pool()  # the closed one can't be whole
        return pool, found

    struck_everywhere(scene)


class Holder:
    """Gives back what it holds when it is collected."""

    def __init__(self, pool):
        self._pool, self._conn = pool, pool.acquire()

    def __del__(self):
        self._pool.release(self._conn)


def generator(pool):
    def borrow():
        with pool.connection() as conn:
            conn.use()
            yield

    borrowing = borrow()
    next(borrowing)
    return borrowing


def bare_lease(pool):
    lease = pool.connection()
    lease.__enter__()
    return lease


FINALISED = {"__del__ releases": Holder, "a generator is closed": generator, "a lease is dropped": bare_lease}


@pytest.mark.parametrize("kind", FINALISED)
@pytest.mark.parametrize(
    "operation", [*OPERATIONS, *CALLS.values()], ids=[*(one.__name__ for one in OPERATIONS), *CALLS]
)
def test_a_finaliser_gives_back_anywhere(struck_everywhere, eventually, kind, operation):
    """Also in a thread that holds the pool's lock at that moment."""

    def scene(server, struck):
        pool = server.pool()
        holding = [FINALISED[kind](pool)]
        found = struck(lambda: operation(pool), holding.clear)
        holding.clear()
        if not pool._core.is_closed:
            return pool, found
        eventually(lambda: pool.stats().size == 0 and pool._is_over())
        return server.pool(), found

    struck_everywhere(scene, of=(list(FINALISED).index(kind), 3))


def test_who_is_collected_together_with_his_connection_gives_it_back(server):
    pool, refused = server.pool(), []

    class Session:
        def __init__(self):
            self.me = self
            self.conn = pool.acquire()

        def __del__(self):
            try:
                pool.release(self.conn)
            except errors.NotLent as error:
                refused.append(str(error))

    Session()
    gc.collect()
    assert refused == []
    assert whole(pool)
    assert pool.stats().closed["lost"] == 0


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_signal_handler_gives_back_anywhere(struck_everywhere, operation):
    def scene(server, struck):
        pool = server.pool()
        conns = [pool.acquire()]
        found = struck(lambda: operation(pool), lambda: pool.release(conns.pop()))
        for conn in conns:
            pool.release(conn)
        return pool, found

    struck_everywhere(scene, of=(OPERATIONS.index(operation) % 3, 3))


def test_a_signal_handler_borrows_anywhere(struck_everywhere):
    """It may be refused, but not hang."""

    def scene(server, struck):
        pool = server.pool()
        return pool, struck(partial(use, pool), partial(use_unless_refused, pool))

    struck_everywhere(scene)


REPORTS = {"repr": repr, "perfkit.stats": lambda pool: perfkit.stats()}
HANDLERS = REPORTS | {name: CALLS[name] for name in ("close", "drain", "resize", "stats")}


@pytest.mark.parametrize("name", HANDLERS)
def test_a_signal_handler_does_anything_else_anywhere(struck_everywhere, eventually, name):
    """What is decided in it is decided then, or right after what its thread was deciding; nothing is refused."""

    def scene(server, struck):
        pool = server.pool(min_size=1)
        pool.drain()
        use(pool)
        generation, acts = pool._core.generation, []

        def operation():
            with contextlib.suppress(errors.PoolClosed):
                use_and_fail(pool)
                take_and_discard(pool)

        def handler():
            HANDLERS[name](pool)
            acts.append(name)

        found = struck(operation, handler)
        if "drain" in acts:
            eventually(lambda: pool._core.generation == generation + 1)
        if "resize" in acts:
            eventually(lambda: pool.stats().max_size == 2)
        if not pool._core.is_closed:
            assert "close" not in acts
            return pool, found
        eventually(lambda: pool.stats().size == 0 and pool._is_over())
        return server.pool(), found

    struck_everywhere(scene, of=(list(HANDLERS).index(name) % 4, 4))


def test_an_error_that_is_kept_does_not_grow(server):
    """A breaker that is open, or a fault of the program, is told to each caller; none adds his frames to it."""

    def connect():
        raise TypeError("a fault of the program")

    pool = Pool(connect, backoff=(100, 100))
    for _ in range(20):
        with pytest.raises(TypeError):
            pool.acquire()
    depth, traceback = 0, pool._core.error.__traceback__
    while traceback is not None:
        depth, traceback = depth + 1, traceback.tb_next
    assert depth < 20


SHORT_OF_THREADS = """
import threading
import time
import perfkit
pool = perfkit.Pool(object, max_idle=0.05)
threading.stack_size(1 << 47)  # more than there is room for: no thread can be started
pool.release(pool.acquire())
threading.stack_size(0)
for conn in [pool.acquire(), pool.acquire()]:
    pool.release(conn)
until = time.monotonic() + 20
while pool.stats().size:
    assert time.monotonic() < until, "there is no upkeep"
    time.sleep(0.001)
pool.close()
"""


def test_where_no_thread_was_to_be_had_the_upkeep_begins_when_there_is_one():
    subprocess.run([sys.executable, "-W", "error", "-c", SHORT_OF_THREADS], check=True, timeout=60)
