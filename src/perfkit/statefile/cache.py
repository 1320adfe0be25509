"""`read_json`: state files for those who only read, without an object to keep."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from perfkit import registry
from perfkit._base import fork
from perfkit.statefile.calls import absolute
from perfkit.statefile.reader import Reader

__all__ = ["ReadCacheStats", "read_json"]

_MAX_FILES = 256


@dataclass(frozen=True, slots=True)
class ReadCacheStats:
    """How ``read_json`` does.

    Files held, reads answered from memory, decodings, and the estimated memory held, in bytes.
    """

    name: str
    files: int
    hits: int
    parses: int
    held_bytes: int

    GAUGES = frozenset({"files", "held_bytes"})


class _ReadCache:
    """The readers of the files read lately, at most 256; the one read first goes first."""

    name = "read_json"

    def __init__(self) -> None:
        self._readers: OrderedDict[str, Reader] = OrderedDict()
        self._gone_hits = self._gone_parses = 0
        self._after_fork_in_child()
        fork.after_in_child(self)
        registry.register(self, part="statefile")

    def view(self, path: str) -> Any:
        reader = self._readers.get(path)
        return self._first_view(path) if reader is None else reader.view()

    def stats(self) -> ReadCacheStats:
        with self._mutex:
            readers = list(self._readers.values())
        return ReadCacheStats(
            name=self.name,
            files=len(readers),
            hits=self._gone_hits + sum(reader.hits for reader in readers),
            parses=self._gone_parses + sum(reader.parses for reader in readers),
            held_bytes=sum(reader.held_bytes() for reader in readers),
        )

    def reclaim(self, need_bytes: int) -> int:
        freed = 0
        with self._mutex:
            while self._readers and freed < need_bytes:
                freed += self._drop_oldest()
        return freed

    def _first_view(self, path: str) -> Any:
        """Read a file, and remember it if there was something to be read."""
        reader = Reader(path)
        view = reader.view()
        with self._mutex:
            self._readers.setdefault(path, reader)
            while len(self._readers) > _MAX_FILES:
                self._drop_oldest()
        return view

    def _drop_oldest(self) -> int:
        try:
            _, reader = self._readers.popitem(last=False)
        except KeyError:  # a finaliser has dropped it since we looked
            return 0
        self._gone_hits += reader.hits
        self._gone_parses += reader.parses
        return reader.forget()

    def _after_fork_in_child(self) -> None:
        self._mutex = threading.RLock()  # re-entrant: a finaliser or a signal handler may read files, too


_cache = _ReadCache()


def read_json(path: str | os.PathLike[str]) -> Any:
    """Return the document in a JSON file, from memory if the file hasn't changed.

    ``json.load(open(path))``, but cached.

    The document is frozen, as `StateFile.view` gives it, and as fresh: no write that completed before the call is
    missed. Files are remembered by path once they have been read, up to 256 of them, then the one read first is
    forgotten.

    Args:
        path: str or path-like. A relative path means what it means at the time of the call.

    Raises FileNotFoundError and other OSErrors, StateFileCorrupt (also a json.JSONDecodeError), TypeError for what is
    no path.

    Thread-safe, without a lock for a file that is known. Cost: as `StateFile.view`, and 1 µs for finding the file's
    entry.
    """
    return _cache.view(absolute(path))
