"""Ten million operations on one cache, most of them on keys it has never seen; says what memory that took.

``python churn.py TTL``; prints the peak of resident memory, in bytes, after one million and after ten.
"""

import random
import resource
import sys

import perfkit.caching

MILLION = 1_000_000


def turn(cache, start):
    """Do a million operations."""
    draw = random.Random(start).random
    for number in range(start, start + MILLION, 4):
        cache[number] = number
        cache.get(number - int(draw() * 2000))
        cache[number - 1] = None
        if number % 28 == 0:
            cache.pop(number - 4, None)
        else:
            cache.get(number)


def peak():
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def main(ttl):
    cache = perfkit.caching.FrequencyBoostLRU(1000, ttl=None if ttl == "never" else float(ttl))
    turn(cache, 0)
    first = peak()
    for start in range(MILLION, 10 * MILLION, MILLION):
        turn(cache, start)
    print(first, peak())


if __name__ == "__main__":
    main(*sys.argv[1:])
