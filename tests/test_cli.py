"""The command as users meet it: real processes, real terminals, real signals."""

import codecs
import os
import re
import select
import signal
import subprocess
import sys
import time

import pytest

from perfkit import __version__
from perfkit.cli import main

ENVIRONMENT = os.environ | {
    "COLUMNS": "80",
    "TERM": "xterm",
    "NO_COLOR": "",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONUNBUFFERED": "",
}
PATIENCE = 60  # seconds until a hang is called one


def start(*args, **options):
    options.setdefault("env", ENVIRONMENT)
    return subprocess.Popen([sys.executable, "-m", "perfkit", *args], **options)


def run(*args, **options):
    process = start(*args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", **options)
    with process:
        out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err


@pytest.fixture
def scratch(tmp_path):
    """An environment whose temporary files go to a directory of the test's own."""
    (tmp_path / "scratch").mkdir()
    return ENVIRONMENT | {"TMPDIR": str(tmp_path / "scratch")}


class Terminal:
    """A pseudo-terminal: `fd` for a process to write to, and what it wrote there."""

    def __init__(self):
        pty = pytest.importorskip("pty", reason="needs a system with pseudo-terminals")
        self._ours, self.fd = pty.openpty()
        self._deadline = time.monotonic() + PATIENCE
        self._decode = codecs.getincrementaldecoder("utf-8")().decode  # a read may end in the middle of a sign
        self.text = ""

    def hand_over(self):
        """Close our copy of `fd`: the terminal then ends with the last process that has it."""
        os.close(self.fd)

    def read_until(self, pattern):
        while not re.search(pattern, self.text):
            assert self._read(), f"ended without {pattern!r}: {self.text!r}"

    def read_to_end(self):
        """Read until no process has the terminal open any more."""
        while self._read():
            pass
        os.close(self._ours)
        return self.text

    def _read(self):
        ready, _, _ = select.select([self._ours], [], [], max(0, self._deadline - time.monotonic()))
        assert ready, f"still open after {PATIENCE} s: {self.text!r}"
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # what Linux says when the other end is closed
            return False
        self.text += self._decode(data)
        return bool(data)


@pytest.fixture
def terminal():
    return Terminal()


@pytest.mark.parametrize("args", [["--help"], ["demo", "--help"], ["imports", "--help"], ["memory", "--help"]])
def test_help_fits_80_columns(args):
    status, out, err = run(*args)
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert any(command in out for command in ("demo", "imports", "memory"))


def test_the_help_names_what_every_part_is_about():
    _, out, _ = run("--help")
    words = (
        "state files",
        "caches",
        "circuit breakers",
        "retries",
        "pools",
        "mail",
        "SQLite",
        "lazy imports",
        "memory",
    )
    for word in words:
        assert word in " ".join(out.split())


def test_the_help_of_demo_names_every_part_option_and_exit_status():
    _, out, _ = run("demo", "--help")
    for word in (
        "statefile",
        "--json FILE",
        "--html FILE",
        "app",
        "--input FILE",
        "--quick",
        "130",
        "NO_COLOR",
        "TMPDIR",
    ):
        assert word in out


def test_version():
    assert run("--version") == (0, f"perfkit {__version__}\n", "")


def test_main_returns_instead_of_exiting(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"perfkit {__version__}\n"
    assert main(["demo", "nothing"]) == 2


def test_the_command_starts_without_what_only_a_demo_needs():
    code = "import sys; from perfkit.cli import main; main(['--version']); print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "perfkit.cli" in loaded
    assert loaded.isdisjoint({"asyncio", "json", "multiprocessing", "tempfile", "logging", "msgspec", "dataclasses"})
    assert loaded.isdisjoint({"perfkit.statefile", "perfkit.demo.statefile", "perfkit.demo.report"})


def test_without_a_command_the_help_is_shown_as_for_wrong_usage():
    assert run() == (2, "", run("--help")[1])


def test_an_unknown_part_is_refused_with_the_parts_there_are():
    status, out, err = run("demo", "statefile", "teleport")
    assert (status, out) == (2, "")
    parts = "statefile, caching, resilience, pooling, memory, lazyload, smtp, sqlite, app"
    assert err.splitlines()[-1] == f"perfkit demo: error: no part is called 'teleport'; the parts are: {parts}"


@pytest.mark.parametrize(("name", "part"), [("mail", "smtp"), ("pools", "pooling")])
def test_a_part_by_another_name_is_refused_with_its_own(name, part):
    status, _, err = run("demo", name)
    assert status == 2
    assert f"no part is called {name!r}, but {part} is the one of {name}; the parts are: " in err


def test_a_document_for_parts_that_have_no_use_for_one_is_refused(tmp_path):
    document = tmp_path / "state.json"
    document.write_text("{}")
    status, out, err = run("demo", "smtp", "caching", "--input", str(document))
    assert (status, out) == (2, "")
    assert "--input is for statefile, which is not among the parts" in err.splitlines()[-1]


@pytest.mark.parametrize("option", ["--json", "--html"])
@pytest.mark.parametrize("where", ["missing/report", "."])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(where, option, tmp_path):
    status, out, err = run("demo", option, str(tmp_path / where))
    assert (status, out) == (2, "")
    assert f"error: {option}: " in err.splitlines()[-1]


@pytest.mark.parametrize(("report", "page"), [("-", "-"), ("report", "./report")])
def test_two_reports_in_one_place_are_refused(report, page):
    status, out, err = run("demo", "--json", report, "--html", page)
    assert (status, out) == (2, "")
    assert "--json and --html must be different files" in err.splitlines()[-1]


@pytest.mark.parametrize("args", [["--help"], ["demo", "--quick"]])
def test_a_broken_pipe_is_no_traceback(args):
    read_end, write_end = os.pipe()
    os.close(read_end)
    with start(*args, stdout=write_end, stderr=subprocess.PIPE) as process:
        os.close(write_end)
        _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (141, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full of Linux")
def test_a_full_disk_under_stdout_is_a_message():
    with open("/dev/full", "w") as full, start("--help", stdout=full, stderr=subprocess.PIPE) as process:
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert err.startswith(b"perfkit: cannot write the output: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("moment", ["round 1 ", "ordinary: 0 of", "ordinary: [1-9]", "perfkit: 0 of"])
def test_ctrl_c_ends_everything_quietly(moment, terminal, scratch):
    process = start("demo", "--quick", stdout=subprocess.PIPE, stderr=terminal.fd, env=scratch, start_new_session=True)
    terminal.hand_over()
    with process:
        terminal.read_until(moment)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        said = terminal.read_to_end()  # ends only when no worker is left
        out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, b"")
    assert said.endswith("\rperfkit: interrupted\r\n")
    assert "Traceback" not in said
    assert os.listdir(scratch["TMPDIR"]) == []


def test_ctrl_c_ends_the_whole_application_too(terminal, scratch):
    process = start("demo", "app", stdout=subprocess.PIPE, stderr=terminal.fd, env=scratch, start_new_session=True)
    terminal.hand_over()
    with process:
        terminal.read_until("app: round 1 ")
        os.killpg(process.pid, signal.SIGINT)
        said = terminal.read_to_end()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert said.endswith("\rperfkit: interrupted\r\n")
    assert "Traceback" not in said
    assert os.listdir(scratch["TMPDIR"]) == []


def test_sigterm_ends_everything_too(terminal, scratch):
    process = start("demo", "--quick", stdout=subprocess.PIPE, stderr=terminal.fd, env=scratch, start_new_session=True)
    terminal.hand_over()
    with process:
        terminal.read_until("ordinary: [1-9]")
        process.terminate()
        said = terminal.read_to_end()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in said
    assert os.listdir(scratch["TMPDIR"]) == []


def test_workers_of_a_killed_demo_end_by_themselves(terminal, scratch):
    process = start("demo", stdout=subprocess.PIPE, stderr=terminal.fd, env=scratch, start_new_session=True)
    terminal.hand_over()
    with process:
        terminal.read_until("ordinary: [1-9]")
        process.kill()
        said = terminal.read_to_end()
    assert process.returncode == -signal.SIGKILL
    assert "Traceback" not in said


def test_a_terminal_gets_colour_and_a_progress_line(terminal):
    process = start("demo", "statefile", "--quick", stdout=terminal.fd, stderr=terminal.fd)
    terminal.hand_over()
    with process:
        said = terminal.read_to_end()
    assert process.returncode == 0
    assert "\rstate files, one process: round 1 of " in said
    assert "\x1b[1;36mState files" in said
    table = said[said.index("perfkit " + __version__) :]
    assert "\rstate files" not in table
    assert said[: said.index("perfkit " + __version__)].endswith(f"\r{' ' * 79}\r")


def test_what_a_program_prints_has_lines_of_its_own(terminal, tmp_path):
    (tmp_path / "app.py").write_text("print('up')\n")
    process = start("imports", str(tmp_path / "app.py"), stdout=terminal.fd, stderr=terminal.fd)
    terminal.hand_over()
    with process:
        said = terminal.read_to_end().splitlines()
    assert process.returncode == 0
    first, second = (at for at, line in enumerate(said) if line == "up")
    assert said[first - 1] == "imports: run 1 of 2, to see which lines run"
    assert said[second - 1] == "imports: run 2 of 2, to time the imports"


def test_the_memory_there_is():
    status, out, err = run("memory")
    assert (status, err) == (0, "")
    first, second, *_ = out.splitlines()
    assert re.fullmatch(r"limit     .+ \(.+\)", first)
    assert re.fullmatch(r"in use    .+, \d+%: (ok|high|critical)", second)
    assert out.count("limit ") == out.count("in use ")


def test_memory_of_a_process_that_is_exposed():
    program = (
        "import perfkit, sys\n"
        "with perfkit.MemoryWatchdog('1GB', name='app', expose=True):\n"
        " print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    with process:
        process.stdout.readline()
        status, out, err = run("memory", "--pid", str(process.pid))
        assert (status, err) == (0, "")
        assert out.startswith("watchdog  app: ok\nlimit     1 GB (the argument `limit`)\n")
        assert "0 trim" in out
        watching = start("memory", "--pid", str(process.pid), "--watch", stdout=subprocess.PIPE, text=True)
        with watching:
            seen = [watching.stdout.readline() for _ in range(out.count("\n") + 2)]
            assert seen.count("watchdog  app: ok\n") == 2
            watching.send_signal(signal.SIGINT)
            watching.communicate(timeout=PATIENCE)
        assert watching.returncode == 130
        process.communicate(timeout=PATIENCE)
    status, out, err = run("memory", "--pid", str(process.pid))
    assert (status, out) == (1, "")
    assert f"there is no process {process.pid}" in err


@pytest.mark.parametrize("pid", ["api", "0", "-1", "1.5", ""])
def test_what_is_no_process_number(pid):
    status, out, err = run("memory", f"--pid={pid}")
    assert (status, out) == (2, "")
    assert "no number of a process: give one such as 4711" in err
