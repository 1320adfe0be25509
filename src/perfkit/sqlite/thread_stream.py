"""What `Database.stream` returns: a thread's way of reading a `Scan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perfkit.sqlite.scan import Scan

__all__ = ["Stream"]


class Stream:
    """The rows of a query, for ``for``. One chunk is in memory at a time.

    It ends by itself with its last row, when it is closed, and when it is collected. Used by one thread at a time.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._rows: Iterator[Any] = iter(())
        self._is_over = False

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Any:
        for row in self._rows:
            return row
        if self._is_over:
            raise StopIteration
        rows = self._scan.chunk()
        self._is_over = not rows
        self._rows = iter(rows)
        return next(self._rows)

    def close(self) -> None:
        """End it now."""
        self._is_over = True
        self._rows = iter(())
        self._scan.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
