"""`attach_stub`: a package whose names are loaded by their first use, as its stub lists them."""

import importlib
import sys
import types
import zipfile

import pytest

import perfkit

INIT = "import perfkit\n__getattr__, __dir__, __all__ = perfkit.attach_stub(__name__, __file__)\n__version__ = '1'\n"


@pytest.fixture
def package(site):
    site.write("X_lib.filters", "kind = 'filters'\ndef blur(): return 'blur'\ndef sharpen(): return 'sharpen'")
    site.write("X_lib.io", "def load(): return 'io'")
    site.write("X_lib.deep.", "")
    site.write("X_lib.deep.down", "value = 'down'")

    def made(stub):
        path = site.write("X_lib.", INIT)
        path.with_suffix(".pyi").write_text(site.name(stub))
        return importlib.import_module(site.name("X_lib"))

    return made


STUB = """
from typing import Any
from . import io
from .filters import blur, sharpen as better
from .deep.down import value as value
"""


def test_nothing_is_loaded_until_it_is_used(package, site):
    lib = package(STUB)
    assert site.loaded() == {"X_lib"}
    assert lib.blur() == "blur"
    assert site.loaded() == {"X_lib", "X_lib.filters"}
    assert lib.better() == "sharpen"
    assert lib.io.load() == "io"
    assert lib.value == "down"


def test_a_name_that_was_used_is_an_ordinary_attribute(package):
    lib = package(STUB)
    assert "blur" not in vars(lib)
    assert lib.blur is vars(lib)["blur"]


def test_the_names(package):
    lib = package(STUB)
    assert lib.__all__ == ["better", "blur", "io", "value"]
    assert set(lib.__all__) | {"__version__", "__name__"} <= set(dir(lib))
    assert "Any" not in dir(lib)
    with pytest.raises(AttributeError, match=r"module '\w+_lib' has no attribute 'sharpen'"):
        _ = lib.sharpen
    assert not hasattr(lib, "Any")


def test_names_are_imported_from_the_package(package, site):
    package(STUB)
    program = site.run("X_program", "from X_lib import blur, io\nimport X_lib.deep.down as down\nfrom X_lib import *")
    assert program.blur() == "blur"
    assert program.io.load() == "io"
    assert program.value == "down"
    assert isinstance(program.down, types.ModuleType)


def test_absolute_imports_are_names_if_they_are_exported(package):
    lib = package("from json import dumps as dumps\nfrom json import loads as parse\nfrom . import io\n")
    assert lib.__all__ == ["dumps", "io"]
    assert lib.dumps([1]) == "[1]"


def test_an_all_is_what_the_package_gets(package):
    lib = package("from json import dumps\nfrom . import io\n__version__: str\n__all__ = ['dumps', '__version__']\n")
    assert lib.__all__ == ["dumps", "__version__"]
    assert lib.dumps([1]) == "[1]"
    assert lib.io.load() == "io"


def test_a_module_and_a_function_of_the_same_name(package, site):
    site.write("X_lib.rank", "def rank(): return 1")
    lib = package("from .rank import rank\n")
    assert lib.rank() == 1
    assert lib.rank() == 1


def test_what_is_missing_fails_at_each_use_and_names_the_stubs_line(package, site):
    lib = package("from . import io\nfrom .gone import thing\nfrom .io import nothing\n")
    for _ in range(2):
        with pytest.raises(perfkit.errors.LazyModuleNotFound, match=r"__init__.pyi:2"):
            _ = lib.thing
        with pytest.raises(perfkit.errors.LazyImportError, match=r"cannot import name 'nothing'.*__init__.pyi:3"):
            _ = lib.nothing
    assert lib.io.load() == "io"


def test_a_module_and_a_function_of_the_same_name_whoever_imports_the_module(package, site):
    site.write("X_lib.rank", "def rank(): return 1")
    site.write("X_lib.order", "")
    lib = package("from .rank import rank\nfrom . import order\n")
    site.run("X_program", "import X_lib.rank, X_lib.order")
    assert lib.rank() == 1
    assert lib.order is sys.modules[site.name("X_lib.order")]
    lib.rank = "patched"
    assert lib.rank == "patched"


def test_what_counts_on_this_python(package, site):
    site.write("X_lib.late", "value = 'late'")
    lib = package(
        """
import sys
if sys.version_info >= (3, 11):
    from . import io
else:
    from .gone import io
if sys.platform == "nowhere":
    from .gone import other
elif TYPE_CHECKING:
    from .late import value
"""
    )
    assert lib.__all__ == ["io", "value"]
    assert (lib.io.load(), lib.value) == ("io", "late")


@pytest.mark.parametrize(
    "listed",
    [
        "__all__: list[str] = ['io', 'dec']",
        "__all__ = ['io']\n__all__ += ['dec']",
        "__all__ = ('io', 'dec')",
        "if True:\n    __all__ = ['io', 'dec']",
    ],
)
def test_an_all_in_other_words(package, listed):
    lib = package(f"import decimal as dec\nfrom . import io\nfrom .filters import blur\n{listed}\n")
    assert lib.__all__ == ["io", "dec"]
    assert lib.dec is importlib.import_module("decimal")


def test_modules_that_are_exported(package):
    lib = package(
        "import decimal as decimal\nimport json\nimport email.policy as policy\n__all__ = ['json', 'policy']\n"
    )
    assert lib.decimal is importlib.import_module("decimal")
    assert lib.json is importlib.import_module("json")
    assert lib.policy is importlib.import_module("email.policy")


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        ("try:\n    from . import io\nexcept ImportError:\n    io = None\n", "line 1, has a `try`"),
        ("if some_flag:\n    from . import io\n", "line 1, has an `if` that can't be told"),
        ("from . import io\n__all__ = ['io', 'nosuch']\n", "lists 'nosuch' in `__all__`"),
        ("from . import io\n__all__ = []\n__all__.append('io')\n", r"line 3, changes `__all__` by a call"),
        ("from . import io\n__all__ = io.__all__\n", "line 2, has an `__all__` that is no list"),
        ("from . import io\n__all__ = ['io', 3]\n", "line 2, has an `__all__` that is no list"),
    ],
)
def test_what_is_not_understood_is_refused(package, stub, said):
    with pytest.raises(ValueError, match=said):
        package(stub)


def test_what_is_declared_may_be_listed(package):
    lib = package("__version__: str\ndef f(): ...\nclass C: ...\nx = 1\n__all__ = ['__version__', 'f', 'C', 'x']\n")
    assert lib.__all__ == ["__version__", "f", "C", "x"]


def test_eager_where_modules_take_names_from_the_package(package, site, monkeypatch):
    monkeypatch.setenv("PERFKIT_EAGER", "1")
    site.write("X_lib.first", "from X_lib import Base\nclass Derived(Base): pass")
    site.write("X_lib.second", "class Base: pass")
    lib = package("from .first import Derived\nfrom .second import Base\n")
    assert issubclass(vars(lib)["Derived"], vars(lib)["Base"])


def test_a_star_is_refused(package):
    with pytest.raises(ValueError, match=r"line 1, says `import \*`: list the names"):
        package("from .io import *\n")


def test_a_stub_that_is_not_there(site):
    with pytest.raises(FileNotFoundError, match=r"a stub beside __init__\.py") as caught:
        site.run("X_lib.", INIT)
    assert caught.value.filename.endswith("__init__.pyi")


def test_a_stub_that_is_not_python(package):
    with pytest.raises(SyntaxError):
        package("from . import\n")


def test_eager(package, site, monkeypatch):
    monkeypatch.setenv("PERFKIT_EAGER", "1")
    lib = package(STUB)
    assert {"X_lib.io", "X_lib.filters", "X_lib.deep.down"} <= site.loaded()
    assert {"blur", "better", "io", "value"} <= set(vars(lib))


def test_a_package_in_an_archive(site, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr(site.name("X_lib/__init__.py"), INIT)
        archive.writestr(site.name("X_lib/__init__.pyi"), "from .io import load\n")
        archive.writestr(site.name("X_lib/io.py"), "def load(): return 'io'")
    monkeypatch.syspath_prepend(str(tmp_path / "archive.zip"))
    assert importlib.import_module(site.name("X_lib")).load() == "io"


def test_names_that_need_each_other(package, site):
    site.write("X_lib.first", "import X_lib\ndef one(): return X_lib.two() - 1\nbase = 1")
    site.write("X_lib.second", "import X_lib\nfound = X_lib.base\ndef two(): return 2 * found")
    lib = package("from .first import one, base\nfrom .second import two\n")
    assert lib.one() == 1
    assert sys.modules[site.name("X_lib")].two() == 2


def test_it_is_in_the_report(package):
    lib = package("from . import io\nfrom .filters import blur\n")
    lib.blur()
    mine = [each for each in perfkit.lazy_report() if lib.__name__ in each.name]
    assert [(each.name.removeprefix(lib.__name__), each.state) for each in mine] == [
        (".io", "lazy"),
        (".filters.blur", "loaded"),
    ]
    assert mine[1].used_at.startswith(__file__)
