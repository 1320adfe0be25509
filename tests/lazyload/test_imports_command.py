"""`perfkit imports` for real: what it says of a program, and what it leaves alone."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from lazy_sites import before_native

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
    assert lines[at + 1 : at + 4] == ["    import perfkit", "", "    with perfkit.lazy_imports():"]
    assert sorted(line.strip() for line in lines[at + 4 : at + 7]) == [
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
    assert err.splitlines()[-1] == "wrote report.json"
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


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("os._exit(3)", "the program ended with exit status 3 by os._exit(), or as another program that it became"),
        ("os.kill(os.getpid(), 9)", "the program was killed by SIGKILL"),
    ],
)
def test_a_program_that_leaves_no_record(app, end, reason):
    (app / "app.py").write_text(f"import os\n{end}\n")
    status, out, err = run("app.py", cwd=app)
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == f"perfkit imports: the watched run left no record: {reason}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "nothere"], "No module named nothere"),
        (["-m", "extra.nothere"], "__path__ attribute not found on 'extra'"),
        (["-m", "mainless"], "'mainless' is a package and cannot be directly executed"),
        (["broken.py"], "SyntaxError: invalid syntax"),
        (["missing.py"], "ModuleNotFoundError: No module named 'nothere'"),
        (["-m", "missing"], "ModuleNotFoundError: No module named 'nothere'"),
        (["fails.py"], "ZeroDivisionError: division by zero"),
    ],
)
def test_a_program_that_fails_or_never_ran(app, words, said):
    """It fails as Python has it fail, once, in its own frames; and nothing is said of its imports."""
    (app / "mainless").mkdir()
    (app / "mainless/__init__.py").write_text("")
    (app / "broken.py").write_text("def (:\n")
    (app / "missing.py").write_text("import nothere\n")
    (app / "fails.py").write_text("import heavy\ndef f():\n    return 1 / 0\nf()\n")
    status, out, err = run(*words, cwd=app)
    assert (status, out) == (1, "")
    *printed, last = err.splitlines()
    assert last.startswith("perfkit imports: the program failed, so nothing is said of it: ")
    assert said in last
    files = [line.split('"')[1] for line in printed if line.lstrip().startswith("File ")]
    assert all(os.path.dirname(file) == str(app) for file in files)
    assert err.count("Traceback") <= 1
    assert bool(files) == ("Error" in said)


def test_an_interrupted_program_says_so_once(app):
    (app / "app.py").write_text("import heavy\nimport time\ntime.sleep(600)\n")
    status, out, err = run("--seconds", "3", "app.py", cwd=app)
    assert status == 0
    assert err.count("Traceback") == 1
    assert err.splitlines()[-1] == "perfkit imports: the program was interrupted after 3 s, as asked"
    assert "import heavy" in out


@before_native
def test_what_a_block_could_not_have_wait_is_a_candidate(app):
    (app / "app.py").write_text(
        "import perfkit\nwith perfkit.lazy_imports():\n    from extra import attribute\n    import heavy\n"
    )
    _, out, _ = run("--json", "-", "app.py", cwd=app)
    assert [each["statement"] for each in json.loads(out)["unread"]] == ["from extra import attribute"]


def test_memory_is_that_of_all_below_at_least(app):
    (app / "app.py").write_text("import heavy.sub\nimport package.part\n")
    _, out, _ = run("--json", "-", "app.py", cwd=app)

    def check(node):
        known = [child["rss_bytes"] for child in node["children"] if child["rss_bytes"] is not None]
        assert node["rss_bytes"] is None or node["rss_bytes"] >= sum(known)
        return node["rss_bytes"] is not None and [check(child) for child in node["children"]]

    report = json.loads(out)
    assert all(map(check, report["imports"])) or resident is None
    [sub] = [each for each in report["imports"] if each["name"] == "heavy.sub"]
    assert resident is None or sub["rss_bytes"] > 20_000_000  # its package was loaded for it


def test_a_package_with_a_stub_is_not_charged_with_what_perfkit_takes(app):
    (app / "toolkit").mkdir()
    (app / "toolkit/__init__.py").write_text(
        "import perfkit\n__getattr__, __dir__, __all__ = perfkit.attach_stub(__name__, __file__)\n"
    )
    (app / "toolkit/__init__.pyi").write_text("from .part import thing\n")
    (app / "app.py").write_text("import toolkit\n")
    _, out, _ = run("--json", "-", "app.py", cwd=app)
    [found] = json.loads(out)["unread"]
    assert (found["statement"], found["seconds"]) == ("import toolkit", pytest.approx(0, abs=1e-9))


STARTS_ANOTHER = """
import heavy, subprocess, sys
other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL)
print("other", other.pid)
"""


def test_a_process_that_stays_is_not_waited_for(app):
    (app / "app.py").write_text(STARTS_ANOTHER)
    _, out, err = run("app.py", cwd=app)
    pids = [int(line.split()[1]) for line in err.splitlines() if line.startswith("other")]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)  # they were there still
    assert len(pids) == 2
    assert "import heavy" in out


FORKS = """
import heavy, os, sys
reading, writing = os.pipe()
if os.fork() == 0:
    os.close(writing)
    os.read(reading, 1)  # until the parent is gone
    sys.exit(0)
heavy.kept
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_leaves_the_record_alone(app):
    (app / "app.py").write_text(FORKS)
    status, out, err = run("app.py", cwd=app)
    assert status == 0, err
    assert "was read by a line that ran" in out


STRANGE = """
import heavy, os, sys, atexit, tempfile
class Any:
    def __getattr__(self, name): raise ImportError(name)
class X: pass
atexit.register(lambda: print("main", sys.modules["__main__"].X is X, __name__, flush=True))
sys.modules[3] = sys
sys.modules["strange"] = Any()
sys.modules["mocked"] = type("Mock", (), {"__getattr__": lambda self, name: 3})()
folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)
exec(compile("x = 1", "of no directory.py", "exec"))
"""


def test_a_program_that_does_strange_things(app):
    """It goes elsewhere, leaves strange modules, and finds itself as `__main__` to the end."""
    (app / "app.py").write_text(STRANGE)
    status, out, err = run("app.py", cwd=app)
    assert status == 0, err
    assert err.splitlines() == ["main True __main__"] * 2
    assert "app.py:2  import heavy" in out


def test_a_link_and_an_archive_import_from_where_python_does(app):
    (app / "links").mkdir()
    (app / "app.py").write_text("import sys\nimport heavy\nprint(sys.path[0], __file__)\n")
    (app / "links/app.py").symlink_to(app / "app.py")
    with zipfile.ZipFile(app / "app.zip", "w") as archive:
        archive.writestr("__main__.py", "import sys\nimport inside\nprint(sys.path[0], __file__)\n")
        archive.writestr("inside.py", "")
    for program in ("links/app.py", "app.zip"):
        status, _, err = run(program, cwd=app)
        assert status == 0, err
        watched, timed = err.splitlines()
        assert watched == timed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["missing.py"], "no such file: missing.py; for a module write -m missing.py"),
        (["-m", "app.py"], "app.py is a file: for a file leave out -m"),
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
