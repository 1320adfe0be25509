"""`perfkit imports` for real: what it says of a program, and what it leaves alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import perfkit
from perfkit._base.resident import resident

PATIENCE = 120  # seconds until a hang is called one

PROGRAM = """
import sys
import heavy
import heavy.sub
import read
from extra import attribute
from package import part as p

print("words", *sys.argv[1:])
print("to stderr", file=sys.stderr)
sys.stdout.write(read.value)

def never():
    return heavy, attribute, p
"""


@pytest.fixture
def app(tmp_path):
    """A program, and modules beside it that take time and memory to load."""
    slowly = "import time\ntime.sleep(0.01)\n"
    modules = {
        "app.py": PROGRAM,
        "heavy/__init__.py": f"{slowly}kept = bytearray(30_000_000)\n",
        "heavy/sub.py": slowly,
        "read.py": f"{slowly}value = 'read'\n",
        "extra.py": f"{slowly}attribute = 1\n",
        "package/__init__.py": "",
        "package/part.py": slowly,
        "package/__main__.py": "import heavy\nfrom . import part\npart\n",
    }
    for name, source in modules.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    return tmp_path


COMMAND = [sys.executable, "-m", "perfkit", "imports"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(perfkit.__file__).parents[1])}


def run(*args, cwd):
    done = subprocess.run(
        [*COMMAND, *args],
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_report_of_a_program(app):
    status, out, err = run("app.py", "--its", "own", cwd=app)
    assert status == 0, err
    assert err.count("words --its own") == err.count("to stderr") == 2
    lines = out.splitlines()
    assert lines[0].startswith("app.py: ")
    assert max(map(len, lines)) <= 80 + len("  (lines that read it: )")
    assert {"heavy", "read", "extra", "package.part"} <= {line.split()[-1] for line in lines if line}
    at = lines.index("In app.py write")
    assert lines[at + 1] == "    with perfkit.lazy_imports():"
    assert sorted(line.strip() for line in lines[at + 2 : at + 5]) == [
        "from package import part as p",
        "import heavy",
        "import heavy.sub",
    ]
    assert any("app.py:6  from extra import attribute  (lines that read it: 14)" in line for line in lines)
    assert "import read" not in out
    assert "import sys" not in out


def test_the_report_for_machines(app):
    status, out, err = run("--json", "-", "app.py", cwd=app)
    assert status == 0, err
    report = json.loads(out)
    assert set(report) == {"program", "status", "imports", "unread"}
    [heavy] = [each for each in report["imports"] if each["name"] == "heavy"]
    assert heavy["seconds"] >= heavy["own_seconds"] >= 0.01
    assert resident is None or heavy["rss_bytes"] > 20_000_000
    unread = {each["statement"]: each for each in report["unread"]}
    assert set(unread) == {
        "import heavy",
        "import heavy.sub",
        "from extra import attribute",
        "from package import part as p",
    }
    assert unread["from extra import attribute"]["is_module"] is False
    assert all(each["seconds"] >= 0.01 for each in unread.values())
    assert unread["import heavy.sub"]["seconds"] >= 0.02
    assert os.path.samefile(unread["import heavy"]["file"], app / "app.py")


def test_a_module_and_a_report_in_a_file(app):
    status, out, err = run("--json", "report.json", "-m", "package", cwd=app)
    assert status == 0, err
    assert out.startswith("package: ")
    report = json.loads((app / "report.json").read_text())
    assert [each["statement"] for each in report["unread"]] == ["import heavy"]


def test_a_program_that_fails_is_reported_all_the_same(app):
    (app / "app.py").write_text("import heavy\nraise SystemExit(3)\n")
    status, out, err = run("app.py", cwd=app)
    assert status == 0
    assert "perfkit imports: the program ended with exit status 3" in err
    assert "import heavy" in out


def test_a_service_is_interrupted(app):
    (app / "app.py").write_text(
        "import heavy\nimport threading, time\nprint('up', flush=True)\ntry:\n    time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('down')\n"
    )
    status, out, err = run("--seconds", "5", "app.py", cwd=app)
    assert status == 0, err
    assert err.splitlines().count("up") == err.splitlines().count("down") == 2
    assert err.splitlines()[-1] == "perfkit imports: the program was interrupted after 5 s, as asked"
    assert "import heavy" in out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_program_too(app, number, status):
    (app / "app.py").write_text("import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)\n")
    with subprocess.Popen(
        [*COMMAND, "app.py"], cwd=app, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        pid = next(int(line.split()[-1]) for line in process.stderr if "pid" in line)
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (status, "")
    assert "Traceback" not in err
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_lines_of_other_threads_count(app):
    (app / "app.py").write_text(
        "import heavy\nimport threading\ndef work():\n    heavy.kept\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    )
    _, out, _ = run("app.py", cwd=app)
    assert "was read by a line that ran" in out


def test_a_program_that_leaves_no_record(app):
    (app / "app.py").write_text("import os\nos._exit(0)\n")
    status, out, err = run("app.py", cwd=app)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1].startswith("perfkit imports: the watched run left no record")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["missing.py"], "no such file: missing.py; for a module write -m missing.py"),
        (["--top", "0", "app.py"], "must be greater than 0"),
        (["--seconds", "-1", "app.py"], "must be greater than 0"),
        (["--json", "nowhere/report.json", "app.py"], "--json"),
        ([], "PROGRAM"),
    ],
)
def test_wrong_usage(app, args, said):
    status, out, err = run(*args, cwd=app)
    assert (status, out) == (2, "")
    assert said in err.splitlines()[-1]
