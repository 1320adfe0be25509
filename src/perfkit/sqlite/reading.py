"""What is read: queries that give all rows, one, or a value, with packed columns made objects again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from perfkit.sqlite.errors import UnpackError
from perfkit.sqlite.guard import note_several
from perfkit.sqlite.sink import Query
from perfkit.sqlite.values import unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ALL", "ONE", "VALUE", "columns_of", "made_rows", "note_reading"]

# An argument is (sql, parameters, columns to unpack).
Asked = tuple[str, Any, tuple[str, ...]]


def note_reading(error: BaseException) -> None:
    """Say what to call instead, where a query was to write, or was several."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
        error.add_note("fetch_all(), fetch_one(), fetch_value() and stream() only read: use execute(), and its rows")
    note_several(error)


def columns_of(unpack: Sequence[str]) -> tuple[str, ...]:
    """Return column names as a tuple, or say what they may be."""
    if not unpack:
        return ()
    if isinstance(unpack, str) or not _are_names(unpack):
        raise TypeError(f'unpack must be a tuple of column names, such as ("embedding",), not {unpack!r}')
    return tuple(unpack)


def _are_names(names: object) -> bool:
    return isinstance(names, Iterable) and all(isinstance(name, str) for name in names)


def made_rows(cursor: sqlite3.Cursor, raw: Iterable[tuple[Any, ...]], unpack: tuple[str, ...]) -> list[Any]:
    """Make rows of plain tuples: packed columns become objects, then the connection's row factory gets them."""
    places = _places(cursor, unpack)
    factory = cursor.connection.row_factory
    made = []
    for row in raw:
        values = list(row)
        for place in places:
            values[place] = _unpacked(cursor, place, values[place])
        made.append(tuple(values) if factory is None else factory(cursor, tuple(values)))
    return made


def _unpacked(cursor: sqlite3.Cursor, place: int, value: Any) -> Any:
    try:
        return unpacked(value)
    except (UnpackError, TypeError) as error:
        raise type(error)(f"column {cursor.description[place][0]!r}: {error}") from error


def _places(cursor: sqlite3.Cursor, unpack: tuple[str, ...]) -> list[int]:
    names = [column[0] for column in cursor.description or ()]
    missing = [name for name in unpack if name not in names]
    if missing:
        raise ValueError(f"unpack names {', '.join(missing)}, and the query gives {', '.join(names) or 'no columns'}")
    return [place for place, name in enumerate(names) if name in unpack]


def _all(connection: sqlite3.Connection, asked: Asked) -> list[Any]:
    sql, parameters, unpack = asked
    cursor = _cursor(connection, plain=bool(unpack))
    try:
        cursor.execute(sql, parameters)
        return made_rows(cursor, cursor, unpack) if unpack else cursor.fetchall()
    finally:
        cursor.close()  # or the connection would go on reading from this moment's state


def _one(connection: sqlite3.Connection, asked: Asked) -> Any:
    sql, parameters, unpack = asked
    cursor = _cursor(connection, plain=bool(unpack))
    try:
        row = cursor.execute(sql, parameters).fetchone()
        if row is not None and unpack:
            [row] = made_rows(cursor, [row], unpack)
        return row
    finally:
        cursor.close()


def _value(connection: sqlite3.Connection, asked: Asked) -> Any:
    sql, parameters, unpack = asked
    cursor = _cursor(connection, plain=True)
    try:
        row = cursor.execute(sql, parameters).fetchone()
        if row is None:
            return None
        if unpack:
            _places(cursor, unpack)
            return _unpacked(cursor, 0, row[0])
        return row[0]
    finally:
        cursor.close()


def _cursor(connection: sqlite3.Connection, *, plain: bool) -> sqlite3.Cursor:
    """Return a cursor that gives tuples, or what the connection's row factory makes."""
    cursor = sqlite3.Cursor(connection)
    if not plain:
        cursor.row_factory = connection.row_factory
    return cursor


ALL, ONE, VALUE = Query(_all), Query(_one), Query(_value)
