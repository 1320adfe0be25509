"""Runs a program and writes down which of its own lines ran, and the memory each module brought.

``python -m perfkit.lazyload.watching RECORD [-m] PROGRAM [ARGS]``; `perfkit imports` starts it. What is in a library,
of Python's or installed, is not the program's own.
"""

from __future__ import annotations

import atexit
import importlib
import os
import runpy
import sys
import threading
from typing import Any

from perfkit.lazyload.resident import resident

__all__ = ["main"]

_LIBRARIES = tuple(
    os.path.join(path, "") for path in {os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(__file__))}
)


class Lines:
    """The lines of the program's own files that ran."""

    def __init__(self) -> None:
        self.ran: dict[str, set[int]] = {}
        self._own: dict[str, bool] = {}

    def watch(self) -> None:
        """Begin: each line costs something once with `sys.monitoring`, each time before Python 3.12."""
        if sys.version_info >= (3, 12):
            self._monitor()
        else:
            threading.settrace(self._trace)
            sys.settrace(self._trace)

    def _monitor(self) -> None:
        monitoring = sys.monitoring  # type: ignore[attr-defined, unused-ignore]
        tool = next(number for number in (3, 4, 2, 5, 1, 0) if monitoring.get_tool(number) is None)
        monitoring.use_tool_id(tool, "perfkit imports")
        monitoring.register_callback(tool, monitoring.events.LINE, self._line)
        monitoring.set_events(tool, monitoring.events.LINE)

    def _line(self, code: Any, line: int) -> Any:
        if self._is_own(code.co_filename):
            self.ran.setdefault(code.co_filename, set()).add(line)
        return sys.monitoring.DISABLE  # type: ignore[attr-defined, unused-ignore]

    def _trace(self, frame: Any, _event: str, _: Any) -> Any:
        filename = frame.f_code.co_filename
        if not self._is_own(filename):
            return None
        self.ran.setdefault(filename, set()).add(frame.f_lineno)
        return self._trace

    def _is_own(self, filename: str) -> bool:
        if filename not in self._own:
            path = os.path.abspath(filename)
            installed = f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path
            self._own[filename] = not filename.startswith("<") and not installed and not path.startswith(_LIBRARIES)
        return self._own[filename]


def weigh() -> dict[str, int]:
    """From now on, note the memory that each module brings, with all that it imports; return where to."""
    brought: dict[str, int] = {}
    bootstrap: Any = importlib._bootstrap  # where every load passes, whatever asks for it
    load = getattr(bootstrap, "_load_unlocked", None)
    if load is None or resident() is None:
        return brought

    def weighed(spec: Any) -> Any:
        before = resident() or 0
        try:
            return load(spec)
        finally:
            brought[spec.name] = (resident() or 0) - before

    bootstrap._load_unlocked = weighed
    return brought


def main() -> None:
    """Run the program as ``python PROGRAM`` would, and write the record when it ends, however it ends."""
    record, *words = sys.argv[1:]
    is_module = words[0] == "-m"
    program, *arguments = words[is_module:]
    sys.argv = [program, *arguments]
    lines = Lines()
    brought = weigh()
    atexit.register(_write, record, lines, brought)  # the first to be registered is the last to be called
    if is_module:
        lines.watch()
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(program))
        lines.watch()
        runpy.run_path(program, run_name="__main__")


def _write(record: str, lines: Lines, brought: dict[str, int]) -> None:
    sys.settrace(None)
    import json

    own = {os.path.abspath(filename): sorted(ran) for filename, ran in lines.ran.items()}
    modules: dict[str, tuple[str, str]] = {}
    for name, module in list(sys.modules.items()):
        filename = os.path.abspath(getattr(module, "__file__", None) or "")
        if filename in own:
            modules[filename] = name, _package(name, module)
    document = {"lines": own, "files": modules, "modules": sorted(sys.modules), "rss": brought}
    with open(record, "w", encoding="utf-8") as opened:
        json.dump(document, opened)


def _package(name: str, module: Any) -> str:
    package = getattr(module, "__package__", None)
    if package is None:
        return name if hasattr(module, "__path__") else name.rpartition(".")[0]
    return str(package)


if __name__ == "__main__":
    main()
