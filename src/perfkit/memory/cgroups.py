"""What the kernel's texts on control groups say, version 1 and 2. Decides alone: texts in, no file is read here.

See cgroup-v1/memory.rst and cgroup-v2.rst in the kernel's documentation.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Group", "groups_of", "limit_of", "working_set"]

_UNLIMITED = 1 << 60  # version 1 writes about 2^63 where there is no limit
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Group:
    """A control group's directory, and how its files are called in its version."""

    __slots__ = ("directory", "version")

    def __init__(self, version: int, directory: str) -> None:
        self.version = version
        self.directory = directory

    @property
    def limit_files(self) -> tuple[str, ...]:
        """The files that may have a limit in them."""
        return ("memory.max", "memory.high") if self.version == 2 else ("memory.limit_in_bytes",)

    @property
    def usage_file(self) -> str:
        """The file that has all that is charged to the group, file cache included."""
        return "memory.current" if self.version == 2 else "memory.usage_in_bytes"

    @property
    def stat_file(self) -> str:
        """The file that tells the file cache from the rest."""
        return "memory.stat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and (self.version, self.directory) == (other.version, other.directory)

    def __hash__(self) -> int:
        return hash((self.version, self.directory))

    def __repr__(self) -> str:
        return f"Group({self.version}, {self.directory!r})"


def groups_of(cgroup: str, mountinfo: str) -> list[Group]:
    """Return the groups whose memory limits hold for a process, the innermost first, up to what is mounted.

    ``cgroup`` is the text of its ``/proc/…/cgroup``, ``mountinfo`` that of ``/proc/…/mountinfo``. Some of them may have
    no files on memory, or not be visible.
    """
    paths = dict(_paths(cgroup))
    found: dict[Group, None] = {}
    for version, root, where in _mounts(mountinfo):
        if version in paths:
            found.update(dict.fromkeys(_upwards(version, where, _below(root, paths[version]))))
    return list(found)


def _paths(cgroup: str) -> Iterator[tuple[int, str]]:
    for line in cgroup.splitlines():
        _, _, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if separator and not controllers:
            yield 2, path
        elif "memory" in controllers.split(","):
            yield 1, path


def _mounts(mountinfo: str) -> Iterator[tuple[int, str, str]]:
    """Yield version, root within the hierarchy, and directory of each mounted hierarchy that has to do with memory."""
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        root, where = _plain(fields[3]), _plain(fields[4])
        if kind[0] == "cgroup2":
            yield 2, root, where
        elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
            yield 1, root, where


def _plain(field: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), field)


def _below(root: str, path: str) -> str:
    """Return a group's path below what is mounted; where it lies outside, as a container may see it, that is all."""
    root, path = root.rstrip("/"), path.rstrip("/")
    if path == root or not path.startswith(root + "/") or ".." in path.split("/"):
        return ""
    return path[len(root) :]


def _upwards(version: int, where: str, path: str) -> Iterator[Group]:
    while path:
        yield Group(version, where + path)
        path = path.rpartition("/")[0]
    yield Group(version, where)


def limit_of(text: str) -> int | None:
    """Return the limit that a file has in it, in bytes; None where there is none."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()):  # "max", or what we don't know
        return None
    limit = int(digits)
    return limit if 0 < limit < _UNLIMITED else None


def working_set(usage: bytes, stat: bytes, version: int) -> int:
    """Return what a group and those below it hold, without the file cache, which the kernel gives up by itself.

    What lies in a tmpfs is no file cache in that sense: it stays. Raises ValueError for texts that aren't such.
    """
    prefix = b"total_" if version == 1 else b""
    cached = _figure(stat, prefix + b"inactive_file") + _figure(stat, prefix + b"active_file")
    return max(0, int(usage) - cached)


def _figure(stat: bytes, name: bytes) -> int:
    """Return one figure of a memory.stat. Looked for, as a dictionary of all would take four times as long."""
    start = (b"\n" + stat).find(b"\n" + name + b" ")
    if start < 0:
        raise ValueError(f"no {name.decode()} in the statistics of a control group")
    start += len(name) + 1
    end = stat.find(b"\n", start)
    return int(stat[start:] if end < 0 else stat[start:end])
