"""``require=``: what is installed is compared by its metadata, and nothing is imported."""

import sys

import pytest

import perfkit
from perfkit.lazyload.requirements import objection


@pytest.fixture
def installed(site, tmp_path):
    """A package X_heavy, version 2.4.1, as pip would leave it."""
    site.write("X_heavy", "value = 7")
    about = tmp_path / f"{site.prefix}_heavy-2.4.1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {site.prefix}-heavy\nVersion: 2.4.1\n")
    return site


FITTING = ["X-heavy>=2", "X_heavy>=2,<3", "X-heavy~=2.4", "X-heavy==2.4.*", "X-heavy!=2.4.0", "X-heavy > 2.4"]
UNFIT = ["X-heavy>=3", "X_heavy<2", "X-heavy~=2.5", "X-heavy==2.4", "X-heavy>=2,<2.4", "X-heavy===2.4"]


@pytest.mark.parametrize("require", FITTING)
def test_what_fits_is_loaded(installed, require):
    heavy = perfkit.lazy(installed.name("X_heavy"), require=installed.name(require), check=True)
    assert installed.loaded() == set()
    assert heavy.value == 7


@pytest.mark.parametrize("require", UNFIT)
def test_what_does_not_fit_fails_at_each_use_and_is_not_imported(installed, require):
    require = installed.name(require)
    heavy = perfkit.lazy(installed.name("X_heavy"), require=require, hint="pip install -U heavy")
    for _ in range(2):
        with pytest.raises(
            perfkit.errors.LazyRequirementUnmet, match=r"heavy 2\.4\.1 is installed.*; pip install -U"
        ) as caught:
            _ = heavy.value
        assert caught.value.name == installed.name("X_heavy")
        assert require in str(caught.value)
        assert f"{__file__}:" in caught.value.declared_at
    assert installed.loaded() == set()


def test_check_compares_at_once(installed):
    with pytest.raises(perfkit.errors.LazyRequirementUnmet, match=r"2\.4\.1 is installed"):
        perfkit.lazy(installed.name("X_heavy"), require=installed.name("X-heavy>=3"), check=True)
    assert installed.loaded() == set()


def test_a_module_that_is_loaded_is_compared_too(installed):
    module = installed.run("X_program", "import X_heavy").__dict__[installed.name("X_heavy")]
    assert perfkit.lazy(installed.name("X_heavy"), require=installed.name("X-heavy>=2")).value == 7
    heavy = perfkit.lazy(installed.name("X_heavy"), require=installed.name("X-heavy>=3"))
    with pytest.raises(perfkit.errors.LazyRequirementUnmet):
        _ = heavy.value
    assert module is sys.modules[installed.name("X_heavy")]


def test_eager_compares_too(installed, monkeypatch):
    monkeypatch.setenv("PERFKIT_EAGER", "1")
    with pytest.raises(perfkit.errors.LazyRequirementUnmet):
        perfkit.lazy(installed.name("X_heavy"), require=installed.name("X-heavy>=3"))


def test_a_package_that_is_not_installed():
    said = objection("no-such-package>=2")
    assert said.startswith("no-such-package>=2 is required, and no package 'no-such-package' is installed")
    assert "require names it as pip does" in said


def test_a_package_without_a_version(installed, tmp_path):
    about = tmp_path / f"{installed.prefix}_bare-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {installed.prefix}-bare\n")
    assert objection(installed.name("X-bare>=1")).endswith("is installed without a version")


def test_a_marker_that_does_not_hold_asks_for_nothing():
    assert objection("packaging>=9999; python_version < '3'") is None
    assert objection("no-such-package>=2; python_version < '3'") is None
    assert objection("packaging>=9999; python_version > '3'") is not None


@pytest.mark.parametrize("require", ["heavy>=two", "heavy>=", "heavy=>2", "heavy 2 > 1"])
def test_what_is_no_requirement(require):
    with pytest.raises(ValueError, match="require must be a package and its versions"):
        perfkit.lazy("colorsys", require=require, check=True)


def test_a_module_that_is_not_there_is_missing_before_it_is_too_old(installed):
    with pytest.raises(perfkit.errors.LazyModuleNotFound, match="No module named"):
        perfkit.lazy("no_such_module", require="no-such-package>=2", check=True)
