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
perfkit is a library: state files that lose nothing and caches that stay in
bounds, for Python programs that run for days. You use it by `import perfkit`.
This command shows on your machine what that brings."""

_EPILOG = "Start with `perfkit demo`. `perfkit COMMAND --help` tells more about a command."

_DEMO_DESCRIPTION = """\
Do the same real work twice, the ordinary way and with perfkit. Check that both
came to the same result, and print how long each took (what half, 95 % and 99 %
of the turns were done in), how many times as fast perfkit is, and what went
wrong: updates lost, unreadable files and so on. Every figure is measured in
this run, on this machine."""

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
  perfkit demo                              every part
  perfkit demo statefile --input app.json   on a copy of a file of your own
  perfkit demo --quick --json - | jq .passed"""


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
            return args.run(args) if args.command else _help(parser)
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
    _add_memory(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[_Parser]) -> None:
    parts = "\n".join(f"  {name}  {about}" for name, (_, about) in PARTS.items())
    demo = commands.add_parser(
        "demo",
        help="do the same work without perfkit and with it; compare times and results",
        description=_DEMO_DESCRIPTION,
        epilog=_DEMO_EPILOG.format(parts=parts),
    )
    demo.add_argument("parts", nargs="*", metavar="PART", help="which parts to run (default: all)")
    demo.add_argument(
        "--json",
        metavar="FILE",
        help="also write machine, versions, every figure (in seconds) and every check to FILE, which is replaced at "
        "once; if FILE is -, they go to stdout and the table goes to stderr",
    )
    demo.add_argument(
        "--input",
        metavar="FILE",
        help="work on a copy of FILE, any JSON document, instead of a generated one; FILE itself is only read",
    )
    demo.add_argument("--quick", action="store_true", help="fewer rounds: done in a few seconds, rougher figures")
    demo.set_defaults(wrong=demo.error, run=_demo)


def _add_memory(commands: argparse._SubParsersAction[_Parser]) -> None:
    memory = commands.add_parser(
        "memory",
        help="show how much memory there is and is in use, here or in a process",
        description=_MEMORY_DESCRIPTION,
        epilog=_MEMORY_EPILOG,
    )
    memory.add_argument("--pid", type=int, metavar="PID", help="ask the watchdogs of this process")
    memory.add_argument("--watch", action="store_true", help="show it again each second, until Ctrl-C")
    memory.set_defaults(run=_memory)


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
        print(f"perfkit memory: {error}", file=sys.stderr)
        return _FAILED
    return 0


def _refuse_wrong_usage(args: argparse.Namespace) -> None:
    """Exit with 2 for what can be seen to be wrong before anything runs."""
    for name in args.parts:
        if name not in PARTS:
            args.wrong(f"no part is called {name!r}; the parts are: {', '.join(PARTS)}")
    if args.json is not None and args.json != "-":
        target = os.path.realpath(args.json)
        if os.path.isdir(target) or not os.path.isdir(os.path.dirname(target)):
            args.wrong(f"--json: {args.json} is a directory, or in one that does not exist")


def _run_demo(args: argparse.Namespace, options: Options) -> int:
    from perfkit.demo import report, runner

    table = sys.stderr if args.json == "-" else sys.stdout
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
    if args.json is not None:
        runner.write_json(args.json, runner.machine_report(results, options))
    failures = runner.failures(results)
    return _complain(_FAILED, *failures) if failures else 0


def _complain(status: int, *messages: str) -> int:
    for message in messages:
        print(f"perfkit demo: {message}", file=sys.stderr)
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
