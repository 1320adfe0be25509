"""How much memory comes back to the system when objects go: by letting go, by collecting garbage, by trimming.

``python benchmarks/memory_returned.py`` measures each way of filling memory in a process of its own, and writes a page
with a table (``--page``). Takes half a minute and 1 GB.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perfkit.memory.sampling import rss
from perfkit.memory.trim import Trimmer

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "memory-returned.md"
PURGED = ("numpy", "sqlalchemy", "matplotlib", "asyncio")  # those that are installed

_PAGE = """\
# What comes back to the system

Written by `python benchmarks/memory_returned.py` from one run, on {system}, {python}, with {library}.

Objects that are let go of leave room in Python's own allocator, or in the C library's. What of it the system gets back
depends on what still lies beside them. Each line is a process of its own: memory is filled, then let go of, then
garbage is collected (tier 2 of the watchdog), then the C library is told to trim (tier 0). Percentages are of what the
filling took, and add up from left to right.

{table}

What a tier did in a program of yours is in `MemoryWatchdog.stats()`, and in `perfkit memory --pid`.

## Modules

Some tools remove modules from `sys.modules` to save memory. Here each package is imported, its modules are removed, and
garbage is collected and trimmed:

{modules}

So next to nothing comes back, since classes and functions refer to each other and to their modules. What remains is
worse than before: imported again, a package's classes are new ones, so `isinstance` and `pickle` fail for old objects,
and packages with compiled modules refuse to be loaded a second time. The watchdog doesn't do it.
"""


def strings_in_a_dict() -> list[Any]:
    """A dict of 2 million strings, let go of as a whole."""
    return [{number: f"value {number}" for number in range(2_000_000)}, None]


def small_strings() -> list[Any]:
    """4 million small strings, of which 1 in 50 stays."""
    many = [f"value {number}" for number in range(4_000_000)]
    return [many, many[::50]]


def cycles() -> list[Any]:
    """300,000 objects that refer to themselves."""
    made = []
    for _ in range(300_000):
        cycle: list[Any] = [bytearray(400)]
        cycle.append(cycle)
        made.append(cycle)
    return [made, None]


def arrays() -> list[Any]:
    """3,000 arrays of 100 kB, of which the last stays."""
    many = [bytearray(b"x") * 100_000 for _ in range(3000)]
    return [many, many[-1]]


def medium_bytes() -> list[Any]:
    """40,000 times 8 kB, of which every second stays."""
    many = [b"x" * 8000 + str(number).encode() for number in range(40_000)]
    return [many, many[::2]]


WORKLOADS: tuple[Callable[[], list[Any]], ...] = (strings_in_a_dict, small_strings, cycles, arrays, medium_bytes)


def returned(name: str) -> list[float]:
    """Fill memory that way and let go of it; return what had come back after each step, as fractions."""
    gc.disable()
    trimmer = Trimmer()
    trimmer.free()
    before = rss()
    made = next(work for work in WORKLOADS if work.__name__ == name)()
    most = rss()
    seen = []
    made[0] = None
    seen.append(rss())
    gc.collect()
    seen.append(rss())
    trimmer.trim()
    seen.append(rss())
    assert len(made) == 2  # what stays, stays until here
    return [(most - after) / (most - before) for after in seen]


def purged(package: str) -> dict[str, Any]:
    """Import a package, remove its modules, and return what it took and what came back; nothing if it isn't there."""
    trimmer, present = Trimmer(), set(sys.modules)
    trimmer.free()
    before = rss()
    try:
        importlib.import_module(package)
    except ImportError:
        return {}
    most, added = rss(), set(sys.modules) - present
    for name in added:
        del sys.modules[name]
    gc.collect()
    trimmer.trim()
    return {"package": package, "modules": len(added), "bytes": most - before, "back": (most - rss()) / (most - before)}


def measured(what: str, name: str) -> Any:
    """Return what a process of its own finds."""
    command = [sys.executable, str(HERE / "memory_returned.py"), f"--{what}", name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def page() -> str:
    """Measure all, and return the page."""
    rows = [["", "let go of", "and collected", "and trimmed"]]
    for work in WORKLOADS:
        shares = [f"{share:.0%}" for share in measured("workload", work.__name__)]
        rows.append([(work.__doc__ or "").rstrip("."), *shares])
    modules = [["package", "modules", "took", "came back"]]
    for package in PURGED:
        if found := measured("purge", package):
            took = f"{found['bytes'] / 1e6:.0f} MB"
            modules.append([f"`{package}`", str(found["modules"]), took, f"{max(0, found['back']):.0%}"])
    return _PAGE.format(
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        library=" ".join(platform.libc_ver()) or "an unknown C library",
        table=table(rows),
        modules=table(modules),
    )


def table(rows: list[list[str]]) -> str:
    """Return a Markdown table, its first column set left and the others right."""
    rule = [":--", *["--:"] * (len(rows[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="memory_returned.py", description=about, epilog=more.replace("``", ""))
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write (default: %(default)s)")
    parser.add_argument("--workload", choices=[work.__name__ for work in WORKLOADS], help=argparse.SUPPRESS)
    parser.add_argument("--purge", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.workload:
        print(json.dumps(returned(options.workload)))
    elif options.purge:
        print(json.dumps(purged(options.purge)))
    else:
        options.page.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
