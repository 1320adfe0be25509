"""A pool at the end of a program. Argument: the name of a function here. Connections say when they are closed."""

import atexit
import sys

from perfkit.pooling import Pool


class Conn:
    def close(self):
        sys.stdout.write("closed\n")
        sys.stdout.flush()


class Last:
    """Does something when the program's globals go."""

    def __init__(self, act):
        self.act = act

    def __del__(self):
        self.act()


pool = Pool(Conn, max_size=2, timeout=5)


def use():
    with pool.connection():
        pass


def use_and_close():
    use()
    pool.discard(pool.acquire())
    pool.close()


def closed_at_exit():
    use()
    atexit.register(pool.close)


def closed_by_a_finaliser():
    use()
    globals()["last"] = Last(pool.close)


def used_by_a_finaliser():
    globals()["last"] = Last(use_and_close)


def never_closed():
    use()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
