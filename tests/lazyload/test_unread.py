"""Which imports no line read: what counts as reading, and what is not looked into."""

import sys
import textwrap

import pytest

from perfkit.lazyload.unread import Source, unread

MODULES = {"heavy", "heavy.sub", "other", "app", "app.part"}


def source(text, *, module="__main__", package="", ran=None, eager=()):
    text = textwrap.dedent(text).strip("\n") + "\n"
    lines = range(1, text.count("\n") + 1) if ran is None else ran
    return Source(module, package, text, frozenset(lines), frozenset(eager))


def statements(**files):
    found = unread({f"{name}.py": each for name, each in files.items()}, MODULES)
    return [(each.file, each.line, each.statement) for each in found]


def of_one(text, **given):
    return [statement for _, _, statement in statements(main=source(text, **given))]


def test_an_import_that_nothing_reads():
    [found] = unread({"main.py": source("import heavy\n\ndef f():\n    return heavy.x\n", ran=[1, 3])}, MODULES)
    assert (found.file, found.line, found.statement, found.module) == ("main.py", 1, "import heavy", "heavy")
    assert (found.is_module, found.readers) == (True, (4,))


@pytest.mark.parametrize(
    "text",
    [
        "import heavy\nheavy.x",
        "import heavy as h\nprint(h)",
        "import heavy.sub\nheavy.sub.x",
        "from heavy import sub\nsub",
        "from heavy import x as y\nf'{y}'",
        "import heavy\nif 1:\n    (\n     heavy\n    )",
        "import heavy\nimport heavy.sub as s\nheavy",
    ],
)
def test_an_import_that_is_read(text):
    assert "import heavy" not in of_one(text)
    assert of_one(text) in ([], ["import heavy.sub as s"])


def test_an_annotation_reads_where_it_is_evaluated():
    found = of_one("import heavy\ndef f(x: heavy.T): pass")
    assert found == (["import heavy"] if sys.version_info >= (3, 14) else [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import heavy, other\nother", ["import heavy"]),
        ("from heavy import sub, x\nx", ["from heavy import sub"]),
        ("import heavy as h\nheavy = 3", ["import heavy as h"]),
        ("from __future__ import annotations\nimport heavy\ndef f(x: heavy.T) -> heavy.T: pass", ["import heavy"]),
        ("try:\n    import heavy\nexcept ImportError:\n    heavy = None", ["import heavy"]),
        ("if True:\n    import heavy\nelse:\n    import other", ["import heavy", "import other"]),
    ],
)
def test_an_import_that_is_not_read(text, expected):
    assert of_one(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    import heavy",
        "class C:\n    import heavy",
        "import perfkit\nwith perfkit.lazy_imports():\n    import heavy\nperfkit",
        "from __future__ import annotations",
    ],
)
def test_what_waits_already_is_no_candidate(text):
    assert of_one(text) == []


def test_what_a_block_could_not_have_wait():
    text = "import perfkit\nwith perfkit.lazy_imports():\n    from heavy import x\n    from heavy import sub\nperfkit"
    assert of_one(text, eager=[3]) == ["from heavy import x"]
    assert of_one(f"{text}, x", eager=[3]) == []


def test_what_waits_and_is_read_is_needed():
    text = "import heavy as h\nimport perfkit\nwith perfkit.lazy_imports():\n    import heavy\nperfkit, heavy"
    assert of_one(text) == []


def test_an_expression_that_is_nested_deeply():
    assert of_one(f"import heavy\nx = {' + '.join(['heavy'] * 900)}") == []
    assert of_one(f"import heavy\nx = {' + '.join(['1'] * 900)}") == ["import heavy"]


def test_a_line_that_did_not_run_imports_nothing_and_reads_nothing():
    text = "import heavy\nif TYPE_CHECKING:\n    import other\nif 0:\n    heavy\n"
    assert of_one(text, ran=[1, 2, 4]) == ["import heavy"]


def test_a_module_that_another_file_reads_is_loaded_anyway():
    reads, does_not = source("import heavy\nheavy.x", module="app.part", package="app"), source("import heavy")
    assert statements(main=does_not, part=reads) == []
    assert statements(main=does_not, part=does_not) != []


def test_names_that_other_files_take():
    package = source("from heavy import x, y, z\nimport other", module="app", package="app")
    taken = source("from app import x\nx", module="__main__")
    assert statements(package=package, main=taken) == [("package.py", 2, "import other")]
    starred = source("from app import *\nx")
    assert statements(package=package, main=starred) == []
    asked = source("import app\napp.other", module="__main__")
    assert ("package.py", 2, "import other") not in statements(package=package, main=asked)


def test_relative_imports():
    found = unread({"p.py": source("from . import part\nfrom .part import x", module="app", package="app")}, MODULES)
    assert [(each.module, each.is_module) for each in found] == [("app.part", True), ("app.part", False)]
