"""How many bytes an entry takes in a cache that has been in use: perfkit's and others', each in a process of its own.

Each is filled with as many entries as it holds, and then with four times as many other keys. What is counted is what
the process holds more than before, over the number of entries; keys and values are there before.
``python benchmarks/cache_memory.py [--entries N] [--check]``; with ``--check`` it exits with 1 above what is claimed.
"""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

MOST = 300  # bytes an entry of FrequencyBoostLRU
OURS = "FrequencyBoostLRU"


def _lru(entries: int) -> Callable[[int], object]:
    import functools

    return functools.lru_cache(entries)(lambda key: key)


def _putting(cache: Any) -> Callable[[int], object]:
    return lambda key: cache.__setitem__(key, key)


def _ours(entries: int) -> Callable[[int], object]:
    import perfkit

    return _putting(perfkit.FrequencyBoostLRU(entries))


def _ours_timed(entries: int) -> Callable[[int], object]:
    import perfkit

    return _putting(perfkit.TTLCache(entries, 10**6))


def _cachetools(kind: str, *more: float) -> Callable[[int], Callable[[int], object]]:
    def make(entries: int) -> Callable[[int], object]:
        import cachetools

        return _putting(getattr(cachetools, kind)(entries, *more))

    return make


def _cachebox(kind: str, *more: float) -> Callable[[int], Callable[[int], object]]:
    def make(entries: int) -> Callable[[int], object]:
        import cachebox

        return _putting(getattr(cachebox, kind)(entries, *more))

    return make


def _moka(entries: int) -> Callable[[int], object]:
    import moka_py

    cache = moka_py.Moka(entries)
    return lambda key: cache.set(key, key)


def _theine(entries: int) -> Callable[[int], object]:
    import theine

    cache = theine.Cache(entries)
    return lambda key: cache.set(key, key)


CONTENDERS: dict[str, Callable[[int], Callable[[int], object]]] = {
    OURS: _ours,
    "TTLCache": _ours_timed,
    "functools.lru_cache": _lru,
    "cachetools LRU": _cachetools("LRUCache"),
    "cachetools TTL": _cachetools("TTLCache", 10**6),
    "cachebox LRU": _cachebox("LRUCache"),
    "cachebox TTL": _cachebox("TTLCache", 10**6),
    "moka-py": _moka,
    "theine": _theine,
}


def measure(name: str, entries: int) -> float:
    """Return the bytes an entry; to be called once a process."""
    CONTENDERS[name](10)(0)  # what is imported or made once doesn't count
    keys = list(range(10**6, 10**6 + 5 * entries))
    gc.collect()
    before = _resident()
    put = CONTENDERS[name](entries)
    for key in keys:
        put(key)
    gc.collect()
    return (_resident() - before) / entries


def _resident() -> int:
    """Return the bytes of memory that this process has in use."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/smaps_rollup has no Rss")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="cache_memory.py", description=about, epilog=more.replace("``", ""))
    parser.add_argument("--entries", type=int, default=200_000, help="entries of each cache (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help=f"exit with 1 if {OURS} takes more than {MOST} bytes")
    parser.add_argument("--one", choices=CONTENDERS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one, options.entries)))
        return 0
    found = {}
    for name in CONTENDERS:
        command = [sys.executable, __file__, "--one", name, "--entries", str(options.entries)]
        found[name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        print(f"{found[name]:6.0f} bytes an entry  {name}", flush=True)
    holds = found[OURS] <= MOST
    print(f"{'holds' if holds else 'FALLS SHORT'}: {OURS} takes at most {MOST} bytes an entry: {found[OURS]:.0f}")
    return 1 if options.check and not holds else 0


if __name__ == "__main__":
    sys.exit(main())
