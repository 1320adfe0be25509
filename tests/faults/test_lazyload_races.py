"""Threads that race for the first use, packages that import each other, loads that fail and are interrupted; forks."""

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import perfkit
from perfkit.lazyload import block
from perfkit.lazyload.proxy import LazyModule

PATIENCE = 120  # seconds until a hang is called one


@pytest.fixture(autouse=True)
def switching_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def together(count, work):
    """Call ``work(number)`` in that many threads that begin at once; return what came of each, errors too."""
    barrier = threading.Barrier(count, timeout=PATIENCE)
    results = [None] * count

    def run(number):
        barrier.wait()
        try:
            results[number] = work(number)
        except BaseException as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    return results


SLOWLY = "import time\nruns = []\ntime.sleep(0.05)\nvalue = 7\nimport sys\nsys._lazy_runs.append(__name__)\n"


@pytest.fixture
def runs(monkeypatch):
    """What modules append their names to when they are executed."""
    found = []
    monkeypatch.setattr(sys, "_lazy_runs", found, raising=False)
    return found


@pytest.mark.parametrize(
    "how", ["heavy = perfkit.lazy('X_heavy', hint='x')", "with perfkit.lazy_imports():\n    import X_heavy as heavy"]
)
def test_sixteen_threads_race_for_the_first_use(site, runs, how):
    for turn in range(5):
        site.write(f"X_heavy{turn}", SLOWLY)
        program = site.run(
            f"X_program{turn}",
            "import perfkit\n"
            + how.replace("X_heavy", f"X_heavy{turn}")
            + "\nkept = [heavy]\ndef use(): return heavy.value",
        )
        assert together(16, lambda _, program=program: (program.use(), program.kept[0].value)) == [(7, 7)] * 16
        assert program.heavy is sys.modules[site.name(f"X_heavy{turn}")]
    assert len(runs) == 5


def test_sixteen_threads_race_while_it_fails_and_then_does_not(site, runs):
    site.write(
        "X_heavy",
        """
        import sys, time
        sys._lazy_runs.append(1)
        time.sleep(0.01)
        if len(sys._lazy_runs) < 4: raise ImportError('not yet')
        value = 7
        """,
    )
    program = site.run("X_program", "import perfkit\nheavy = perfkit.lazy('X_heavy', hint='x')")
    kept, said = program.heavy, []

    def use(_):
        for _ in range(100):
            try:
                return kept.value
            except perfkit.errors.LazyImportError as error:
                said.append(str(error))
        return None

    assert together(16, use) == [7] * 16
    assert len(runs) == 4
    assert len(said) >= 3
    assert all(words.startswith("not yet (") for words in said)


def test_a_race_for_what_is_missing_fails_for_all_alike(site):
    program = site.run("X_program", "import perfkit\nheavy = perfkit.lazy('X_missing', hint='install it')")
    kept = program.heavy
    for _ in range(3):
        errors = together(16, lambda _: kept.value)
        assert {type(error) for error in errors} == {perfkit.errors.LazyModuleNotFound}
        assert all("; install it" in str(error) for error in errors)


def test_two_packages_that_import_each_other_from_two_threads(site):
    for turn in range(20):
        for mine, other in ("ab", "ba"):
            site.write(
                f"X_{mine}{turn}.",
                f"import perfkit, time\nother = perfkit.lazy('X_{other}{turn}.part', hint='x')\ntime.sleep(0.002)\n"
                f"from . import part\ndef ask(): return other.value",
            )
            site.write(
                f"X_{mine}{turn}.part",
                f"import perfkit, time\ntime.sleep(0.002)\nvalue = {mine!r}\nback = perfkit.lazy('X_{other}{turn}')",
            )
        modules = [perfkit.lazy(site.name(f"X_{name}{turn}"), hint="x") for name in "ab"]
        assert together(2, lambda number, modules=modules: modules[number].ask()) == ["b", "a"]


def test_two_modules_that_use_each_other_while_they_are_loaded_from_two_threads(site):
    """Importlib sees the circle, and one of the two gets what there is of the other, as with ordinary imports."""
    for turn in range(20):
        for mine, other in ("ab", "ba"):
            site.write(
                f"X_{mine}{turn}",
                f"import perfkit, time\nvalue = {mine!r}\nother = perfkit.lazy('X_{other}{turn}', hint='x')\n"
                f"time.sleep(0.001)\nfound = getattr(other, 'value', None)\nlast = 1",
            )
        modules = [perfkit.lazy(site.name(f"X_{name}{turn}"), hint="x") for name in "ab"]
        assert together(2, lambda number, modules=modules: modules[number].last) == [1, 1]
        for name, other in ("ab", "ba"):
            module = sys.modules[site.name(f"X_{name}{turn}")]
            assert module.found in {other, None}
            assert module.other.last == 1


MODULES, THREADS = 300, 8


def test_three_hundred_modules_and_eight_threads(site, runs):
    """A graph with circles, every edge lazy, some used while loading; threads walk it at random."""
    dice = random.Random(6)
    for number in range(MODULES):
        edges = [dice.randrange(MODULES) for _ in range(4)]
        declared = "\n".join(f"    import X_m{edge} as e{at}" for at, edge in enumerate(edges[:2]))
        lazily = "\n".join(f"e{at} = perfkit.lazy('X_m{edge}', hint='x')" for at, edge in enumerate(edges[2:], 2))
        at_once = f"touched = getattr(e{dice.randrange(4)}, 'number', None)" if dice.random() < 0.2 else ""
        site.write(
            f"X_m{number}",
            f"import perfkit, sys\nwith perfkit.lazy_imports():\n{declared}\n{lazily}\nnumber = {number}\n{at_once}\n"
            f"edges = {edges}\ndef follow(at): return (e0, e1, e2, e3)[at].number\nsys._lazy_runs.append(number)\n",
        )
    modules = [perfkit.lazy(site.name(f"X_m{number}"), hint="x") for number in range(MODULES)]

    def walk(seed):
        mine = random.Random(seed)
        wrong = []
        for number in mine.sample(range(MODULES), MODULES):
            module = modules[number]
            at = mine.randrange(4)
            if module.number != number or module.follow(at) != module.edges[at]:
                wrong.append(number)
        return wrong

    assert together(THREADS, walk) == [[]] * THREADS
    assert sorted(runs) == list(range(MODULES))
    assert block._blocks == ()
    left = [
        name
        for number in range(MODULES)
        for name in ("e0", "e1", "e2", "e3")
        if type(value := vars(sys.modules[site.name(f"X_m{number}")])[name]).__base__ is LazyModule
        and "<lazy module" not in repr(value)
    ]
    assert left == [], "names of a module that was loaded, and are not the module"


def test_an_interrupt_in_the_middle_of_a_load_leaves_it_to_be_tried_again(site):
    site.write(
        "X_heavy",
        """
        import sys, signal
        if not hasattr(sys, '_lazy_runs_once'):
            sys._lazy_runs_once = 1
            signal.raise_signal(signal.SIGINT)
        value = 7
        """,
    )
    program = site.run("X_program", "import perfkit\nheavy = perfkit.lazy('X_heavy', hint='x')")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _ = program.heavy.value
        assert program.heavy.value == 7
    finally:
        signal.signal(signal.SIGINT, before)
        del sys._lazy_runs_once
    assert program.heavy is sys.modules[site.name("X_heavy")]


FORKING = """
import builtins, os, sys, threading
import perfkit
from perfkit.lazyload import native
ordinary = builtins.__import__
inside, leave = threading.Event(), threading.Event()
def other():
    exec("with perfkit.lazy_imports():\\n    inside.set()\\n    leave.wait(60)", {**globals()})
thread = threading.Thread(target=other)
thread.start()
assert inside.wait(60)
assert native.is_there or builtins.__import__ is not ordinary
heavy = perfkit.lazy("colorsys", hint="x")
child = os.fork()
if not child:
    ok = builtins.__import__ is ordinary and heavy.rgb_to_hsv and "colorsys" in sys.modules
    with perfkit.lazy_imports():
        import wave
    ok = ok and wave.open and builtins.__import__ is ordinary
    os._exit(0 if ok else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
leave.set()
thread.join()
assert builtins.__import__ is ordinary
assert "colorsys" not in sys.modules
sys.exit(status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_another_thread_is_in_a_block_has_no_hook():
    found = str(Path(perfkit.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING],
        env=os.environ | {"PYTHONPATH": found},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_function_and_its_module_of_the_same_name(site):
    """Nobody sees the module that the import binds in between."""
    init = "import perfkit\n__getattr__, __dir__, __all__ = perfkit.attach_stub(__name__, __file__)\n"
    for number in range(20):
        path = site.write(f"X_lib{number}.", init)
        path.with_suffix(".pyi").write_text("from .rank import rank\n")
        site.write(f"X_lib{number}.rank", "def rank(): return 1")
        lib = site.run("X_program", f"import X_lib{number} as lib").lib
        found = together(8, lambda _, lib=lib: [lib.rank() for _ in range(100)])
        assert found == [[1] * 100] * 8
        del sys.modules[site.name("X_program")]
