"""No increment is lost between processes, threads and tasks, whichever way each of them goes."""

import os

import pytest

import perfkit

PROCESSES, THREADS, TIMES = 8, 4, 25


@pytest.mark.parametrize(
    "ways",
    [
        pytest.param(["edit"], id="edit"),
        pytest.param(["update"], id="update"),
        pytest.param(["edit", "update", "async-edit", "async-update"], id="every-way"),
    ],
)
def test_concurrent_increments_are_exact(start, tmp_path, ways):
    path = tmp_path / "counter.json"
    names = [f"process-{number}" for number in range(PROCESSES)]
    crews = [start("increment", path, ways[i % len(ways)], name, THREADS, TIMES) for i, name in enumerate(names)]
    for crew in crews:
        assert crew.hear() == ["ready"]
    for crew in crews:
        crew.tell("go")
    for crew in crews:
        crew.end()
    each = THREADS * TIMES
    assert perfkit.StateFile(path).load() == {"total": PROCESSES * each} | dict.fromkeys(names, each)
    assert sorted(os.listdir(tmp_path)) == ["counter.json", "counter.json.lock"]


def test_updates_are_acknowledged_with_the_number_they_made(start, tmp_path):
    """What ``update`` returns is what was written: no two callers get the same number."""
    path = tmp_path / "counter.json"
    crew = start("increment", path, "update", "elsewhere", THREADS, TIMES)
    assert crew.hear() == ["ready"]
    crew.tell("go")
    state = perfkit.StateFile(path, default=dict, durability="process")

    def bump(document):
        document["total"] = document.get("total", 0) + 1
        return document["total"]

    mine = [state.update(bump) for _ in range(THREADS * TIMES)]
    crew.end()
    assert mine == sorted(set(mine))
    assert state.view()["total"] == 2 * THREADS * TIMES
