"""State files as a typed program uses them. mypy checks this; nothing runs it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, assert_type

import perfkit
from perfkit.statefile import StateFileStats


def count(doc: dict[str, int]) -> int:
    doc["count"] = doc.get("count", 0) + 1
    return doc["count"]


def threads(path: str) -> None:
    state = perfkit.StateFile(
        path,
        default=dict,
        indent=None,
        durability="process",
        timeout=None,
        allow_nan=True,
        recover="backup",
        trust_stat=False,
        name="s",
    )
    assert_type(state.path, str)
    assert_type(state.name, str)
    assert_type(state.view(), Any)
    assert_type(state.load(), Any)
    doc, version = state.snapshot()
    assert_type(doc, Any)
    assert_type(version, str)
    assert_type(state.edit(), AbstractContextManager[Any])
    with state.edit() as doc, perfkit.StateFile("other.json").edit() as other:
        doc["seen"] = other["seen"]
    assert_type(state.update(count), int)
    assert_type(state.update(lambda doc: "text"), str)
    assert_type(state.update(nothing), None)
    assert_type(state.save({"count": 1}), str)
    assert_type(state.save([1, 2], base=version), str)
    assert_type(state.exists(), bool)
    assert_type(state.delete(), bool)
    assert_type(state.stats(), StateFileStats)
    assert_type(perfkit.read_json(path), Any)


async def loop(path: str) -> None:
    state = perfkit.AsyncStateFile(
        path, default=list, indent=2, durability="power", timeout=1, allow_nan=False, recover=None, trust_stat=True
    )
    assert_type(state.path, str)
    assert_type(await state.view(), Any)
    assert_type(await state.load(), Any)
    assert_type(await state.snapshot(), tuple[Any, str])
    assert_type(state.edit(), AbstractAsyncContextManager[Any])
    async with state.edit() as doc:
        doc.append(1)
    assert_type(await state.update(count), int)
    assert_type(await state.save([], base=None), str)
    assert_type(await state.exists(), bool)
    assert_type(await state.delete(), bool)
    assert_type(state.stats(), StateFileStats)


def last(state: perfkit.StateFile) -> Any:
    """An edit lets every exception through, so nothing is to be returned after it."""
    with state.edit() as doc:
        return doc.pop()


async def last_of_loop(state: perfkit.AsyncStateFile) -> Any:
    async with state.edit() as doc:
        return doc.pop()


def nothing(doc: dict[str, int]) -> None:
    doc.clear()


def what_happened(run: Callable[[], None]) -> str:
    try:
        run()
    except perfkit.errors.StateFileConflict as error:
        return assert_type(error.base, str) + assert_type(error.current, str)
    except perfkit.errors.StateFileCorrupt as error:
        return f"{assert_type(error.path, str)}:{assert_type(error.lineno, int)}:{assert_type(error.colno, int)}"
    except perfkit.errors.StateFileEncodeError as error:
        return assert_type(error.where, str)
    except perfkit.errors.StateFileTimeout as error:
        return str(assert_type(error.timeout, float))
    except perfkit.errors.PerfkitError:
        return ""
    return ", ".join(snapshot.name for snapshot in perfkit.stats())
