"""Who may import whom: an ``ast`` walk over the package, held against the rules of ARCHITECTURE.md.

``errors``, ``_base`` <- ``registry`` <- a part's pure core <- its drivers <- ``demo``, ``cli``. An import inside a
function counts; one for type checkers alone does not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import perfkit

ROOT = Path(perfkit.__file__).parent

# part -> the parts its drivers may import
PARTS: dict[str, set[str]] = {
    "caching": set(),
    "statefile": {"caching"},
    "resilience": {"caching"},
    "pooling": {"resilience"},
    "lazyload": set(),
    "memory": set(),
    "sqlite": {"pooling"},
    "timing": set(),
}
# part -> its pure core: what decides, and neither waits, reads a clock, nor touches the system
PURE = {
    "caching": {"deadlines", "entry", "ghosts", "policy", "tags"},
    "lazyload": {"advice", "importtime", "listing", "names", "sources", "unread"},
    "memory": {"cgroups", "levels", "pace", "trend", "usage", "verdict"},
    "pooling": {
        *("core", "delivery", "entry", "pauses", "smtp_addresses", "smtp_auth", "smtp_errand", "smtp_opening"),
        *("smtp_replies", "smtp_session", "smtp_steps", "smtp_trip"),
    },
    "resilience": {"attempts", "beats", "circuit", "tokens", "windows"},
    "sqlite": {"batch", "statements"},
    "statefile": {"fingerprint", "frozen", "grouping", "handoff"},
    "timing": {"branches", "slices", "steps", "tree"},
}
IMPURE = {"time", "os", "threading", "asyncio", "sqlite3", "logging"}

BASE = {"errors", "_base"}
CORE = BASE | {"registry", "own errors", "own core"}
DRIVER = CORE | {"own driver"}
ALL_PARTS = {f"{part} {layer}" for part in PARTS for layer in ("errors", "core", "driver")}

# layer -> the layers it may import, beside itself where it is a package; "facade" is perfkit/__init__.py
MAY_IMPORT = {
    "facade": {"_version", "_base"},
    "_version": set(),
    "errors": {"_base"},
    "_base": BASE,
    "registry": BASE,
    "own errors": BASE,
    "own core": CORE,
    "own driver": DRIVER,
    "testing": BASE | {"registry"} | ALL_PARTS,
    "demo": BASE | {"registry", "facade", "_version", "demo"} | ALL_PARTS,
    "cli": BASE | {"registry", "facade", "_version", "demo", "cli"} | ALL_PARTS,
    "__main__": {"cli"},
}


def layer_of(module: str) -> str:
    """Return the layer of a module: ``"registry"``, ``"statefile core"``, ..."""
    _, part, name, *_ = [*module.split("."), "", ""]
    if part not in PARTS:
        return part or "facade"
    if name.endswith("errors"):
        return f"{part} errors"
    return f"{part} {'core' if name in PURE.get(part, ()) else 'driver'}"


def allowed(layer: str) -> set[str]:
    """Return the layers that a layer may import."""
    part, _, kind = layer.partition(" ")
    if not kind:
        return MAY_IMPORT[layer]
    mine = {rule.replace("own", part) for rule in MAY_IMPORT[f"own {kind}"]}
    others = {f"{other} driver" for other in PARTS[part]} if kind == "driver" else set()
    return mine | others


def imports(source: str, module: str, modules: set[str], *, is_package: bool = False) -> Iterator[str]:
    """Yield the modules that a source imports, wherever it does, but for type checkers."""
    package = module if is_package else module.rpartition(".")[0]
    for node in _walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            home = ".".join(filter(None, [above, node.module]))
            for alias in node.names:  # it may be a module of that package, or a name in it
                yield f"{home}.{alias.name}" if f"{home}.{alias.name}" in modules else home


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            yield from (found for other in child.orelse for found in [other, *_walk(other)])
        else:
            yield child
            yield from _walk(child)


def violations(source: str, module: str, modules: set[str], *, is_package: bool = False) -> list[str]:
    """Return what a module imports against the rules."""
    layer = layer_of(module)
    found = sorted(set(imports(source, module, modules, is_package=is_package)))
    ours = [name for name in found if name.split(".")[0] == "perfkit"]
    upward = [name for name in ours if layer_of(name) not in allowed(layer)]
    impure = [name for name in found if name.split(".")[0] in IMPURE and layer.endswith(" core")]
    against = [f"{module} ({layer}) imports {name} ({layer_of(name)})" for name in upward]
    return against + [f"{module} is pure and imports {name}" for name in impure]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_name(path): path for path in sorted(ROOT.rglob("*.py"))}


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module):
    path = FILES[module]
    source = path.read_text(encoding="utf-8")
    assert violations(source, module, set(FILES), is_package=path.name == "__init__.py") == []


@pytest.mark.parametrize("module", FILES)
def test_every_module_has_a_place_in_the_design(module):
    allowed(layer_of(module))


@pytest.mark.parametrize("part", PARTS)
def test_the_pure_modules_are_those_of_the_table(part):
    if f"perfkit.{part}" in FILES:
        assert PURE[part] <= {module.split(".")[2] for module in FILES if module.startswith(f"perfkit.{part}.")}
    else:
        assert part not in PURE


BROKEN = {
    "perfkit.errors": "from perfkit.registry import register",
    "perfkit._base.sizes": "from perfkit.registry import register",
    "perfkit.registry": "from perfkit.statefile.file import StateFile",
    "perfkit.statefile.errors": "def later():\n    from perfkit.statefile import frozen",
    "perfkit.statefile.frozen": "from . import codec",
    "perfkit.statefile.grouping": "import perfkit.caching.policy",
    "perfkit.statefile.codec": "from perfkit.timing import Timer",
    "perfkit.caching.store": "from perfkit.statefile.file import StateFile",
    "perfkit.sqlite.writer": "import perfkit.resilience",
    "perfkit.pooling.core": "from perfkit import StateFile",
    "perfkit.memory.watchdog": "from ..caching import store",
    "perfkit.demo.statefile": "from perfkit.cli import main",
    "perfkit.statefile.store": "from perfkit.testing import FakeClock",
    "perfkit": "from perfkit.statefile import StateFile",
}


@pytest.mark.parametrize("module", BROKEN)
def test_an_import_against_the_direction_is_caught(module):
    assert len(violations(BROKEN[module], module, {*FILES, "perfkit.caching.store"})) == 1


FORMS = ["import {}", "from {} import x", "import {}.x", "def f():\n  try:\n    import {} as y\n  finally: f()"]


@pytest.mark.parametrize("name", sorted(IMPURE))
@pytest.mark.parametrize("form", FORMS)
def test_an_impure_core_is_caught(name, form):
    source = form.format(name)
    assert len(violations(source, "perfkit.statefile.frozen", set())) == 1
    assert violations(source, "perfkit.statefile.store", set()) == []


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_imports_for_type_checkers_do_not_count(test):
    source = f"if {test}:\n    import os\nelse:\n    import time\n"
    assert violations(source, "perfkit.statefile.frozen", set()) == [
        "perfkit.statefile.frozen is pure and imports time"
    ]


FINE = {
    "perfkit._base.atomic": "from perfkit import errors",
    "perfkit.statefile.frozen": "from perfkit.statefile.errors import StateFileError\nfrom perfkit._base import sizes",
    "perfkit.statefile.store": "from perfkit.statefile import frozen\nfrom perfkit.caching import cached\nimport os",
    "perfkit.sqlite.writer": "from perfkit.pooling import Pool",
    "perfkit.demo.statefile": "import perfkit\nfrom perfkit.statefile.codec import decode",
    "perfkit.__main__": "import sys\nfrom perfkit.cli import main",
}


@pytest.mark.parametrize("module", FINE)
def test_an_import_down_is_fine(module):
    assert violations(FINE[module], module, set(FILES)) == []
