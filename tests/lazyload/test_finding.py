"""Whether there is such a module, found without executing anything."""

import sys

import pytest

from perfkit.lazyload.finding import exists


def test_modules_of_all_kinds(site):
    site.write("X_package.", "raise AssertionError('executed')")
    site.write("X_package.module", "raise AssertionError('executed')")
    site.write("X_space.module", "raise AssertionError('executed')")
    for name in ("X_package", "X_package.module", "X_space", "X_space.module"):
        assert exists(site.name(name))
    for name in ("X_missing", "X_package.missing", "X_package.module.below", "X_space.missing"):
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


def test_what_only_an_import_would_tell(site):
    site.write("X_package.", "")
    site.write("X_package.space.module", "")
    assert exists(site.name("X_package.space.module")) in {True, None}
