"""The public names are the design's, and the four places that spell them out agree."""

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import perfkit

# The design's table, literally. The names of a part become public together, when its package comes to exist.
DESIGN = {
    "caching": {"cached", "FrequencyBoostLRU", "TTLCache"},
    "statefile": {"StateFile", "AsyncStateFile", "read_json"},
    "resilience": {"CircuitBreaker", "retry", "RetryBudget", "Heartbeat"},
    "pooling": {"Pool", "AsyncPool", "SMTPPool", "AsyncSMTPPool", "Delivery"},
    "lazyload": {"lazy", "lazy_imports", "lazy_report", "attach_stub"},
    "memory": {"MemoryWatchdog", "Reclaimer", "memory_guard", "amemory_guard", "memory_limit"},
    "sqlite": {"Database", "AsyncDatabase", "packed", "unpacked"},
    "timing": {"Timer", "timed", "PerformanceTracker", "profiled"},
}
ACROSS = {"stats", "errors", "testing"}

PUBLIC = sorted(perfkit._PUBLIC)


def test_the_public_names_are_the_designs():
    parts = [part for part in DESIGN if _module_exists(f"perfkit.{part}")]
    assert parts, "no part of the design was found beside perfkit/__init__.py"
    assert set(PUBLIC) == ACROSS.union(*(DESIGN[part] for part in parts))


@pytest.mark.parametrize("part", DESIGN)
def test_a_name_comes_from_its_own_part(part):
    homes = {name: perfkit._PUBLIC[name] for name in DESIGN[part] if name in PUBLIC}
    assert homes == dict.fromkeys(homes, f"perfkit.{part}")


def test_every_place_that_lists_the_names_agrees():
    assert perfkit.__all__ == sorted([*PUBLIC, "__version__"])
    assert dir(perfkit) == sorted([*perfkit.__all__, *perfkit._PARTS])
    names = perfkit._PUBLIC | dict.fromkeys(perfkit._PARTS)
    assert _imports_for_type_checkers() == {name: home or "perfkit" for name, home in names.items()}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_resolves_and_explains_itself(name):
    value = getattr(perfkit, name)
    assert (value.__doc__ or "").strip()
    assert isinstance(value, ModuleType) == (perfkit._PUBLIC[name] is None)


def test_the_parts_are_there_without_being_imported():
    assert set(perfkit._PARTS) == {*DESIGN, "registry"}
    program = "import perfkit; perfkit.timing.tracker_of, perfkit.sqlite.packable, perfkit.registry.Stats"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(perfkit.__file__).parents[1])


@pytest.mark.parametrize("name", PUBLIC)
def test_no_public_callable_is_a_module_too(name):
    assert _module_exists(f"perfkit.{name}") == isinstance(getattr(perfkit, name), ModuleType)


@pytest.mark.parametrize("module", [perfkit, perfkit.errors])
def test_an_unknown_attribute_says_where_it_was_looked_for(module):
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'no_such_name'"):
        _ = module.no_such_name
    assert not hasattr(module, "__wrapped__")


def _module_exists(name: str) -> bool:
    """A directory without ``__init__.py``, such as one left over with a cache in it, is no module of ours."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


def _imports_for_type_checkers() -> dict[str, str]:
    """Return name -> module of each ``from module import name as name`` under ``if TYPE_CHECKING:``."""
    tree = ast.parse(Path(perfkit.__file__).read_text(encoding="utf-8"))
    blocks = [node.body for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block]
    assert all(isinstance(node, ast.ImportFrom) and node.level == 0 for node in imports)
    assert all(alias.asname == alias.name for node in imports for alias in node.names)  # mypy wants the `as`
    return {alias.name: node.module for node in imports for alias in node.names}
