"""Modules made on the spot, each test with names of its own, which are gone from ``sys.modules`` after it."""

import importlib
import itertools
import sys
import textwrap

import pytest

from perfkit.lazyload import native

_numbers = itertools.count()

# What the interpreter does itself tells nothing and shows no proxy.
before_native = pytest.mark.skipif(native.is_there, reason="the interpreter's own lazy imports do this")


class Site:
    """A directory on ``sys.path``. In sources and names, ``X`` stands for a prefix that is the test's own."""

    def __init__(self, path):
        self.path = path
        self.prefix = f"lazy{next(_numbers)}"

    def name(self, name):
        return name.replace("X", self.prefix)

    def write(self, name, source=""):
        """Write a module; a name that ends with a dot is a package."""
        name = self.name(name)
        path = self.path.joinpath(*name.split("."))
        path = path / "__init__.py" if name.endswith(".") else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.name(textwrap.dedent(source)))
        importlib.invalidate_caches()
        return path

    def run(self, name, source):
        """Write a module and import it."""
        self.write(name, source)
        return importlib.import_module(self.name(name).rstrip("."))

    def loaded(self):
        """Return which of the modules are loaded, without the prefix."""
        return {name.replace(self.prefix, "X") for name in sys.modules if name.startswith(self.prefix)}


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("PERFKIT_EAGER", raising=False)
    made = Site(tmp_path)
    yield made
    for name in [name for name in sys.modules if name.startswith(made.prefix)]:
        del sys.modules[name]
