"""What a power cut would leave, worked out from what the fsync shim (fsync_shim.c) recorded of a program."""

import os
from pathlib import Path


def events(log):
    """Return what the program did, in order: tuples of the call's name and its arguments."""
    return [tuple(line.split("\t")) for line in (log / "events").read_text().splitlines()]


def left(log):
    """Yield ``(name, number, files)`` for each acknowledgement; ``files`` is what the power cut would leave then.

    It has for each name, as its directory had them when that was last flushed, a copy of what the file held when it
    was last flushed, or None if it never was.
    """
    flushed: dict[str, Path] = {}  # by the name at the time, gone with the next rename
    names: dict[str, Path | None] = {}
    durable: dict[str, Path | None] = {}
    for what, first, second in events(log):
        match what:
            case "fsync":
                flushed[first] = names[first] = Path(second)
                if first in durable:
                    durable[first] = Path(second)
            case "rename":
                names.pop(first, None)
                names[second] = flushed.pop(first, None)
                if names[second] is None:  # a file system may make the name durable by itself, and the content not
                    durable[second] = None
            case "unlink":
                names.pop(first, None)
                flushed.pop(first, None)
            case "fsync-directory":
                durable = {name: copy for name, copy in names.items() if os.path.dirname(name) == first}
            case "acknowledged":
                yield first, int(second), dict(durable)
