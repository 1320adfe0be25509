"""Runs a program and writes down which of its own lines ran, the memory each module brought, and how it ended.

``python -m perfkit.lazyload.watching RECORD [-m] PROGRAM [ARGS]``; `perfkit imports` starts it. What is in a library,
of Python's or installed, is not the program's own.
"""

from __future__ import annotations

import atexit
import builtins
import importlib
import io
import marshal
import os
import runpy
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any
from zipimport import ZipImportError, zipimporter

from perfkit._base.resident import resident

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import CodeType, TracebackType

__all__ = ["main"]

_LIBRARIES = tuple(
    os.path.join(path, "") for path in {os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(__file__))}
)
_OURS = {__file__, runpy.__file__, "<frozen runpy>", "<frozen importlib._bootstrap>"}


class Lines:
    """The lines of the program's own files that ran, by the absolute names of the files."""

    def __init__(self) -> None:
        self.ran: dict[str, set[int]] = {}
        self._own: dict[str, str] = {}  # the absolute name, as long as the program has not gone elsewhere; or ""

    def watch(self) -> None:
        """Begin: each line costs something once with `sys.monitoring`, each time before Python 3.12."""
        if sys.version_info >= (3, 12):
            self._monitor()
        else:
            threading.settrace(self._trace)
            sys.settrace(self._trace)

    def _monitor(self) -> None:
        monitoring: Any = sys.__dict__["monitoring"]  # not there on the oldest Python that types are checked for
        tool = next(number for number in (3, 4, 2, 5, 1, 0) if monitoring.get_tool(number) is None)
        monitoring.use_tool_id(tool, "perfkit imports")
        monitoring.register_callback(tool, monitoring.events.LINE, self._line)
        self._disable = monitoring.DISABLE
        monitoring.set_events(tool, monitoring.events.LINE)

    def _line(self, code: Any, line: int) -> Any:
        self._note(code.co_filename, line)
        return self._disable

    def _trace(self, frame: Any, _event: str, _: Any) -> Any:
        return self._trace if self._note(frame.f_code.co_filename, frame.f_lineno) else None

    def _note(self, filename: str, line: int) -> bool:
        if filename not in self._own:
            self._own[filename] = _path_of_own(filename)
        own = self._own[filename]
        if own:
            self.ran.setdefault(own, set()).add(line)
        return bool(own)


def _path_of_own(filename: str) -> str:
    """Return the absolute name of a file of the program's own, "" for others."""
    if filename.startswith("<"):
        return ""
    path = _absolute(filename)
    installed = f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path
    return "" if installed or path.startswith(_LIBRARIES) else path


def _absolute(filename: str) -> str:
    try:
        return os.path.abspath(filename)
    except OSError:  # the working directory has been removed
        return filename


def weigh() -> dict[str, int]:
    """From now on, note the memory that each module brings, with all that it imports; return where to."""
    brought: dict[str, int] = {}
    bootstrap: Any = importlib._bootstrap  # where every import of what isn't there passes
    load = getattr(bootstrap, "_find_and_load_unlocked", None)
    if load is None or resident is None:
        return brought
    occupied = resident

    def weighed(name: str, import_: Any) -> Any:
        before = occupied()
        try:
            return load(name, import_)
        finally:
            brought[name] = occupied() - before

    # Python cuts importlib's frames from tracebacks, and this one with them.
    weighed.__code__ = weighed.__code__.replace(co_filename=load.__code__.co_filename)
    bootstrap._find_and_load_unlocked = weighed
    return brought


class Record:
    """What is written when the program ends, however it ends: by this process, not by its forked children."""

    def __init__(self, path: str) -> None:
        self.lines = Lines()
        self.brought = weigh()
        self.failure = ""
        self._path = path
        self._pid = os.getpid()
        atexit.register(self._write)  # the first to be registered is the last to be called

    def _write(self) -> None:
        if os.getpid() != self._pid:
            return
        sys.settrace(None)
        lines = {filename: list(ran) for filename, ran in list(self.lines.ran.items())}
        names = [str(name) for name in list(sys.modules)]
        document = {
            "lines": lines,
            "files": dict(_homes(names, lines)),
            "modules": names,
            "rss": dict(self.brought),
            "eager": _carried_out(),
            "stubbed": [name for name in names if _is_stubbed(name)],
            "failure": self.failure,
        }
        with io.FileIO(self._path, "w") as opened:
            opened.write(marshal.dumps(document))


def _homes(names: list[str], own: dict[str, list[int]]) -> Any:
    """Yield the files of modules, and what the modules and their packages are called."""
    for name in names:
        about = getattr(sys.modules.get(name), "__dict__", {})
        filename = about.get("__file__")
        if isinstance(filename, str) and (path := _absolute(filename)) in own:
            yield path, (name, _package(name, about))


def _package(name: str, about: dict[str, Any]) -> str:
    package = about.get("__package__")
    if isinstance(package, str):
        return package
    return name if "__path__" in about else name.rpartition(".")[0]


def _is_stubbed(name: str) -> bool:
    """Tell whether a package has its names from a stub."""
    finder = getattr(sys.modules.get(name), "__dict__", {}).get("__getattr__")
    return getattr(finder, "__module__", "") == "perfkit.lazyload.stub"


def _carried_out() -> list[tuple[str, int]]:
    """Return where statements in lazy blocks were carried out at once."""
    ledger = sys.modules.get("perfkit.lazyload.ledger")
    records = ledger.ledger.records() if ledger else []
    return [(_absolute(record.where[0]), record.where[1]) for record in records if record.is_eager]


def main() -> None:
    """Run the program as ``python PROGRAM`` would."""
    path, *words = sys.argv[1:]
    record = Record(path)
    try:
        _run(words, record)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 (it is told, as Python would)
        record.failure = _told(error)
        raise SystemExit(1) from None


def _told(error: BaseException) -> str:
    """Have what the program raised printed as Python would, and return a sentence that says as much."""
    error.__traceback__ = _of_the_program(error.__traceback__)
    says_all = error.__traceback__ is None and isinstance(error, ImportError)  # there is nothing to run
    if not says_all and not isinstance(error, KeyboardInterrupt):  # of which knows who has interrupted
        sys.excepthook(type(error), error, error.__traceback__)
    return str(error) if says_all else f"{type(error).__name__}: {error}"


def _run(words: list[str], record: Record) -> None:
    main_module = sys.modules["__main__"] = ModuleType("__main__")
    is_module = words[0] == "-m"
    sys.argv = words[is_module:]
    record.lines.watch()
    spec, code = _of_module(sys.argv[0]) if is_module else _of_file(sys.argv[0])
    main_module.__dict__.update(__builtins__=builtins, __spec__=spec, __file__=code.co_filename)
    if spec:
        main_module.__dict__.update(__package__=spec.parent, __loader__=spec.loader)
    exec(code, main_module.__dict__)  # noqa: S102 (it runs the program that its user names)


def _of_module(name: str) -> tuple[ModuleSpec, CodeType]:
    """Return what ``python -m`` would run. Raises an ImportError that says why there is nothing."""
    find: Any = getattr(runpy, "_get_module_details")  # noqa: B009 (unknown to type checkers)
    _, spec, code = find(name)
    sys.argv[0] = spec.origin
    return spec, code


def _of_file(path: str) -> tuple[ModuleSpec | None, CodeType]:
    """Return what ``python PROGRAM`` would run, and have it import from where that would."""
    absolute = os.path.abspath(path)
    archive = _archive(absolute)
    if not archive:
        return None, _of_script(absolute)
    sys.path.insert(0, absolute)
    return archive.find_spec("__main__"), archive.get_code("__main__")


def _archive(path: str) -> zipimporter | None:
    try:
        return zipimporter(path)
    except ZipImportError:
        return None


def _of_script(path: str) -> CodeType:
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    with open(path, "rb") as opened:
        code: CodeType = compile(opened.read(), path, "exec", dont_inherit=True)
    return code


def _of_the_program(traceback: TracebackType | None) -> TracebackType | None:
    """Leave out the frames that led to the program."""
    while traceback and traceback.tb_frame.f_code.co_filename in _OURS:
        traceback = traceback.tb_next
    return traceback


if __name__ == "__main__":
    main()
