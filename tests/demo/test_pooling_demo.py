"""The pooling demo: its server is one, and a pool that storms it, fails callers or loses connections does not pass."""

from contextlib import closing, contextmanager

import pytest

from perfkit.demo import pooling
from perfkit.demo.pooling_server import Ledger, Session, balance
from perfkit.demo.results import Count, Options


def silent(doing):
    assert doing.startswith("pooling: ")


@pytest.fixture
def ledger():
    with Ledger() as ledger:
        yield ledger


def checks(section):
    return {check.what.split()[0]: check for check in section.checks}


def test_a_real_run_passes():
    result = pooling.run(Options(quick=True), silent)
    assert result.failed == ()
    up, restarts = result.sections
    (a_page,) = up.comparisons
    assert a_page.speedup(a_page.after[0]) > 1
    assert checks(restarts)["Failed"].before.bad > 0  # or the outage would be no trial
    assert checks(restarts)["Attempts"].before.bad > 0


def test_the_ledger_answers_who_knows_the_password(ledger, monkeypatch):
    with closing(Session(ledger.address)) as session:
        assert session.ask(17) == balance(17) == 17 * 7919 % 10_007
    monkeypatch.setattr(Session, "_log_in", lambda self: self._socket.sendall(b"00\n"))
    with closing(Session(ledger.address)) as session, pytest.raises((ConnectionError, ValueError)):
        session.ask(17)


def test_a_ledger_that_restarts_cuts_who_is_there(ledger):
    with closing(Session(ledger.address)) as session:
        ledger.stop()
        with pytest.raises(ConnectionError):
            session.ask(1)
        with pytest.raises(ConnectionError):
            Session(ledger.address)
        ledger.start()
        with closing(Session(ledger.address)) as another:
            assert another.ask(1) == balance(1)


def test_wrong_balances_are_seen(monkeypatch):
    monkeypatch.setattr(pooling.Session, "ask", lambda self, account: -1)
    found = checks(pooling.while_it_is_up(1, silent))["Wrong"]
    assert found.after == Count(160, 160)
    assert not found.passed


def test_a_pool_that_storms_and_fails_its_callers_is_seen(monkeypatch):
    class Careless(pooling.Shelf):
        name = "careless"

    monkeypatch.setattr(pooling, "Pooled", Careless)
    found = checks(pooling.while_it_restarts(60, silent))
    assert not found["Failed"].passed
    assert not found["Attempts"].passed
    assert found["Connections"].passed


def test_connections_that_are_lost_are_seen(ledger, monkeypatch):
    monkeypatch.setattr(pooling, "PATIENCE", 0.05)

    class Losing(pooling.Shelf):
        @contextmanager
        def borrowed(self):
            with closing(self._places.get(timeout=pooling.PATIENCE) or self.door.connect()) as session:
                yield session

    with closing(Losing(ledger)) as lender:
        with lender.borrowed():
            pass
        assert pooling.at_once(lender) == pooling.SIZE - 1


def test_how_many_attempts_pauses_allow():
    """At least half of 0.1 s, of 0.2 s, and so on, goes by before each but the first."""
    times = (0.0, 0.049, 0.051, 0.149, 0.151, 0.349, 0.351)
    assert [pooling.attempts_within(seconds) for seconds in times] == [2, 2, 3, 3, 4, 4, 5]
