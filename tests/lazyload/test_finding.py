"""Whether there is such a module, found without executing anything."""

import sys

import pytest

from perfkit.lazyload.finding import exists, is_module


def test_modules_of_all_kinds(site):
    site.write("X_package.", "raise AssertionError('executed')")
    site.write("X_package.module", "raise AssertionError('executed')")
    site.write("X_space.module", "raise AssertionError('executed')")
    for name in ("X_package", "X_package.module", "X_space", "X_space.module"):
        assert exists(site.name(name))
    for name in ("X_missing", "X_package.missing", "X_space.missing"):
        assert exists(site.name(name)) is False
    assert site.loaded() == set()


@pytest.mark.parametrize("name", ["sys", "_struct", "os.path", "email.mime.text", "importlib.machinery", "zipimport"])
def test_those_of_python(name):
    assert exists(name)


def test_a_finder_of_another_kind(monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return type(sys.__spec__)(name, None) if name == "from_elsewhere" else None

    monkeypatch.setattr(sys, "meta_path", [object(), Finder, *sys.meta_path])
    assert exists("from_elsewhere")
    assert exists("from_nowhere") is False


def test_a_finder_that_wants_to_be_asked_as_importlib_asks(monkeypatch):
    class Finder:
        def find_spec(self, name, path, target):
            return None

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert exists("colorsys")


def test_what_only_an_import_would_tell(site):
    site.write("X_package.", "")
    site.write("X_package.space.module", "")
    assert exists(site.name("X_package.space.module")) in {True, None}
    site.write("X_module", "")
    assert exists(site.name("X_module.below")) is None
    site.run("X_program", "import X_module")
    assert exists(site.name("X_module.below")) is False


@pytest.mark.parametrize(
    "source",
    [
        "from .part import part",
        "from . import other as part",
        "part = 1",
        "if True:\n    part: str = 'x'",
        "try:\n    import part\nexcept ImportError:\n    pass",
        "def part(): pass",
        "class part: pass",
        "for part in (): pass",
    ],
)
def test_a_package_that_gives_the_name_to_something_else(site, source):
    site.write("X_package.part", "raise AssertionError('executed')")
    site.write("X_package.", source)
    assert not is_module(site.name("X_package"), "part")
    assert site.loaded() == set()


@pytest.mark.parametrize(
    "source",
    [
        "",
        "import X_package.part",
        "from . import part",
        "from X_package import part",
        "import X_package.part as part",
        "from .part import x",
        "def f():\n    part = 1",
        "__all__ = ['part']",
        "print(part)",
        "no python",
    ],
)
def test_a_package_whose_module_it_is(site, source):
    site.write("X_package.part", "raise AssertionError('executed')")
    site.write("X_package.", source)
    assert is_module(site.name("X_package"), "part")
    assert site.loaded() == set()
