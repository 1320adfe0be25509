"""Lazy imports as a typed program uses them. mypy and pyright check this; nothing runs it."""

from types import ModuleType
from typing import Any, Literal, assert_type

import perfkit
from perfkit.lazyload import LazyImport, LazyReport

with perfkit.lazy_imports():
    import decimal
    import email.message
    import xml.dom.minidom as dom
    from concurrent import futures
    from email import mime

tables = perfkit.lazy("tables", hint="pip install tables", require="tables>=3", check=False)


def in_a_block() -> None:
    assert_type(decimal.Decimal("1.5"), decimal.Decimal)
    assert_type(email.message.Message().get_content_type(), str)
    assert_type(dom.parseString("<a/>"), dom.Document)
    module: ModuleType = futures
    other: ModuleType = mime
    decimal.Decimal(object())  # type: ignore[arg-type]  # ordinary imports keep their types
    print(module, other)


def by_name() -> None:
    assert_type(tables, Any)
    assert_type(tables.open_file("x"), Any)
    perfkit.lazy(3)  # type: ignore[arg-type]
    perfkit.lazy("tables", hints="x")  # type: ignore[call-arg]


def report() -> None:
    found = perfkit.lazy_report()
    assert_type(found, LazyReport)
    assert_type(found.loaded, LazyReport)
    for each in found:
        assert_type(each, LazyImport)
        assert_type(each.state, Literal["lazy", "loaded", "failed", "eager"])
        assert_type(each.seconds, float | None)
        assert_type(each.rss_bytes, int | None)
        assert_type(each.used_at, str | None)


def package() -> None:
    find, names, public = perfkit.attach_stub(__name__, __file__)
    assert_type(find("blur"), Any)
    assert_type(names(), list[str])
    assert_type(public, list[str])
