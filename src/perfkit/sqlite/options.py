"""What a database can be told, checked when it is made."""

from __future__ import annotations

import math
import os
import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from perfkit._base.atomic import Durability, check_durability
from perfkit.sqlite.functions import is_function

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Migration = str | Callable[[sqlite3.Connection], Any]
    RowFactory = Callable[[sqlite3.Cursor, tuple[Any, ...]], Any]

__all__ = ["MEMORY", "Options", "checked_path", "checked_pragmas", "checked_seconds"]

MEMORY = ":memory:"
_OURS = {
    "journal_mode": "perfkit writes by WAL alone",
    "synchronous": "durability= decides it",
    "locking_mode": "readers have to get in",
    "query_only": "a database that is only read needs no perfkit",
    "user_version": "migrations= counts in it",
    "busy_timeout": "busy_timeout= is it",
    "wal_autocheckpoint": "perfkit keeps the WAL small",
    "journal_size_limit": "perfkit keeps the WAL small",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `Database`, which documents them."""

    path: str
    durability: Durability
    readers: int
    max_pending: int
    max_batch: int
    busy_timeout: float
    pragmas: Mapping[str, Any]
    migrations: Sequence[Migration] | None
    row_factory: RowFactory | None
    on_connect: Callable[[sqlite3.Connection], object] | None

    def __post_init__(self) -> None:
        check_durability(self.durability)
        _check_whole("readers", self.readers, 0, 64)
        _check_whole("max_pending", self.max_pending, 1)
        _check_whole("max_batch", self.max_batch, 1)
        checked_seconds("busy_timeout", self.busy_timeout)
        _check_pragmas(self.pragmas)
        _check_migrations(self.migrations)
        for name in ("row_factory", "on_connect"):
            if getattr(self, name) is not None and not callable(getattr(self, name)):
                raise TypeError(f"{name} must be callable, or None, not {getattr(self, name)!r}")

    @property
    def owned(self) -> Mapping[str, str]:
        """The pragmas that nobody else may set, and why."""
        return {name: why for name, why in _OURS.items() if name != "user_version" or self.migrations is not None}

    @property
    def is_memory(self) -> bool:
        """Whether the database is in memory, where nothing but the writer's connection sees it."""
        return self.path == MEMORY


def checked_path(path: object, *, what: str = "path") -> str:
    """Return an absolute path as str (or ``":memory:"``), or say what a path may be."""
    if path == MEMORY:
        return MEMORY
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{what} must be a str, a path-like object or ':memory:', not {path!r}")
    name = os.fsdecode(path)
    if not name or "\0" in name or name.endswith((os.sep, "/")):
        raise ValueError(f"{what} must name a file, not {name!r}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        raise ValueError(f"{what} must be a plain path, not the URL {name!r}")
    if name.startswith("file:"):
        raise ValueError(f"{what} must be a plain path, not the URI {name!r}: give the path that is in it")
    if name.startswith(("~/", f"~{os.sep}")):
        raise ValueError(f"{what} {name!r} begins with ~, which only shells expand: use os.path.expanduser(path)")
    return os.path.abspath(name)


def checked_seconds(name: str, value: object, *, above_zero: bool = False) -> float:
    """Return a number of seconds, or say which there may be."""
    allowed = f"{name} must be a number of seconds, {'more than 0' if above_zero else '0 or more'}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{allowed}, not {value!r}")
    if math.isnan(value) or value < 0 or (above_zero and value == 0):
        raise ValueError(f"{allowed}, not {value!r}")
    return float(value)


def _check_whole(name: str, value: object, least: int, most: int | None = None) -> None:
    allowed = (
        f"{name} must be a whole number, {least} or more" if most is None else f"{name} must be in {least}..{most}"
    )
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{allowed}, not {value!r}")
    if value < least or (most is not None and value > most):
        raise ValueError(f"{allowed}, not {value}")


def checked_pragmas(pragmas: object) -> Mapping[str, Any]:
    """Return the pragmas as a dict of our own, or say what they may be."""
    if pragmas is not None and not isinstance(pragmas, Mapping):
        raise TypeError(f'pragmas must be a dict of names and values, such as {{"foreign_keys": 1}}, not {pragmas!r}')
    return dict(pragmas or {})


@cache
def _pragmas() -> frozenset[str]:
    """Return the names that this SQLite knows; none if it was built without telling them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        return frozenset(name for (name,) in connection.execute("PRAGMA pragma_list"))


def _check_pragmas(pragmas: Mapping[str, Any]) -> None:
    for name, value in pragmas.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]+", name):
            raise ValueError(f"a pragma's name is letters and underscores, such as 'cache_size', not {name!r}")
        if name.lower() in _OURS:
            raise ValueError(f"pragmas must not have {name!r}: {_OURS[name.lower()]}")
        if _pragmas() and name.lower() not in _pragmas():
            near = ", ".join(get_close_matches(name.lower(), sorted(_pragmas())))
            raise ValueError(
                f"SQLite {sqlite3.sqlite_version} has no pragma {name!r}{near and f'; it has {near}'}. All are in"
                " `PRAGMA pragma_list`"
            )
        if not isinstance(value, (int, float, str)):
            raise TypeError(f"pragma {name!r} must have a number or a str for its value, not {value!r}")


def _check_migrations(migrations: object) -> None:
    if migrations is None:
        return
    if isinstance(migrations, str) or not isinstance(migrations, (list, tuple)):
        raise TypeError(f"migrations must be a list of SQL strings and functions of a connection, not {migrations!r}")
    for number, migration in enumerate(migrations, start=1):
        if not isinstance(migration, str) and not is_function(migration):
            raise TypeError(
                f"migration {number} must be SQL, or an ordinary function of a connection, not {migration!r}"
            )
