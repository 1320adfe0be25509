"""What an import loads, counted in a fresh interpreter: ``import perfkit`` is two small modules and no thread."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import perfkit

HOME = str(Path(perfkit.__file__).parents[1])
SLOW = {
    "typing",
    "dataclasses",
    "logging",
    "asyncio",
}  # 2 to 20 ms each

# Prints what a statement loads that the interpreter did not have, and the threads there are.
PROBE = """
import sys
sys.path.insert(0, {home!r})
before = set(sys.modules)
{statement}
loaded = sorted(set(sys.modules) - before)
threads = len(sys._current_frames())
import json
print(json.dumps([loaded, threads]))
"""


FACADE = {"perfkit", "perfkit._version", "perfkit._base", "perfkit._base.first_use"}


def load(statement: str, *flags: str) -> tuple[set[str], int]:
    """Run a statement in a bare interpreter; return the modules it loaded and the number of threads there are then."""
    program = PROBE.format(home=HOME, statement=statement)
    done = subprocess.run([sys.executable, "-I", *flags, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded, threads = json.loads(done.stdout)
    return set(loaded), threads


def test_import_perfkit_loads_these_modules_and_no_other():
    loaded, threads = load("import perfkit; dir(perfkit); perfkit.__version__", "-S")
    assert loaded == FACADE
    assert threads == 1


def test_the_errors_load_without_the_parts():
    loaded, _ = load("import perfkit; perfkit.errors.PerfkitError('x', path='y')", "-S")
    assert {name for name in loaded if name.startswith("perfkit")} == FACADE | {"perfkit.errors"}
    assert loaded & SLOW == set()


def test_what_decorators_need_avoids_the_slow_modules():
    loaded, threads = load("import perfkit._base.decorating", "-S")
    assert "perfkit._base.decorating" in loaded
    assert loaded & SLOW == set()
    assert threads == 1


def test_a_cached_function_is_made_and_used_without_the_slow_modules():
    program = "from perfkit import cached; f = cached(ttl=5)(lambda key: key); f(1); f(1)"
    loaded, threads = load(program, "-S")
    assert "perfkit.caching.decorator" in loaded
    assert loaded & SLOW == set()
    assert threads == 1


def test_a_breaker_and_a_retry_are_made_and_used_without_the_slow_modules():
    program = (
        "from perfkit import CircuitBreaker, retry; f = retry(on=OSError)(CircuitBreaker()(lambda key: key)); f(1)"
    )
    loaded, threads = load(program, "-S")
    assert {"perfkit.resilience.breaker", "perfkit.resilience.retrying"} <= loaded
    assert loaded & SLOW == set()
    assert threads == 1


DECLARES = """
import perfkit
json = perfkit.lazy("json", hint="comes with Python")
with perfkit.lazy_imports():
    import decimal
    from email import message
"""


OF_ANY_INTERPRETER = {"__future__", "_abc", "_collections_abc", "_stat", "abc", "genericpath", "importlib"} | {
    *(
        "importlib._bootstrap",
        "importlib._bootstrap_external",
        "os",
        "os.path",
        "posixpath",
        "stat",
        "types",
        "warnings",
    )
}


def test_imports_are_declared_with_next_to_nothing():
    loaded, threads = load(DECLARES, "-S")
    assert {name for name in loaded if not name.startswith("perfkit")} <= OF_ANY_INTERPRETER
    assert threads == 1


@pytest.mark.parametrize("statement", ["perfkit.StateFile", "perfkit.read_json"])
def test_a_part_that_is_not_async_loads_without_asyncio(statement):
    loaded, threads = load(f"import perfkit; {statement}")
    assert "perfkit.statefile" in loaded
    assert "asyncio" not in loaded
    assert threads == 1


def test_the_probe_sees_modules_and_threads():
    waiting = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    loaded, threads = load(f"import threading; {waiting}", "-S")
    assert "threading" in loaded
    assert threads == 2
