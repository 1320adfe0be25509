"""What a statement is, as far as its first word tells. Pure."""

from __future__ import annotations

import re

__all__ = ["Kinds", "Undone", "first_word", "may_write"]

_ALONE = {"VACUUM", "ATTACH", "DETACH", "PRAGMA"}  # fail, or silently do nothing, inside of a transaction
_NAMING = {"CREATE", "ALTER"}  # may give a table its name
_WRITING = {
    *("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "REINDEX", "ANALYZE"),
    *("VACUUM", "ATTACH", "DETACH"),
}
_MOST = 2000  # statements remembered; programs that write values into their SQL have no end of them
_SPACE = re.compile(r"(?:\s|;|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z]*")


def first_word(sql: str) -> str:
    """Return a statement's first word in capitals; comments and spaces before it don't count."""
    begins = _SPACE.match(sql)
    word = _WORD.match(sql, begins.end() if begins else 0)
    return word[0].upper() if word else ""


def may_write(sql: str) -> bool | None:
    """Tell whether a statement writes; None if its first word doesn't tell."""
    word = first_word(sql)
    return None if word == "WITH" else word in _WRITING


class Kinds(dict[str, bool]):
    """Statement -> whether it has to run alone, outside of a transaction. Looked up once a call, so it is a dict."""

    def __missing__(self, sql: str) -> bool:
        if not isinstance(sql, str):
            raise TypeError(f"sql must be a str, one SQL statement, not {sql!r}")
        if len(self) >= _MOST:
            self.clear()
        self[sql] = alone = first_word(sql) in _ALONE
        return alone


class Undone(dict[str, bool]):
    """Statement -> whether it may have to be undone after SQLite has carried it out.

    With RETURNING it has written before its rows are made. A table's name is looked at when there is a table.
    """

    def __missing__(self, sql: str) -> bool:
        if len(self) >= _MOST:
            self.clear()
        self[sql] = may = "returning" in sql.lower() or first_word(sql) in _NAMING
        return may
