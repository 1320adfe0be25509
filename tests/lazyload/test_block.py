"""`with perfkit.lazy_imports():`: which statements wait, what they bind, and that nobody else notices."""

import ast
import builtins
import sys
import threading
import types

import pytest
from lazy_sites import before_native

import perfkit
from perfkit.lazyload import block, native
from perfkit.lazyload.proxy import LazyModule

ORDINARY = builtins.__import__


@pytest.fixture(autouse=True)
def hook_is_gone():
    assert builtins.__import__ is ORDINARY
    yield
    assert builtins.__import__ is ORDINARY
    assert block._blocks == ()


@pytest.fixture
def program(site):
    """Some modules, and ``program(statements)``: a module of a package that has the statements in a block."""
    site.write("X_heavy", "value = 7")
    site.write("X_pack.", "attribute = 3\nshared = 'attribute'")
    site.write("X_pack.mod", "value = 'mod'")
    site.write("X_pack.other", "value = 'other'")
    site.write("X_pack.shared", "value = 'module'")
    site.write("X_pack.deep.", "")
    site.write("X_pack.deep.down", "value = 'down'")
    site.write("X_main.", "")
    site.write("X_main.near", "value = 'near'")
    site.write("X_main.sub.", "")

    def run(statements, after="", name="X_main.sub.run"):
        lines = "\n    ".join(statements.splitlines())
        return site.run(name, f"import perfkit\nwith perfkit.lazy_imports():\n    {lines}\n{after}")

    return run


STATEMENTS = {
    "import X_heavy": ("X_heavy.value", 7),
    "import X_heavy as h": ("h.value", 7),
    "import X_pack.mod": ("X_pack.mod.value", "mod"),
    "import X_pack.mod as m": ("m.value", "mod"),
    "import X_pack.deep.down": ("X_pack.deep.down.value", "down"),
    "import X_pack.deep.down as d": ("d.value", "down"),
    "import X_pack.mod, X_pack.deep.down": ("X_pack.mod.value, X_pack.deep.down.value", ("mod", "down")),
    "from X_pack import mod": ("mod.value", "mod"),
    "from X_pack import mod as m, other": ("m.value, other.value", ("mod", "other")),
    "from X_pack.deep import down": ("down.value", "down"),
    "from .. import near": ("near.value", "near"),
    "import X_heavy\nimport X_heavy as again": ("X_heavy is again, again.value", (True, 7)),
}


@pytest.mark.parametrize("statements", STATEMENTS)
def test_a_statement_waits_for_the_first_use(program, site, statements):
    module = program(statements)
    assert site.loaded() <= {"X_main", "X_main.sub", "X_main.sub.run"}
    expression, expected = STATEMENTS[statements]
    assert eval(site.name(expression), vars(module)) == expected


@pytest.mark.parametrize("statements", STATEMENTS)
def test_names_are_bound_to_what_an_ordinary_import_binds(program, site, statements):
    module = program(statements)
    eval(site.name(STATEMENTS[statements][0]), vars(module))
    ordinary = {}
    exec(
        site.name(statements),
        {"__package__": site.name("X_main.sub"), "__name__": site.name("X_main.sub.run")},
        ordinary,
    )
    for name, real in ordinary.items():
        found = getattr(module, name)
        assert found is real or found.__dict__ is real.__dict__
        assert repr(found) == repr(real)


def test_both_submodules_are_there_once_one_is_used(program, site):
    module = program("import X_pack.mod\nimport X_pack.deep.down\nimport X_pack")
    package = getattr(module, site.name("X_pack"))
    assert package.mod.value == "mod"
    assert getattr(module, site.name("X_pack")) is sys.modules[site.name("X_pack")]
    assert getattr(module, site.name("X_pack")).deep.down.value == "down"


def test_a_second_in_blockadds_to_the_first(program, site):
    module = program(
        "import X_pack.mod", after="with perfkit.lazy_imports():\n    import X_pack.other\nfound = X_pack.other.value"
    )
    assert module.found == "other"
    assert getattr(module, site.name("X_pack")).mod.value == "mod"


def test_a_package_that_is_loaded_gains_a_lazy_submodule(program, site):
    site.run("X_first", "import X_pack")
    module = program("import X_pack.mod")
    package = getattr(module, site.name("X_pack"))
    assert not hasattr(sys.modules[site.name("X_pack")], "mod")
    assert package.mod.value == "mod"


def test_what_is_loaded_is_bound_as_it_is(program, site):
    site.run("X_first", "import X_heavy, X_pack.mod")
    module = program("import X_heavy\nfrom X_pack import mod\nimport X_pack.mod\nimport sys")
    for name in ("X_heavy", "X_pack"):
        assert type(getattr(module, site.name(name))) is types.ModuleType
    assert module.mod is sys.modules[site.name("X_pack.mod")]
    assert module.sys is sys


@before_native
@pytest.mark.parametrize(
    "statement", ["from X_pack import attribute", "from X_pack import mod, attribute", "from X_pack import *"]
)
def test_what_is_no_module_is_imported_at_once(program, site, statement):
    module = program(statement)
    assert module.attribute == 3
    assert "X_pack" in site.loaded()


def test_an_attribute_goes_before_a_module_of_the_same_name(program, site):
    module = program("from X_pack import shared")
    kept = module.shared
    assert kept.upper() == "ATTRIBUTE"
    assert module.shared == "attribute"


def test_what_a_package_itself_declares_lazily(program, site):
    site.write("X_lib.", "import perfkit\nwith perfkit.lazy_imports():\n    from . import part")
    site.write("X_lib.part", "value = 'part'")
    site.run("X_first", "import X_lib")
    module = program("from X_lib import part", after="def use(): return part.value")
    assert "X_lib.part" not in site.loaded()
    assert module.use() == "part"
    assert module.part is sys.modules[site.name("X_lib")].part is sys.modules[site.name("X_lib.part")]


@pytest.mark.parametrize("statement", ["from . import part", "from .part import x", "import X_lib.part as part"])
def test_a_package_that_declares_its_own_modules(site, statement):
    site.write("X_lib.part", "value = 'part'\nx = 3")
    lib = site.run("X_lib.", f"import perfkit\nwith perfkit.lazy_imports():\n    {statement}")
    assert lib.part.value == "part"
    assert lib.part is sys.modules[site.name("X_lib.part")]
    for name in ("X_lib", "X_lib.part"):
        del sys.modules[site.name(name)]
    ordinary = site.run("X_program", "import perfkit, X_lib.part\nfrom X_lib import part\nvalue = part.value")
    assert ordinary.value == "part"


def test_a_package_that_has_declared_something_else_by_that_name(site, program):
    site.write("X_lib.", "import perfkit\npart = perfkit.lazy('X_heavy', hint='x')")
    site.write("X_lib.part", "value = 'part'")
    module = program("from X_lib import part", after="def use(): return part.value")
    assert module.use() == 7


def test_a_function_or_class_goes_before_a_module_of_the_same_name(program, site):
    site.write("X_again.", "from .retry import retry\nfrom .Base import Base")
    site.write("X_again.retry", "def retry(function): return lambda: function() * 2")
    site.write("X_again.Base", "class Base:\n    inherited = 5")
    module = program("from X_again import retry, Base", after="@retry\ndef f():\n    return 3\nclass Sub(Base): pass\n")
    assert module.f() == 6
    assert module.Sub.inherited == 5
    assert module.Sub.__bases__ == (module.Base,)


def test_relative_imports_beyond_the_top_fail_at_once(program):
    with pytest.raises(ImportError, match="beyond top-level package"):
        program("from .... import nothing")


def test_a_missing_module_fails_when_it_is_used(program, site):
    module = program("import X_missing\nfrom X_pack import mod", after="def use(): return X_missing.value")
    for _ in range(2):
        with pytest.raises(ImportError):
            module.use()
    assert module.mod.value == "mod"


@before_native
def test_the_error_says_which_line_declared_it(program, site):
    module = program("import X_heavy\nimport X_missing", after="def use(): return X_missing.value")
    with pytest.raises(perfkit.errors.LazyModuleNotFound) as caught:
        module.use()
    assert caught.value.declared_at == f"{module.__file__}:4"


def test_only_the_statements_of_the_in_blockwait(program, site):
    site.write("X_ordinary", "import X_heavy")
    site.write("X_lazily", "value = 1")
    module = program(
        "import X_lazily\ndef inner():\n    import X_pack.other\ninner()\nclass C:\n    import X_pack.mod as mod\n"
        "__import__('X_ordinary')",
        after="import X_main.near",
    )
    assert {"X_ordinary", "X_heavy", "X_pack.mod", "X_pack.other", "X_main.near"} <= site.loaded()
    assert "X_lazily" not in site.loaded()
    assert type(module.C.mod) is types.ModuleType


def test_the_hook_is_gone_after_an_exception(program):
    with pytest.raises(ZeroDivisionError):
        program("import X_heavy\n1 / 0")


@before_native
def test_blocks_in_modules_that_a_in_blockimports(program, site):
    site.write("X_inner", "import perfkit\nwith perfkit.lazy_imports():\n    import X_heavy\nlazy = repr(X_heavy)")
    module = program("import X_pack.mod\n__import__('X_inner')\nimport X_pack.other")
    assert site.loaded() == {"X_main", "X_main.sub", "X_main.sub.run", "X_inner"}
    assert "lazy" in sys.modules[site.name("X_inner")].lazy
    assert getattr(module, site.name("X_pack")).other.value == "other"


def test_a_in_blockin_a_block(program, site):
    program("import X_heavy\nwith perfkit.lazy_imports():\n    import X_pack.mod\nimport X_pack.other")
    assert site.loaded() == {"X_main", "X_main.sub", "X_main.sub.run"}


@before_native
def test_other_threads_import_as_always(program, site):
    program(
        "import X_heavy\nimport threading\n"
        "t = threading.Thread(target=exec, args=['import X_pack.mod', globals()])\nt.start()\nt.join()"
    )
    assert "X_pack.mod" in site.loaded()
    assert "X_heavy" not in site.loaded()


@before_native
def test_a_use_inside_the_block(program, site):
    module = program("import X_pack.mod\nfound = X_pack.mod.value\nimport X_heavy\nthere = X_heavy.value")
    assert (module.found, module.there) == ("mod", 7)


@pytest.mark.parametrize(
    "where",
    [
        "def f():\n    with perfkit.lazy_imports():\n        pass\nf()",
        "class C:\n    with perfkit.lazy_imports():\n        pass",
    ],
)
def test_it_is_for_the_top_level_of_a_module(site, where):
    with pytest.raises(RuntimeError, match="top level of a module"):
        site.run("X_program", f"import perfkit\n{where}")


def test_eager(program, site, monkeypatch):
    monkeypatch.setenv("PERFKIT_EAGER", "1")
    program("import X_heavy")
    assert "X_heavy" in site.loaded()


@before_native
def test_somebody_elses_hook_stays(program, site, monkeypatch):
    seen = []

    def theirs(name, *rest):
        seen.append(name)
        return ORDINARY(name, *rest)

    monkeypatch.setattr(builtins, "__import__", theirs)
    program("import X_heavy\nfrom X_pack import attribute")
    assert builtins.__import__ is theirs
    assert site.name("X_pack") in seen
    assert site.name("X_heavy") not in seen
    monkeypatch.undo()


@before_native
def test_a_hook_put_over_ours_in_the_middle_of_a_block(program, site):
    module = program(
        "import builtins\nours = builtins.__import__\nbuiltins.__import__ = lambda *given: ours(*given)\nimport X_heavy"
    )
    assert builtins.__import__ is not module.ours
    later = program("import X_pack.mod", name="X_main.sub.again")  # goes through both
    assert getattr(later, site.name("X_pack")).mod.value == "mod"
    builtins.__import__ = ORDINARY


@before_native
def test_a_hook_that_was_wrapped_for_a_while(program, site, monkeypatch):
    """While it is wrapped another block puts one over it; none stays."""
    site.write("X_inner", "import perfkit\nwith perfkit.lazy_imports():\n    import X_heavy")
    program(
        "import builtins\nours = builtins.__import__\nbuiltins.__import__ = lambda *given: ours(*given)\n"
        "exec('import X_inner')\nbuiltins.__import__ = ours"
    )
    assert "X_inner" in site.loaded()
    assert "X_heavy" not in site.loaded()


@before_native
def test_a_cell_that_waits_in_its_block(site):
    """As in a notebook, where code of the top level awaits: another block's end doesn't close it."""
    site.write("X_heavy", "value = 7")
    source = "with perfkit.lazy_imports():\n    await pause()\n    import X_heavy as heavy\nfound = heavy.value"
    code = compile(site.name(source), "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)

    @types.coroutine
    def pause():
        yield

    names = {"perfkit": perfkit, "pause": pause, "__name__": "__main__"}
    cell = types.FunctionType(code, names)()
    cell.send(None)
    with pytest.raises(RuntimeError, match="open already"):
        block._blocks[0].__enter__()
    exec("import perfkit\nwith perfkit.lazy_imports():\n    pass", {"__name__": "another"})
    assert len(block._blocks) == 1
    with pytest.raises(StopIteration):
        cell.send(None)
    assert names["found"] == 7


@before_native
def test_two_modules_that_declare_the_same_package(site):
    """What the one wants besides is no matter of the other's."""
    site.write("X_pack.", "attribute = 3")
    declared = "import perfkit\nwith perfkit.lazy_imports():\n    import X_pack\n"
    site.write("X_one", f"{declared}def use(): return X_pack.attribute")
    site.write("X_two", f"from X_one import X_pack\n{declared.replace('X_pack', 'X_pack.missing')}")
    ordinary = site.run("X_program", "import X_one as one, X_two as two")
    assert ordinary.one.use() == 3


@before_native
def test_what_a_loaded_package_does_not_have_fails_at_once(program, site):
    site.run("X_first", "import X_pack")
    module = program(
        "try:\n    import X_pack.missing\nexcept ImportError:\n    found = None",
        after="import X_pack\nvalue = X_pack.attribute",
    )
    assert (module.found, module.value) == (None, 3)


@pytest.mark.parametrize("statement", ["from X_gone import name", "from X_gone import *", "import X_gone.name"])
def test_what_is_forbidden(program, site, monkeypatch, statement):
    monkeypatch.setitem(sys.modules, site.name("X_gone"), None)
    with pytest.raises(ModuleNotFoundError):
        program(statement)


def test_an_object_without_a_dict_in_a_modules_place(program, site, monkeypatch):
    monkeypatch.setitem(sys.modules, site.name("X_slotted"), type("Slotted", (), {"__slots__": (), "x": 3})())
    assert program("from X_slotted import x").x == 3


def test_what_a_package_says_is_no_module_is_no_stand_in(program, site):
    site.write("X_lib.", "from .version import version")
    site.write("X_lib.version", "version = '1.0'")
    module = program("from X_lib import version")
    assert type(module.version) is str


@pytest.mark.parametrize("first", ["", "import X_lib"])
def test_what_a_package_names_by_a_stub(program, site, first):
    """`from .version import version` is a str, though there is a module of that name; `from . import part` is lazy."""
    init = "import perfkit\n__getattr__, __dir__, __all__ = perfkit.attach_stub(__name__, __file__)"
    site.write("X_lib.", init).with_suffix(".pyi").write_text("from .version import version\nfrom . import part\n")
    site.write("X_lib.version", "version = '1.0'")
    site.write("X_lib.part", "value = 'part'")
    site.run("X_first", first)
    module = program("from X_lib import part\nfrom X_lib import version")
    assert module.version == "1.0"
    assert native.is_there or "X_lib.part" not in site.loaded()
    assert module.part.value == "part"


def test_it_is_no_decorator():
    with pytest.raises(TypeError, match=r"write `with perfkit.lazy_imports\(\):`"):

        @perfkit.lazy_imports
        def f():
            pass


def test_a_block_that_is_open_is_not_entered_again(site):
    site.write("X_heavy", "value = 7")
    program = site.run(
        "X_program",
        """
        import perfkit
        block = perfkit.lazy_imports()
        try:
            with block:
                with block:
                    pass
        except RuntimeError as error:
            said = str(error)
        with block:
            import X_heavy as heavy
        """,
    )
    assert "is open already" in program.said
    assert program.heavy.value == 7


@before_native
def test_two_threads_in_blocks_at_once(site):
    """Whichever ends first, the other's imports wait, and the hook goes with the last."""
    together = threading.Barrier(2, timeout=60)
    done = [threading.Event(), threading.Event()]
    threads = []
    for number in (0, 1):
        site.write(f"X_heavy{number}", "")
        other = f"done[{1 - number}].wait(60)" if number else "pass"
        in_block = f"with perfkit.lazy_imports():\n    together.wait()\n    {other}\n    import X_heavy{number}\n"
        source = f"{in_block}done[{number}].set()"
        names = {"perfkit": perfkit, "together": together, "done": done, "__name__": f"thread{number}"}
        threads.append(threading.Thread(target=exec, args=[site.name(source), names]))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert all(event.is_set() for event in done)
    assert site.loaded() == set()


@pytest.mark.skipif(not native.is_there, reason="needs Python 3.15")
class TestNatively:
    def test_attributes_wait_too(self, program, site):
        module = program("from X_pack import attribute", after="def use(): return attribute")
        assert site.loaded() == {"X_main", "X_main.sub", "X_main.sub.run"}
        assert module.use() == 3

    def test_the_module_is_left_as_it_was(self, program):
        assert not hasattr(program("import X_heavy"), "__lazy_modules__")


def test_what_a_in_blockbinds_is_what_lazy_returns(program, site):
    if native.is_there:
        pytest.skip("the interpreter binds objects of its own")
    module = program("import X_heavy")
    assert type(getattr(module, site.name("X_heavy"))).__base__ is LazyModule
