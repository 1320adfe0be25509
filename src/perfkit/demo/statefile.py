"""The state file demo: a mission-control dashboard whose state five agents keep in one JSON file.

First in one process, the same updates and polls each way in turns; then with the agents and the dashboard in processes
of their own, the ordinary way and with perfkit.
"""

from __future__ import annotations

import os
import tempfile

from perfkit.demo.results import Options, PartResult, Progress
from perfkit.demo.statefile_alone import one_process, rounds_for
from perfkit.demo.statefile_mission import as_text, mission_state, read_input, with_board
from perfkit.demo.statefile_together import six_processes, updates_for

__all__ = ["run"]


def run(options: Options, progress: Progress) -> PartResult:
    """Run both halves on a generated document, or on a copy of ``options.input``, in a temporary directory.

    Raises InputError for an input that cannot be read, DemoError when a process of the demo fails, OSError (disk full).
    """
    document = mission_state() if options.input is None else read_input(options.input)
    start, key = with_board(document)
    size = len(as_text(start))
    with tempfile.TemporaryDirectory(prefix="perfkit-demo-") as folder:
        alone = one_process(folder, start, key, rounds_for(size, options.quick), progress)
        typical = alone.comparisons[-1].before.p50
        together = six_processes(folder, start, key, updates_for(typical, options.quick), progress)
    return PartResult("statefile", _title(options.input), size, (alone, together))


def _title(path: str | None) -> str:
    if path is None:
        return "State files: a mission-control dashboard kept in JSON"
    name = "".join(sign if sign.isprintable() else "?" for sign in os.path.basename(path))
    return f"State files: a copy of {name}"
