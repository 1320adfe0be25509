"""Lazy imports.

What a module costs that is imported by its first use: at the start of the program, at that use, and ever after.
"""

import importlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

import perfkit
from lazyload_peers import PACKAGES, PEERS, start_up
from measure import Claim, Contender, calls
from perfkit.lazyload.ledger import ledger

USES = 50  # in a row, so that the loop around them counts for little
FUNCTIONS = 40
START_UP = ["nothing", "import", "perfkit.lazy_imports", "perfkit.lazy", *PEERS]
MEMORY = "\nimport sys\nsys.stdout.write(open('/proc/self/statm').read().split()[1])"

_numbers = itertools.count()
Names = dict[str, Any]


@pytest.fixture
def module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """``module()`` writes a module of ordinary size, compiles it, and returns its name."""
    monkeypatch.syspath_prepend(str(folder))
    made = []

    def make() -> str:
        made.append(f"heavy{next(_numbers)}")
        functions = "\n".join(
            f"def work{number}(a, b={number}):\n    '''Do some work.'''\n    return [a, b, {number}]\n"
            for number in range(FUNCTIONS)
        )
        (folder / f"{made[-1]}.py").write_text(f"value = 7\nkinds = {{'a': 1, 'b': 2}}\n\n{functions}")
        importlib.invalidate_caches()
        importlib.import_module(made[-1])
        del sys.modules[made[-1]]
        return made[-1]

    yield make
    for name in made:
        sys.modules.pop(name, None)


def names(name: str, before: str, declaration: str) -> Names:
    """Run what declares a module; return the globals in which that has been done."""
    made: Names = {"__name__": "program", "perfkit": perfkit}
    exec(f"{before}\n{declaration.format(module=name, name='heavy')}", made)
    return made


LAZILY = {
    "perfkit.lazy": ("", "heavy = perfkit.lazy('{module}')"),
    "perfkit.lazy_imports": ("", "with perfkit.lazy_imports():\n    import {module} as heavy"),
}
EAGERLY = ("", "import {module} as heavy")


def attribute(name: str, heavy: Names, **about: Any) -> Contender:
    """Look the attribute up again and again, in a function of the program."""
    exec(f"def use(turns):\n    for _ in turns:\n        {'; '.join(['heavy.value'] * USES)}", heavy)
    use = heavy["use"]

    def timed(n: int) -> float:
        turns = range(n)
        started = perf_counter()
        use(turns)
        return perf_counter() - started

    def check(_: int) -> None:
        assert heavy["heavy"].value == 7, name

    use(range(2))
    return Contender(name=name, timed=timed, check=check, **about)


def elsewhere(heavy: Names) -> Names:
    """Return the globals of another module that got the module from the program before it was used."""
    return {"heavy": heavy["heavy"]}


def test_attribute_after_the_first_use(compare: Any, module: Any) -> None:
    """An attribute of a module that has been used before.

    Fifty look-ups in a row, in the program that declared it, and in one that got a copy before it was loaded; ratios
    are to a module that was imported.
    """
    eager = "import"
    contenders = [
        attribute(eager, names(module(), *EAGERLY)),
        *(attribute(how, names(module(), *LAZILY[how]), ours=True) for how in LAZILY),
        attribute("perfkit.lazy, a copy", elsewhere(names(module(), *LAZILY["perfkit.lazy"])), ours=True),
        *(attribute(how, names(module(), *PEERS[how])) for how in PEERS),
    ]
    claims = [
        *(Claim(how, eager, 1 / 1.15) for how in LAZILY),
        Claim("perfkit.lazy, a copy", eager, 1 / 20),
        Claim("perfkit.lazy, a copy", "wrapt.lazy_import", 10),
    ]
    compare(contenders, size=f"{USES} times module.name", claims=claims)


def first_use(how: str, name: str, before: str, declaration: str, **about: Any) -> Contender:
    """Declare the module, untimed, and use it for the first time."""
    last: Names = {}
    code = compile("heavy.value", "<use>", "eval")

    def declare() -> None:
        sys.modules.pop(name, None)
        ledger._records.clear()  # so that each load is measured and noted
        last.update(made=names(name, before, declaration))

    def check(_: int) -> None:
        assert last["made"]["heavy"].value == 7
        assert name in sys.modules

    return Contender(name=how, timed=calls(lambda: eval(code, last["made"]), declare), check=check, **about)


def imported(name: str) -> Contender:
    """Import the module and use it."""
    made: Names = {}
    code = compile(f"import {name} as heavy\nheavy.value", "<use>", "exec")

    def forget() -> None:
        sys.modules.pop(name, None)

    def check(_: int) -> None:
        assert made["heavy"].value == 7

    return Contender(name="import", timed=calls(lambda: exec(code, made), forget), check=check)


def test_first_use(compare: Any, module: Any) -> None:
    """The first use of a module.

    An attribute of a module that is declared and not loaded, with the load; ratios are to an import there and then.
    """
    contenders = [
        imported(module()),
        *(first_use(how, module(), *LAZILY[how], ours=True) for how in LAZILY),
        *(first_use(how, module(), *PEERS[how]) for how in PEERS),
    ]
    compare(contenders, size=f"{FUNCTIONS} functions", claims=[Claim(how, "import", 1 / 1.3) for how in LAZILY])


def run(program: str) -> bytes:
    here = Path(__file__).parent
    found = [str(Path(perfkit.__file__).parents[1]), str(here), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, found))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], env=environment, stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def memory(how: str) -> int:
    """Return how many bytes a process occupies that has begun so."""
    return int(run(start_up(how) + MEMORY)) * os.sysconf("SC_PAGE_SIZE")


def start(how: str, bare: int) -> Contender:
    """Start Python with a program that begins so. Ours may take twice the memory of one that does nothing."""
    program, took = start_up(how), memory(how)
    is_ours = how.startswith("perfkit.")

    def check(_: int) -> None:
        assert not is_ours or took <= 2 * bare, f"{took} bytes, {bare} without the program"

    note = f"{took / 1e6:.0f} MB"
    return Contender(name=how, timed=calls(lambda: run(program)), check=check, ours=is_ours, note=note)


def test_start_up(compare: Any) -> None:
    """The start of a program that imports seven packages.

    A process of its own, from start to end; ratios are to one that does nothing. Beside the names is the memory it
    occupies then.
    """
    bare = memory("nothing")
    contenders = [start(how, bare) for how in START_UP]
    claims = [Claim(how, "nothing", 1 / 2) for how in LAZILY]
    compare(contenders, size=f"{len(PACKAGES)} packages", claims=claims)
