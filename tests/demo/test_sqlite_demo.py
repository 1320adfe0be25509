"""The SQLite demo: both ways keep the same rows, and one that loses, spoils or halves memories does not pass."""

import asyncio

import pytest

from perfkit.demo import sqlite
from perfkit.demo.results import Options


def silent(doing):
    assert doing.startswith("sqlite: ")


@pytest.fixture
def way(monkeypatch):
    """``way(method)`` puts a method in place of perfkit's of that name."""
    return lambda method: monkeypatch.setattr(sqlite.Batched, method.__name__, method)


def at_once():
    return asyncio.run(sqlite.all_at_once(1, 1, silent)).checks


def given_up():
    return asyncio.run(sqlite.some_give_up(100, silent)).checks


def test_a_real_run_passes():
    result = sqlite.run(Options(quick=True), silent)
    assert result.failed == ()
    together, given_up = result.sections
    writes, _ = together.comparisons
    assert writes.speedup(writes.after[0]) > 1
    halves, _ = given_up.checks
    assert halves.before.bad > 0  # or giving up would be no trial


def test_rows_that_are_lost_are_seen(way):
    async def remember(self, row):
        if row[0] % 10 != 3:
            await self._db.execute(sqlite.REMEMBER, row)

    async def recall(self, number):
        await asyncio.sleep(0)
        return sqlite.memory(number)

    way(remember)
    way(recall)
    missing, recalled = at_once()
    assert missing.after.bad == 10
    assert not missing.passed
    assert recalled.passed


def test_rows_that_are_spoilt_are_seen(way):
    async def remember(self, row):
        number, agent, text, embedding = row
        await self._db.execute(sqlite.REMEMBER, (number, agent, text, embedding[:-1]))

    way(remember)
    missing, recalled = at_once()
    assert missing.after.bad == 2 * missing.after.of  # each of them is missing, and there is another
    assert recalled.after.bad == recalled.after.of


def test_halves_are_seen(way):
    async def remember_and_count(self, row):
        await self._db.execute(sqlite.REMEMBER, row)
        if row[0] % 4:
            await self._db.execute(sqlite.COUNT, (row[1],))

    way(remember_and_count)
    halves, lost = given_up()
    assert halves.after.bad >= 25
    assert not halves.passed
    assert lost.passed


def test_what_was_acknowledged_for_nothing_is_seen(way):
    async def remember_and_count(self, row):
        await asyncio.sleep(0.001)

    way(remember_and_count)
    halves, lost = given_up()
    assert halves.passed
    assert lost.after.bad == lost.after.of > 0
    assert not lost.passed


def test_memories_differ():
    assert len({sqlite.memory(number) for number in range(1000)}) == 1000
