"""`perfkit.lazy`: what is no use of a module, what is, and who holds what afterwards."""

import builtins
import copy
import doctest
import importlib
import inspect
import pickle
import sys
import traceback
import types

import pytest

import perfkit
from perfkit.lazyload import native
from perfkit.lazyload.proxy import LazyModule


@pytest.fixture
def heavy(site):
    """A module with some attributes; ``declare(more)`` runs a program that has it as ``heavy``, and as a copy."""
    site.write("X_heavy", "value = 7\ndef double(n): return 2 * n\n")

    def declare(more="", **given):
        arguments = "".join(f", {name}={value!r}" for name, value in ({"hint": "install it"} | given).items())
        return site.run(
            "X_program",
            f"import perfkit\nheavy = perfkit.lazy('X_heavy'{arguments})\nother = heavy\nkept = [heavy]\n{more}",
        )

    return declare


def is_lazy(module):
    return type(module).__base__ is LazyModule and "<lazy module" in repr(module)


def test_declaring_loads_nothing(heavy, site):
    program = heavy()
    assert is_lazy(program.heavy)
    assert site.loaded() == {"X_program"}


@pytest.mark.parametrize(
    "no_use",
    [
        repr,
        str,
        bool,
        id,
        hash,
        inspect.ismodule,
        callable,
        lambda module: module.__name__,
        lambda module: isinstance(module, types.ModuleType),
        lambda module: isinstance(module, int | str | list),
        lambda module: module is None,
        lambda module: module == 3,
        lambda module: copy.copy([module]),
    ],
)
def test_what_is_no_use_loads_nothing(heavy, site, no_use):
    program = heavy()
    no_use(program.heavy)
    assert is_lazy(program.heavy)
    assert site.loaded() == {"X_program"}


def test_the_first_use_puts_the_module_under_every_name_of_the_declaring_module(heavy, site):
    program = heavy()
    assert program.heavy.value == 7
    real = sys.modules[site.name("X_heavy")]
    assert program.heavy is real
    assert program.other is real
    assert type(program.heavy) is types.ModuleType


def test_a_copy_elsewhere_goes_on_to_the_module(heavy, site):
    program = heavy()
    [kept] = program.kept
    assert kept.double(4) == 8
    real = sys.modules[site.name("X_heavy")]
    real.value = 8
    real.new = "new"
    assert (kept.value, kept.new) == (8, "new")
    kept.value = 9
    del kept.new
    assert real.value == 9
    assert not hasattr(real, "new")
    assert dir(kept) == dir(real)
    assert vars(kept) is vars(real)
    assert repr(kept) == repr(real)
    assert isinstance(kept, types.ModuleType)
    assert kept.__getattribute__ == real.__getattribute__


@pytest.mark.parametrize(
    "use",
    [
        lambda module: module.value,
        dir,
        vars,
        lambda module: module.__file__,
        lambda module: module.__spec__,
        lambda module: module.__doc__,
        lambda module: hasattr(module, "nothing"),
        lambda module: setattr(module, "value", 3),
        lambda module: delattr(module, "value"),
        inspect.getsource,
    ],
)
def test_a_use_loads(heavy, site, use):
    program = heavy()
    use(program.heavy)
    assert "X_heavy" in site.loaded()
    assert not is_lazy(program.heavy)


def test_what_is_not_there_is_the_modules_own_error(heavy):
    program = heavy()
    with pytest.raises(AttributeError, match=r"module '.*_heavy' has no attribute 'nothing'"):
        _ = program.kept[0].nothing
    assert getattr(program.kept[0], "nothing", 5) == 5


def test_dir_completes_what_the_module_has(heavy):
    assert {"value", "double"} <= set(dir(heavy().heavy))


@pytest.mark.parametrize("travel", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_pickles_as_little_as_a_module(heavy, site, travel):
    program = heavy()
    for module in (program.heavy, sys):
        with pytest.raises(TypeError, match="cannot pickle 'module' object"):
            travel(module)
    assert is_lazy(program.heavy) or travel is copy.deepcopy  # which asks for __deepcopy__ first
    assert program.kept[0].value == 7
    with pytest.raises(TypeError, match="cannot pickle 'module' object"):
        travel(program.kept[0])


def test_after_the_first_use_it_is_reloaded_and_copies_see_it(heavy, site):
    program = heavy()
    assert program.heavy.value == 7
    site.write("X_heavy", "value = 'another one'\nmore = True\n")
    importlib.reload(program.heavy)
    assert program.heavy.value == program.kept[0].value == "another one"
    assert program.kept[0].more


def test_reload_refuses_what_is_not_yet_a_module(heavy):
    with pytest.raises(ImportError, match=r"not in sys\.modules"):
        importlib.reload(heavy().heavy)


def test_a_module_that_is_loaded_is_returned_as_it_is(site):
    assert perfkit.lazy("sys") is sys
    assert perfkit.lazy("importlib.machinery") is sys.modules["importlib.machinery"]


def test_a_submodule_is_the_submodule(site):
    site.write("X_package.", "loaded = True")
    site.write("X_package.sub.", "")
    site.write("X_package.sub.deep", "value = 3")
    program = site.run("X_program", "import perfkit\ndeep = perfkit.lazy('X_package.sub.deep', hint='x')")
    assert site.loaded() == {"X_program"}
    assert program.deep.value == 3
    assert program.deep is sys.modules[site.name("X_package.sub.deep")]


def test_in_a_function_it_is_a_local_variable_that_goes_on_to_the_module(site):
    site.write("X_heavy", "value = 7")
    program = site.run(
        "X_program", "import perfkit\ndef use():\n    heavy = perfkit.lazy('X_heavy')\n    return heavy, heavy.value"
    )
    first, value = program.use()
    assert value == 7
    assert first.value == 7
    assert program.use()[0] is sys.modules[site.name("X_heavy")]


def test_a_global_that_a_function_declares_becomes_the_module(site):
    site.write("X_heavy", "value = 7")
    program = site.run(
        "X_program", "import perfkit\ndef make():\n    global heavy\n    heavy = perfkit.lazy('X_heavy')\nmake()"
    )
    assert program.heavy.value == 7
    assert program.heavy is sys.modules[site.name("X_heavy")]


def test_a_name_that_has_something_else_by_now_keeps_it(heavy):
    program = heavy()
    kept = program.heavy
    program.heavy = "mine"
    assert kept.value == 7
    assert program.heavy == "mine"


def test_an_object_that_took_the_modules_place(site):
    site.write(
        "X_shell",
        """
        import sys
        class Shell:
            version = 3
            def __getattr__(self, name): return lambda *words: (name, *words)
            def __call__(self, *words): return words
        sys.modules[__name__] = Shell()
        """,
    )
    program = site.run("X_program", "import perfkit\nsh = perfkit.lazy('X_shell', hint='x')\nkept = [sh]")
    [kept] = program.kept
    assert kept("called") == ("called",)
    assert program.sh is sys.modules[site.name("X_shell")]
    assert program.sh.ls("-l") == kept.ls("-l") == ("ls", "-l")
    assert kept.version == 3
    kept.version = 4
    assert program.sh.version == 4
    assert isinstance(kept, type(program.sh))


def test_a_module_with_a_getattr_of_its_own(site):
    site.write("X_heavy", "def __getattr__(name): return name.upper()\ndef __dir__(): return ['z', 'a']")
    program = site.run("X_program", "import perfkit\nheavy = perfkit.lazy('X_heavy', hint='x')\nkept = [heavy]")
    assert program.kept[0].anything == "ANYTHING"
    assert program.kept[0].other == "OTHER"
    assert dir(program.kept[0]) == ["a", "z"]


def test_a_module_whose_class_looks_attributes_up(site):
    site.write(
        "X_heavy",
        """
        import sys, types
        class M(types.ModuleType):
            of_class = 3
            def __getattr__(self, name): return name.upper()
        sys.modules[__name__].__class__ = M
        """,
    )
    program = site.run("X_program", "import perfkit\nheavy = perfkit.lazy('X_heavy', hint='x')\nkept = [heavy]")
    [kept] = program.kept
    assert (kept.one, kept.two, kept.of_class) == ("ONE", "TWO", 3)


def test_a_copy_of_what_is_a_class_is_a_base_class_each_time(site):
    site.write("X_pack.Base", "import sys\nclass Base:\n    inherited = 5\nsys.modules[__name__] = Base")
    site.write("X_pack.", "")
    program = site.run("X_program", "import perfkit\nBase = perfkit.lazy('X_pack.Base', hint='x')\nkept = [Base]")
    [kept] = program.kept
    for _ in range(2):

        class Made(kept):
            pass

        assert Made.inherited == 5


def test_what_looks_for_decorated_functions_loads_nothing(heavy, site):
    program = heavy()
    assert inspect.unwrap(program.heavy) is program.heavy
    assert doctest.testmod(program).failed == 0
    assert site.loaded() == {"X_program"}


def test_calls_in_one_line_each_keep_their_options(site):
    site.write("X_heavy", "value = 7")
    program = site.run(
        "X_program", "import perfkit\ndef f(hint, require): return perfkit.lazy('X_heavy', hint=hint, require=require)"
    )
    unfit = program.f("b", "packaging>=9999")
    fits = program.f("a", "packaging>=1")
    assert fits.value == 7
    for wrong, hint in ((unfit, "b"), (program.f("c", "packaging>=9999"), "c")):
        with pytest.raises(perfkit.errors.LazyRequirementUnmet, match=f"; {hint}$"):
            _ = wrong.value
    assert program.f("a", "packaging>=1").value == 7


def test_somebody_elses_import_is_called_once(site, monkeypatch):
    ordinary, calls = builtins.__import__, []

    def theirs(name, *rest):
        calls.append(name)
        return types.SimpleNamespace(value=1) if name == "from_elsewhere" else ordinary(name, *rest)

    monkeypatch.setattr(builtins, "__import__", theirs)
    assert perfkit.lazy("from_elsewhere").value == 1
    monkeypatch.undo()
    assert calls.count("from_elsewhere") == 1


def test_an_extension_module(site):
    program = site.run(
        "X_program",
        "import sys, perfkit\nsys.modules.pop('_struct', None)\ns = perfkit.lazy('_struct', hint='x')\nkept=s",
    )
    assert program.kept.calcsize("i") == 4
    assert program.s is sys.modules["_struct"]


def test_a_module_that_uses_who_declared_it_while_it_is_loaded(site):
    """It sees as much as with an import there, and nobody keeps half a module."""
    site.write(
        "X_a", "import perfkit\nb = perfkit.lazy('X_b', hint='x')\nkept = [b]\nbefore = 1\nfound = b.found\nafter = 2"
    )
    site.write("X_b", "import perfkit\na = perfkit.lazy('X_a', hint='x')\nfound = a.before, hasattr(a, 'after')")
    a = site.run("X_program", "import X_a as a").a
    assert a.found == (1, False)
    b = sys.modules[site.name("X_b")]
    assert b.a.after == 2
    assert b.a is a
    assert a.b is b


def test_a_module_that_uses_itself_while_it_is_loaded(site):
    site.write(
        "X_self", "import perfkit\nme = perfkit.lazy('X_self', hint='x')\nvalue = 1\ntwice = me.value * 2\nlast = 3"
    )
    module = site.run("X_program", "import X_self as module").module
    assert module.twice == 2
    assert module.me.last == 3
    assert module.me is module


class TestFailures:
    def test_a_missing_module_is_told_with_hint_and_place_at_each_use(self, site):
        program = site.run(
            "X_program", "import perfkit\n\nheavy = perfkit.lazy('X_missing.sub', hint='pip install heavy')"
        )
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError, match=r"; pip install heavy$") as caught:
                _ = program.heavy.value
            error = caught.value
            assert isinstance(error, perfkit.errors.LazyModuleNotFound)
            assert error.name == site.name("X_missing")
            assert error.module == site.name("X_missing.sub")
            assert error.declared_at == f"{program.__file__}:3"
            assert f"{program.__file__}:3" in str(error)
            assert error.msg == str(error)

    def test_an_error_is_told_once_and_in_few_frames(self, site):
        program = site.run("X_program", "import perfkit\nheavy = perfkit.lazy('X_missing')\nkept = heavy")
        for use in (lambda: program.kept.value, program.kept, lambda: dir(program.kept)):
            with pytest.raises(perfkit.errors.LazyModuleNotFound) as caught:
                use()
            assert caught.value.__cause__ is None
            assert caught.value.__suppress_context__
            ours = [entry for entry in caught.traceback if "perfkit" in str(entry.frame.f_globals["__name__"])]
            assert len(ours) <= 3

    def test_a_cause_that_says_more_is_kept(self, heavy, site):
        program = heavy()
        site.write("X_heavy", "import X_other")
        with pytest.raises(perfkit.errors.LazyModuleNotFound) as caught:
            _ = program.heavy.value
        frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
        assert frames[-1].filename.endswith("_heavy.py")

    def test_an_import_error_of_another_class_passes_with_a_note(self, heavy, site):
        program = heavy()
        site.write("X_error", "class NeedsMore(ImportError): pass")
        site.write("X_heavy", "import X_error\nraise X_error.NeedsMore('more')")
        with pytest.raises(ImportError, match="more") as caught:
            _ = program.heavy.value
        assert type(caught.value) is sys.modules[site.name("X_error")].NeedsMore
        assert len(caught.value.__notes__) == 1

    def test_an_error_that_is_raised_again_and_again_is_noted_once(self, heavy, site):
        program = heavy()
        site.write("X_error", "class Mute(Exception):\n    def __str__(self): raise KeyError\nerror = Mute()")
        site.write("X_heavy", "import X_error\nraise X_error.error")
        for _ in range(3):
            with pytest.raises(Exception, check=lambda error: type(error).__name__ == "Mute") as caught:
                _ = program.heavy.value
        assert len(caught.value.__notes__) == 1

    def test_an_attribute_that_was_taken_for_a_module(self):
        with pytest.raises(
            perfkit.errors.LazyModuleNotFound, match=r"an attribute 'dumps': perfkit.lazy\('json'\).dumps"
        ):
            _ = perfkit.lazy("json.dumps").x

    def test_it_is_tried_again(self, heavy, site):
        program = heavy()
        path = site.write("X_heavy", "raise ImportError('not today', name='day', path='there')")
        with pytest.raises(perfkit.errors.LazyImportError, match="not today") as caught:
            _ = program.heavy.value
        assert (caught.value.name, caught.value.path) == ("day", "there")
        assert not isinstance(caught.value, ModuleNotFoundError)
        path.unlink()
        with pytest.raises(perfkit.errors.LazyModuleNotFound, match="install it"):
            _ = program.heavy.value
        site.write("X_heavy", "value = 'at last'  # longer than before")
        assert program.heavy.value == "at last"
        assert program.heavy is sys.modules[site.name("X_heavy")]

    def test_what_the_module_needs_is_not_what_the_hint_is_about(self, heavy, site):
        program = heavy()
        site.write("X_heavy", "import X_other")
        with pytest.raises(perfkit.errors.LazyModuleNotFound) as caught:
            _ = program.heavy.value
        assert caught.value.name == site.name("X_other")
        assert "install it" not in str(caught.value)

    def test_other_errors_pass_with_a_note(self, heavy, site):
        program = heavy()
        site.write("X_heavy", "1 / 0")
        with pytest.raises(ZeroDivisionError) as caught:
            _ = program.heavy.value
        assert caught.value.__notes__ == [f"{site.name('X_heavy')!r} was declared lazily at {program.__file__}:2"]
        assert is_lazy(program.heavy)

    def test_the_error_travels_whole(self, heavy, site):
        program = heavy()
        site.write("X_heavy", "import X_other")
        with pytest.raises(ImportError) as caught:
            _ = program.heavy.value
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.name, again.path) == (str(caught.value), site.name("X_other"), None)
        assert again.declared_at == caught.value.declared_at


class TestArguments:
    @pytest.mark.parametrize("name", ["no such", "", ".", "a..b", ".relative", "a.", "1a", "a-b", "a b.c"])
    def test_a_name_that_cannot_exist_fails_at_once(self, name):
        with pytest.raises(ValueError, match="must be an absolute module name") as caught:
            perfkit.lazy(name)
        assert ("from . import name" in str(caught.value)) == name.startswith(".")

    def test_other_arguments(self):
        with pytest.raises(TypeError, match="name must be a str"):
            perfkit.lazy(sys)
        with pytest.raises(TypeError, match="hint must be a str"):
            perfkit.lazy("sys", hint=3)
        with pytest.raises(TypeError, match="require must be a str"):
            perfkit.lazy("sys", require=3)
        with pytest.raises(ValueError, match="require must be a package and its versions"):
            perfkit.lazy("sys", require="numpy")

    def test_check_looks_without_loading(self, site):
        site.write("X_package.", "")
        site.write("X_package.sub", "")
        for name in ("X_package", "X_package.sub"):
            assert perfkit.lazy(site.name(name), check=True).__name__ == site.name(name)
        for name in ("X_missing", "X_missing.sub", "X_package.missing", "X_package.missing.sub"):
            with pytest.raises(perfkit.errors.LazyModuleNotFound, match="; install it"):
                perfkit.lazy(site.name(name), check=True, hint="install it")
        assert site.loaded() == set()

    def test_check_passes_what_only_the_import_would_tell(self, site):
        """A module that makes itself a package, and its modules, when it is executed."""
        site.write(
            "X_six", "import sys, types\n__path__ = []\nsys.modules['X_six.moves'] = types.ModuleType('X_six.moves')"
        )
        assert perfkit.lazy(site.name("X_six.moves"), check=True).__doc__ is None

    def test_what_is_forbidden_is_missing(self, site, monkeypatch):
        monkeypatch.setitem(sys.modules, "colorsys", None)
        with pytest.raises(ModuleNotFoundError):
            perfkit.lazy("colorsys", check=True)

    def test_eager(self, heavy, site, monkeypatch):
        monkeypatch.setenv("PERFKIT_EAGER", "1")
        assert heavy().heavy is sys.modules[site.name("X_heavy")]
        with pytest.raises(perfkit.errors.LazyModuleNotFound, match="; install it"):
            perfkit.lazy("no_such_module", hint="install it")

    @pytest.mark.parametrize("off", ["", "0"])
    def test_not_eager(self, heavy, monkeypatch, off):
        monkeypatch.setenv("PERFKIT_EAGER", off)
        assert is_lazy(heavy().heavy)


class TestNatively:
    """Where the value of a call goes decides whether the interpreter's own lazy object could become a module."""

    def stored(self, source):
        found = []

        def call():
            frame = sys._getframe(1)
            found.append(native.is_stored(frame.f_code, frame.f_lasti))

        exec(source, {"call": call})
        return found

    def test_a_name_of_a_module(self):
        assert self.stored("a = call()") == [True]
        assert self.stored("a: object = call()") == [True]
        assert self.stored("def f():\n  global a\n  a = call()\nf()") == [True]

    @pytest.mark.parametrize(
        "source",
        [
            "a = [call()]",
            "call()",
            "a = call() or 1",
            "def f():\n a = call()\nf()",
            "a = {}\na[1] = call()",
            "a = b = call()",
        ],
    )
    def test_anything_else(self, source):
        assert self.stored(source) == [False]

    @pytest.mark.skipif(not native.is_there, reason="needs Python 3.15")
    def test_the_interpreter_does_it(self, site):
        site.write("X_heavy", "value = 7")
        program = site.run(
            "X_program", "import perfkit\nheavy = perfkit.lazy('X_heavy')\ndef use(): return heavy.value"
        )
        assert site.loaded() == {"X_program"}
        assert program.use() == 7
