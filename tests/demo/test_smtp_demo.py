"""The mail demo: the bad server is as bad as it says, and what is lost or comes twice does not pass."""

import pytest

from perfkit.demo import smtp
from perfkit.demo.results import Count, Options


def silent(doing):
    assert doing.startswith("smtp: ")


@pytest.fixture(scope="module")
def site():
    return smtp.Site()


def test_a_real_run_passes():
    result = smtp.run(Options(quick=True), silent)
    assert result.failed == ()
    far, ending = result.sections
    assert [len(section.comparisons) for section in (far, ending)] == [2, 1]
    twice, _ = ending.checks
    assert twice.before.bad > 0  # or the server would be no trial
    for comparison in far.comparisons:
        assert comparison.speedup(comparison.after[0]) > 1


def test_a_way_that_sends_again_is_seen(monkeypatch, site):
    monkeypatch.setattr(site, "send_by_pool", site.send_again)
    twice, lost = smtp.connections_end(site, 60, silent).checks
    assert not twice.passed
    assert lost.passed


def test_a_way_that_loses_mails_is_seen(monkeypatch, site):
    def send_some(port, mails):
        site.send_over_one(port, mails[:3])
        return set()

    monkeypatch.setattr(site, "send_by_pool", send_some)
    twice, lost = smtp.connections_end(site, 20, silent).checks
    assert twice.passed
    assert lost.after == Count(17, 20)
