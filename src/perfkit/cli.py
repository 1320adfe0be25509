"""The ``perfkit`` command. It starts quickly: what a command needs is imported when that command runs."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from perfkit._version import __version__
from perfkit.demo.runner import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from perfkit.demo.results import Options, PartResult

__all__ = ["main"]

_FAILED, _WRONG_USAGE, _INTERRUPTED, _BROKEN_PIPE = 1, 2, 128 + 2, 128 + 13  # the last two as shells report signals

_DESCRIPTION = """\
perfkit is a library for Python programs that run for days: state files that
lose nothing, caches that stay in bounds, circuit breakers and retries, pools
of connections, mail over them, SQLite with many writers, memory that stays
below its limit, and lazy imports. You use it by `import perfkit`. This command
shows on your machine what that brings, what a program of yours spends on its
imports, and how much memory it has."""

_EPILOG = "Start with `perfkit demo`. `perfkit COMMAND --help` tells more about a command."

_WITH_INPUT = "statefile"  # the part that --input is for

_DEMO_DESCRIPTION = """\
Do the same real work twice, the ordinary way and with perfkit. Check that both
came to the same result, and print how long each took (what half, 95 % and 99 %
of the turns were done in), how many times as fast perfkit is, and what went
wrong: updates lost, unreadable files and so on. Every figure is measured in
this run, on this machine. All parts but app take about a minute together."""

_DEMO_EPILOG = """\
parts:
{parts}

The work is done in a temporary directory, which is removed; set TMPDIR to try
another disk. Colour goes to a terminal only, and not where NO_COLOR is set.

exit status:
  0    every check passed
  1    a check failed or a part could not do its work; stderr says which
  2    wrong usage, or an --input file that is missing or not JSON
  130  interrupted with Ctrl-C

examples:
  perfkit demo                              every part but app
  perfkit demo app --html report.html       a whole application, on a page
  perfkit demo statefile --input app.json   on a copy of a file of your own
  perfkit demo --quick --json - | jq .passed"""


_IMPORTS_DESCRIPTION = """\
Run a program of yours twice. Print what its imports cost: time (measured by
Python's own -X importtime) and memory, as a tree and by module. Then name the
imports that no line which ran has read, and the lines to write so that they
wait until they are needed.

These are candidates, not verdicts: another run may read them, and some modules
are imported for what they do. The figures are of one run, and a module that is
needed elsewhere, too, is loaded anyway."""

_IMPORTS_EPILOG = """\
The program's own files are watched, not those of installed packages. What it
prints goes to stderr, its stdin is empty, and other processes that it starts
are not looked into. Install perfkit where the program's packages are, and run
it as the program is run: from the same directory.

exit status:
  0    done, whatever the program's own exit status; stderr tells if that is bad
  1    the program failed or could not be watched; stderr says why
  2    wrong usage
  130  interrupted with Ctrl-C

examples:
  perfkit imports app.py --its --own options
  perfkit imports --seconds 5 -m service     a service: interrupted after 5 s
  perfkit imports --json - app.py | jq .unread"""


_MEMORY_DESCRIPTION = """\
Show each limit on the memory of what you would start here, where it comes from,
and how full it is: the machine's, and those of the control groups (containers)
around it, without the file cache. With --pid, show what the watchdog of a
process knows: its level, how long until the limit, and what each tier freed."""

_MEMORY_EPILOG = """\
A process answers if it has a perfkit.MemoryWatchdog(expose=True), and belongs
to the same user.

exit status:
  0    shown
  1    the process has no watchdog that answers
  2    wrong usage
  130  interrupted with Ctrl-C

examples:
  perfkit memory
  perfkit memory --pid 4711 --watch"""

_EVERY = 1.0  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv[1:]`` if None) and return its exit status; never raises SystemExit.

    0: done. 1: a check failed, or the output cannot be written. 2: wrong usage. 130: interrupted. 141: whoever read the
    output has gone away.
    """
    try:
        status = _run(argv)
        print(end="", flush=True)  # what can't be written shows here, not when the interpreter ends
    except BrokenPipeError:
        _discard_output()
        return _BROKEN_PIPE
    except OSError as error:
        _discard_output()
        print(f"perfkit: cannot write the output: {error.strerror}", file=sys.stderr)
        return _FAILED
    return status


def _run(argv: Sequence[str] | None) -> int:
    try:
        with _termination_unwinds():
            parser = _parser()
            args = parser.parse_args(argv)
            return int(args.run(args)) if args.command else _help(parser)
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else _FAILED
    except KeyboardInterrupt:
        print("perfkit: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="perfkit", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("--version", action="version", version=f"perfkit {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_demo(commands)
    _add_imports(commands)
    _add_memory(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parts = "\n".join(f"  {name:{max(map(len, PARTS))}}  {about}" for name, (_, about) in PARTS.items())
    demo = commands.add_parser(
        "demo",
        help="do the same work without perfkit and with it; compare times and results",
        description=_DEMO_DESCRIPTION,
        epilog=_DEMO_EPILOG.format(parts=parts),
    )
    demo.add_argument("parts", nargs="*", metavar="PART", help="which parts to run (default: all but app)")
    demo.add_argument(
        "--json",
        metavar="FILE",
        help="also write machine, versions, every figure (in seconds) and every check to FILE, which is replaced at "
        "once; if FILE is -, they go to stdout and the table goes to stderr",
    )
    demo.add_argument(
        "--html",
        metavar="FILE",
        help="also write a page with tables and charts to FILE, as --json does; it needs no other file and no network",
    )
    demo.add_argument(
        "--input",
        metavar="FILE",
        help=f"have {_WITH_INPUT} work on a copy of FILE, any JSON document, instead of a generated one; FILE itself "
        "is only read",
    )
    demo.add_argument("--quick", action="store_true", help="fewer rounds: half a minute or so, rougher figures")
    demo.set_defaults(run=_demo, wrong=demo.error)


def _add_imports(commands: argparse._SubParsersAction[_Parser]) -> None:
    imports = commands.add_parser(
        "imports",
        help="what a program's imports cost, and which of them nothing read",
        description=_IMPORTS_DESCRIPTION,
        epilog=_IMPORTS_EPILOG,
    )
    imports.add_argument("--json", metavar="FILE", help="write all that was found to FILE, or to stdout if it is -")
    imports.add_argument("--seconds", type=float, metavar="N", help="interrupt the program after N seconds a run")
    imports.add_argument("--top", type=int, default=15, metavar="N", help="modules in each table (default: 15)")
    imports.add_argument("-m", dest="module", action="store_true", help="PROGRAM is a module, as for python -m")
    imports.add_argument("program", metavar="PROGRAM", help="the program to run, with its own arguments after it")
    imports.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help=argparse.SUPPRESS)
    imports.set_defaults(run=_imports, wrong=imports.error)


def _add_memory(commands: argparse._SubParsersAction[_Parser]) -> None:
    memory = commands.add_parser(
        "memory",
        help="show how much memory there is and is in use, here or in a process",
        description=_MEMORY_DESCRIPTION,
        epilog=_MEMORY_EPILOG,
    )
    memory.add_argument("--pid", type=_pid, metavar="PID", help="ask the watchdogs of this process")
    memory.add_argument("--watch", action="store_true", help="show it again each second, until Ctrl-C")
    memory.set_defaults(run=_memory)


def _pid(text: str) -> int:
    """Return the number of a process."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a process: give one such as 4711")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """A parser whose texts keep their lines, for its commands too."""

    def __init__(self, *, prog: str, description: str, epilog: str) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, epilog=epilog, formatter_class=layout)


def _help(parser: argparse.ArgumentParser) -> int:
    """Show somebody who gave no command which there are."""
    parser.print_help(sys.stderr)
    return _WRONG_USAGE


def _demo(args: argparse.Namespace) -> int:
    _refuse_wrong_usage(args)
    from perfkit.demo.results import DemoError, InputError, Options

    try:
        return _run_demo(args, Options(input=args.input, quick=args.quick))
    except BrokenPipeError:
        raise
    except InputError as error:
        return _complain(_WRONG_USAGE, str(error))
    except (DemoError, OSError) as error:
        return _complain(_FAILED, str(error))


def _memory(args: argparse.Namespace) -> int:
    import time

    from perfkit.memory.command import NotExposed, shown

    try:
        print(shown(args.pid))
        while args.watch:
            sys.stdout.flush()
            time.sleep(_EVERY)
            print("\n" + shown(args.pid))
    except NotExposed as error:
        return _complain(_FAILED, str(error), command="memory")
    return 0


def _imports(args: argparse.Namespace) -> int:
    _refuse_wrong_target(args)
    if not args.module and not os.path.isfile(args.program):
        args.wrong(f"no such file: {args.program}; for a module write -m {args.program}")
    if args.module and os.path.isfile(args.program):
        args.wrong(f"{args.program} is a file: for a file leave out -m")
    if args.top < 1 or (args.seconds is not None and args.seconds <= 0):
        args.wrong("--top and --seconds must be greater than 0")
    from perfkit.demo import runner
    from perfkit.lazyload import advice
    from perfkit.lazyload.examine import ExaminationError, Program, examine

    words = [*(["-m"] if args.module else []), args.program, *args.arguments]
    try:
        found = examine(Program(tuple(words), args.seconds), _announce, sys.stderr)
    except ExaminationError as error:
        return _complain(error.status, str(error), command="imports")
    except OSError as error:
        return _complain(_FAILED, str(error), command="imports")
    if found.end.status or found.end.interrupted is not None:
        _complain(_FAILED, f"the program {found.end}", command="imports")
    text = advice.render(
        found.program,
        found.imports,
        found.rss,
        zip(found.unread, found.costs, strict=True),
        top=args.top,
        shorten=os.path.relpath,
    )
    print(text, end="", file=sys.stderr if args.json == "-" else sys.stdout)
    if args.json is not None:
        runner.write_json(args.json, found.as_json())
        _told_written(args.json)
    return 0


def _announce(doing: str) -> None:
    """Say on a terminal what comes next, in a line of its own: what the program prints follows it."""
    if sys.stderr.isatty():
        print(f"imports: {doing}", file=sys.stderr, flush=True)


def _told_written(path: str) -> None:
    if path != "-":
        print(f"wrote {path}", file=sys.stderr)


def _refuse_wrong_usage(args: argparse.Namespace) -> None:
    """Exit with 2 for what can be seen to be wrong before anything runs."""
    for name in args.parts:
        if name not in PARTS:
            args.wrong(f"no part is called {name!r}{_meant(name)}; the parts are: {', '.join(PARTS)}")
    if args.input is not None and args.parts and _WITH_INPUT not in args.parts:
        args.wrong(f"--input is for {_WITH_INPUT}, which is not among the parts that you named: name it, too")
    _refuse_wrong_target(args)
    _refuse_wrong_target(args, "html")
    if args.json is not None and args.html is not None and os.path.realpath(args.json) == os.path.realpath(args.html):
        args.wrong("--json and --html must be different files, and only one of them can be -")


def _meant(name: str) -> str:
    """Return which part is meant, if its description begins with this name."""
    meant = next((part for part, (_, about) in PARTS.items() if about.lower().startswith(f"{name.lower()}:")), None)
    return f", but {meant} is the one of {name}" if meant else ""


def _refuse_wrong_target(args: argparse.Namespace, option: str = "json") -> None:
    path = getattr(args, option)
    if path is not None and path != "-":
        target = os.path.realpath(path)
        if os.path.isdir(target) or not os.path.isdir(os.path.dirname(target)):
            args.wrong(f"--{option}: {path} is a directory, or in one that does not exist")


def _run_demo(args: argparse.Namespace, options: Options) -> int:
    from perfkit.demo import report, runner

    table = sys.stderr if "-" in (args.json, args.html) else sys.stdout
    progress = report.ProgressLine(sys.stderr)
    results: list[PartResult] = []
    try:
        for result in runner.run_parts(args.parts, options, progress):
            progress.clear()
            heading = "" if results else report.heading(runner.machine())
            report.write(table, heading + report.render(result, colour=report.is_coloured(table)))
            results.append(result)
    finally:
        progress.clear()
    report.write(table, report.verdict(results))
    if args.json is not None:
        runner.write_json(args.json, runner.machine_report(results, options))
        _told_written(args.json)
    if args.html is not None:
        from perfkit.demo import html_report

        runner.write_text(args.html, html_report.page(results, runner.machine(), quick=options.quick))
        _told_written(args.html)
    failures = runner.failures(results)
    return _complain(_FAILED, *failures) if failures else 0


def _complain(status: int, *messages: str, command: str = "demo") -> int:
    for message in messages:
        print(f"perfkit {command}: {message}", file=sys.stderr)
    return status


@contextmanager
def _termination_unwinds() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that worker processes end and temporary files go."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    with suppress(ValueError):  # not the main thread: its signals are not ours to handle
        before = {
            number: signal.signal(number, leave) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN
        }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _discard_output() -> None:
    """Point stdout at nothing, or the interpreter's last flush would fail too."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
