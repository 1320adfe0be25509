"""The pages: the two commands of the README, languages that are either run or data, and the runner of pages itself."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Document
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

import perfkit

ROOT = Path(__file__).parents[1]
PAGES = {str(path.relative_to(ROOT)): path for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]}

RUN = {"python", "console"}
DATA = {"text", "toml", "json", "ini"}
COMMANDS = ['pip install ".[demo]" && perfkit demo', 'pip install ".[test]" && pytest']


def blocks(text: str) -> list[tuple[str, str]]:
    """Return ``(info, source)`` of every fenced block, as the runner of pages reads them."""
    anything = RawFencedCodeBlockLexer(re.compile(r"(?P<info>[^\n]*)$\n?", re.MULTILINE))
    found = [region.lexemes for region in anything(Document(text, "page"))]
    return [(lexemes["info"].strip(), lexemes["source"].text) for lexemes in found]


def is_run_or_data(page: str, info: str) -> bool:
    """Tell whether a block is executed, plain data, a directive of Sphinx, or one of the README's two commands."""
    directive = info.startswith("{") and "code" not in info
    return info in RUN | DATA or directive or (page == "README.md" and info == "bash")


def test_the_readme_has_the_two_commands_and_no_other_set_up():
    commands = [source.strip() for info, source in blocks(PAGES["README.md"].read_text("utf-8")) if info == "bash"]
    assert commands == COMMANDS


EXAMPLES = [source for info, source in blocks(PAGES["README.md"].read_text("utf-8")) if info == "python"]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_each_example_of_the_readme_runs_when_it_is_pasted_alone(example, tmp_path):
    (tmp_path / "example.py").write_text(example, "utf-8")
    command = [sys.executable, "-W", "error", "example.py"]
    environment = os.environ | {"PYTHONPATH": str(Path(perfkit.__file__).parents[1])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("page", PAGES)
def test_no_code_on_a_page_escapes_the_runner(page):
    infos = [info for info, _ in blocks(PAGES[page].read_text("utf-8"))]
    assert [info for info in infos if not is_run_or_data(page, info)] == []


@pytest.mark.parametrize("info", ["", "py", "Python", "{code-block} python", "python title=x", "bash"])
def test_code_that_would_escape_is_seen(info):
    [(found, source)] = blocks(f"A page.\n\n```{info}\nraise SystemExit\n```\n")
    assert (found, source) == (info, "raise SystemExit\n")
    assert not is_run_or_data("docs/page.md", info)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_draws_no_private_name(page):
    drawn = re.findall(r"^\.\. auto\w+:: (\S+)", PAGES[page].read_text("utf-8"), re.MULTILINE)
    assert [name for name in drawn if re.search(r"(^|\.)_", name)] == []


def test_ci_reads_its_command_from_the_readme(tmp_path):
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert not any(command in script for command in COMMANDS), "a copy can drift"
    reader = re.search(r"^readme_command\(\) \{.*?^\}$", script, re.DOTALL | re.MULTILINE)
    program = f'set -euo pipefail\nroot=$1\n{reader[0]}\nreadme_command "&& pytest"'

    def read(root):
        return subprocess.run(["bash", "-c", program, "-", root], capture_output=True, text=True, check=False)

    assert read(ROOT).stdout == COMMANDS[1] + "\n"
    (tmp_path / "README.md").write_text("# perfkit\n\n```bash\npip install perfkit\n```\n\npip install x && pytest\n")
    assert read(tmp_path).returncode != 0


GOOD = """
```python
from pathlib import Path
Path("made.txt").write_text("here")
if __name__ == "__main__":
    answer = 42
```

```console
$ pip install perfkit
$ perfkit --version
perfkit ...
$ python -m perfkit --version
perfkit ...
```

```python
assert answer == 42 and list(Path().iterdir()) == [Path("made.txt")]
```
"""
BAD = {
    "raises": "```python\nraise ValueError('on the page')\n```\n",
    "prints_otherwise": "```console\n$ perfkit --version\nperfkit 0.0.0-never\n```\n",
    "prints_more": "```console\n$ perfkit --version\n```\n",
    "foreign_command": "```console\n$ rm -r /\n```\n",
    "no_command": "```console\nperfkit --version\n```\n",
    "leans_on_another_page": "```python\nassert answer == 42\n```\n",
    "finds_another_page's_files": "```python\nopen('made.txt')\n```\n",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Run good and bad pages with the project's own runner; return page -> the set of its outcomes."""
    root = tmp_path_factory.mktemp("pages")
    shutil.copy(ROOT / "conftest.py", root)
    (root / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for name, text in {"a_good": GOOD, **BAD}.items():
        (root / f"{name}.md").write_text(text)
    command = [sys.executable, "-m", "pytest", "-rA", "--tb=no", "-p", "no:cacheprovider", "--import-mode=importlib"]
    environment = os.environ | {"PYTHONPATH": str(Path(perfkit.__file__).parents[1])}
    done = subprocess.run([*command, root], cwd=root, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^(PASSED|FAILED|ERROR) (\S+)\.md", done.stdout, re.MULTILINE)
    return {page: {outcome for outcome, other in found if other == page} for _, page in found}


def test_a_good_page_passes(outcomes):
    assert outcomes["a_good"] == {"PASSED"}


@pytest.mark.parametrize("page", BAD)
def test_a_bad_page_fails(outcomes, page):
    assert outcomes[page] == {"FAILED"}
