"""Benchmarks: ``pytest benchmarks/bench_*.py``, or with tables and charts ``python benchmarks/report.py --run``."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this file, whatever pytest's import mode

from measure import Claim, Contender, Plan, interleaved, ratio, spread

_PACKAGES = (
    "perfkit",
    "aiobreaker",
    "aiofiles",
    "aiosmtpd",
    "aiosmtplib",
    "aiosqlitepool",
    "async-lru",
    "backoff",
    "cachebox",
    "cachetools",
    "circuitbreaker",
    "codetiming",
    "diskcache",
    "etils",
    "filelock",
    "generic-connection-pool",
    "hyx",
    "lazy-loader",
    "moka-py",
    "msgspec",
    "opentelemetry-sdk",
    "orjson",
    "prometheus-client",
    "psutil",
    "psycopg-pool",
    "purgatory",
    "pybreaker",
    "redis",
    "sqlalchemy",
    "stamina",
    "tenacity",
    "theine",
    "tinydb",
    "wrapt",
)
_RESULTS = pytest.StashKey[list[dict[str, Any]]]()

Compare = Callable[..., dict[str, Any]]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("perfkit benchmarks")
    group.addoption("--smoke", action="store_true", help="one tiny round: all runs and agrees; says nothing of speed")
    group.addoption("--where", metavar="DIR", help="measure on DIR's file system (default: a temporary directory's)")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RESULTS] = []
    config.option.benchmark_quiet = True  # its table shows one contender's turns; ours is below


@pytest.fixture
def smoke(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--smoke"))


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory on the file system to measure, as far below the root as people's own (each level costs)."""
    with tempfile.TemporaryDirectory(prefix="perfkit-bench-", dir=request.config.getoption("--where")) as made:
        yield Path(made)


@pytest.fixture
def compare(request: pytest.FixtureRequest, benchmark: Any, folder: Path, smoke: bool) -> Compare:
    """Measure contenders in turns and keep the result in pytest-benchmark's JSON.

    ``compare(contenders, size="17 KB", claims=[...], between=os.sync)``: the first contender is the baseline, which all
    ratios in the tables are to. What is measured is said by the test's docstring, which the page of results quotes.
    """

    def run(
        contenders: Sequence[Contender], *, size: str, claims: Sequence[Claim] = (), **options: Any
    ) -> dict[str, Any]:
        times, amounts = interleaved(contenders, Plan(smoke=smoke), **options)
        result = _described(request, size, folder) | _compared(contenders, times, amounts, claims)
        benchmark.group = result["title"]
        benchmark.extra_info.update(result, smoke=smoke)
        first = next(c for c in contenders if c.ours)
        benchmark.pedantic(first.timed, args=(amounts[first.name],), rounds=1 if smoke else 3)
        if not smoke:
            request.config.stash[_RESULTS].append(result)
        return result

    return run


def _described(request: pytest.FixtureRequest, size: str, folder: Path) -> dict[str, Any]:
    title, _, about = (request.function.__doc__ or request.function.__name__).partition("\n")
    part, _, part_about = request.module.__doc__.partition("\n")
    work = request.function.__name__.removeprefix("test_")
    return {
        "key": f"{request.path.stem.removeprefix('bench_')}_{work}".replace("_", "-"),
        "part": part.rstrip("."),
        "part_about": " ".join(part_about.split()),
        "title": title.rstrip("."),
        "about": " ".join(about.split()),
        "size": size,
        "file_system": file_system(folder),
    }


def _compared(
    contenders: Sequence[Contender], times: dict[str, list[float]], amounts: dict[str, int], claims: Sequence[Claim]
) -> dict[str, Any]:
    baseline = times[contenders[0].name]
    rows = [
        {"name": c.name, "ours": c.ours, "note": c.note, "operations": amounts[c.name]}
        | spread(times[c.name])
        | ratio(baseline, times[c.name])
        for c in contenders
    ]
    claimed = [asdict(c) | ratio(times[c.peer], times[c.contender]) for c in claims]
    return {"rounds": len(baseline), "contenders": rows, "claims": claimed}


def file_system(path: Path, mounts: str = "/proc/mounts") -> str:
    """Return the type of the file system that holds ``path``, or "unknown" where the system has no such table."""
    try:
        lines = Path(mounts).read_text().splitlines()
    except OSError:
        return "unknown"
    where = os.path.realpath(path)
    found = [
        (len(point), kind)
        for _, point, kind, *_ in (line.split() for line in lines)
        if os.path.commonpath([where, point]) == point
    ]
    return max(found)[1] if found else "unknown"


def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info.pop("node", None)  # the host's name is nobody's business, and who built its kernel is no matter
    machine_info["release"] = machine_info["release"].partition("-")[0]
    machine_info["cpu"] = {key: machine_info["cpu"].get(key) for key in ("brand_raw", "arch", "count")}
    machine_info["packages"] = {name: _version(name) for name in _PACKAGES}


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    for key in commit_info.keys() - {"id", "dirty", "time"}:
        del commit_info[key]


def pytest_benchmark_update_json(output_json: dict[str, Any]) -> None:
    for bench in output_json["benchmarks"]:
        del bench["params"]  # documents, which the ids name


def _version(package: str) -> str | None:
    if package == "perfkit":
        import perfkit

        return perfkit.__version__
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    for result in config.stash[_RESULTS]:
        terminalreporter.section(f"{result['title']}, {result['size']}, {result['file_system']}", "-")
        for row in result["contenders"]:
            took = f"{row['median'] * 1e6:12,.1f} µs {row['ratio']:9.2f}x ({row['low']:.2f}-{row['high']:.2f})"
            terminalreporter.write_line(f"{took}  {row['name']}", bold=row["ours"])
        for claim in result["claims"]:
            word = "holds" if claim["ratio"] >= claim["at_least"] else "FALLS SHORT"
            what = f"{claim['contender']} at least {claim['at_least']:g}x {claim['peer']}"
            terminalreporter.write_line(f"  {word}: {what}: {claim['ratio']:.2f}x")
