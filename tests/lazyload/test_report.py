"""`lazy_report`: what is still lazy, what was loaded when, by which line, in what time and memory."""

import importlib
import inspect
import shutil
import sys
import time

import pytest
from lazy_sites import before_native

import perfkit
from perfkit.lazyload import LazyImport, LazyReport, LazyStats, native

pytestmark = before_native


def mine(site):
    return LazyReport(each for each in perfkit.lazy_report() if each.name.startswith(site.prefix))


@pytest.fixture
def program(site):
    site.write("X_used", "import mmap\nkept = mmap.mmap(-1, 20_000_000)\nkept.write(bytes(20_000_000))\nvalue = 7")
    site.write("X_never", "")
    return site.run(
        "X_program",
        """
        import perfkit
        used = perfkit.lazy("X_used", hint="x")
        with perfkit.lazy_imports():
            import X_never
            import X_missing
        """,
    )


def test_what_was_declared_in_its_order(program, site):
    report = mine(site)
    assert [each.name.replace(site.prefix, "X") for each in report] == ["X_used", "X_never", "X_missing"]
    assert [each.declared_at for each in report] == [f"{program.__file__}:{line}" for line in (3, 5, 6)]
    assert report.lazy == report
    first = report[0]
    assert (first.used_at, first.loaded_at, first.seconds, first.rss_bytes, first.error) == (None,) * 5


def test_what_was_loaded_is_told_with_time_memory_and_line(program, site):
    before = time.time()
    _ = program.used.value
    line = inspect.currentframe().f_lineno - 1
    [used] = mine(site).loaded
    assert used.used_at == f"{__file__}:{line}"
    assert before <= used.loaded_at <= time.time()
    assert 0 < used.seconds < 600
    assert used.rss_bytes is None or used.rss_bytes > 10_000_000
    assert not used.is_native


def test_what_failed_says_how_until_it_succeeds(program, site):
    with pytest.raises(ImportError):
        _ = vars(program)[site.name("X_missing")].value
    [failed] = mine(site).failed
    assert failed.error.startswith("LazyModuleNotFound: No module named")
    line = inspect.currentframe().f_lineno - 3
    assert failed.used_at == f"{__file__}:{line}"
    assert f"    {failed.error}" in str(mine(site)).splitlines()
    site.write("X_missing", "value = 3")
    assert vars(program)[site.name("X_missing")].value == 3
    again = mine(site)
    assert (again.failed, [each.error for each in again.loaded]) == ((), [None])


def test_a_line_that_is_reached_again_is_one_entry(site):
    site.write("X_heavy", "")
    program = site.run("X_program", "import perfkit\ndef f():\n    return perfkit.lazy('X_heavy')")
    declared = [program.f() for _ in range(100)]
    assert len(mine(site)) == 1
    assert [each.__file__ for each in declared]
    assert len(mine(site).loaded) == 1


def test_a_use_that_fails_after_one_that_did_not(site):
    path = site.write("X_heavy", "value = 7")
    program = site.run("X_program", "import perfkit\ndef f(): return perfkit.lazy('X_heavy').value")
    assert program.f() == 7
    del sys.modules[site.name("X_heavy")]
    path.write_text("raise ImportError('not today')")
    importlib.invalidate_caches()
    shutil.rmtree(path.with_name("__pycache__"), ignore_errors=True)
    with pytest.raises(ImportError):
        program.f()
    [failed] = mine(site).failed
    assert "not today" in failed.error
    assert failed.seconds > 0  # of the load that there was
    path.write_text("value = 'at last'")
    importlib.invalidate_caches()
    assert program.f() == "at last"
    assert mine(site).failed == ()


def test_what_could_not_wait_is_listed(site):
    site.write("X_pack.", "attribute = 3\nother = 4")
    site.write("X_pack.mod", "")
    site.write("X_more", "value = 7")
    program = site.run(
        "X_program",
        """
        import perfkit
        with perfkit.lazy_imports():
            from X_pack import mod
            from X_pack import attribute
            from X_pack import other
            from X_more import *
        """,
    )
    assert (program.attribute, program.other, program.value) == (3, 4, 7)
    found = [(each.name, each.declared_at, each.state) for each in mine(site)]
    assert [(name.replace(site.prefix, "X"), int(at.rpartition(":")[2]), state) for name, at, state in found] == [
        ("X_pack.mod", 4, "lazy"),
        ("X_pack", 5, "eager"),
        ("X_more", 7, "eager"),
    ]
    assert [each.name.replace(site.prefix, "X") for each in mine(site).eager] == ["X_pack", "X_more"]
    assert all(each.seconds > 0 and each.used_at == each.declared_at for each in mine(site).eager)


def test_a_table(program, site):
    _ = program.used.value
    table = str(mine(site)).splitlines()
    assert table[0].split() == ["module", "state", "ms", "MB", "declared", "at", "used", "at"]
    assert [row.split()[1] for row in table[1:]] == ["loaded", "lazy", "lazy"]
    assert f"{__file__}:" in table[1]
    assert str(LazyReport()).split() == table[0].split()


def test_an_entry_is_a_plain_value(program, site):
    [first, *_] = mine(site)
    assert isinstance(first, LazyImport)
    with pytest.raises(AttributeError):
        first.name = "other"


def test_stats_have_them_all_together(program):
    _ = program.used.value
    [figures] = [figures for part, name, figures in perfkit.stats() if part == "lazyload"]
    assert isinstance(figures, LazyStats)
    report = perfkit.lazy_report()
    assert (figures.lazy, figures.loaded, figures.failed, figures.eager) == tuple(
        map(len, (report.lazy, report.loaded, report.failed, report.eager))
    )
    assert figures.seconds == pytest.approx(sum(each.seconds or 0 for each in report))


def test_on_python_3_15_the_interpreter_tells_nothing():
    assert not native.is_there
