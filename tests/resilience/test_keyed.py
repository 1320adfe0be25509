"""`CircuitBreaker.per_key`: one breaker a key, bounded, and never two for one key."""

import gc
import threading
import weakref

import pytest

import perfkit
from perfkit.resilience import CircuitBreaker
from perfkit.testing import FakeClock


def group(max_keys=4, **options):
    return CircuitBreaker.per_key(max_keys, **({"consecutive": 1, "timer": FakeClock()} | options))


def test_a_key_has_one_breaker():
    by_host = group()
    assert by_host("a") is by_host("a")
    assert by_host("a") is not by_host("b")
    by_host("a").trip()
    assert (by_host("a").state, by_host("b").state) == ("open", "closed")


def test_the_breakers_have_the_options():
    told = []
    by_host = group(name="hosts", reset_timeout=7.0, on_change=lambda breaker, old, new: told.append(breaker.name))
    by_host("a").trip()
    assert by_host("a").stats().retry_after == 7.0
    assert told == ["hosts['a']"]


def test_it_is_bounded():
    by_host = group(max_keys=10)
    for number in range(1000):
        by_host(number)
    gc.collect()
    assert by_host.stats().keys <= 10


def test_what_somebody_holds_stays_its_keys_breaker():
    by_host = group(max_keys=2)
    held = [by_host(number) for number in range(50)]
    assert [by_host(number) for number in range(50)] == held


def test_what_is_not_closed_is_not_forgotten_while_there_is_room():
    by_host = group(max_keys=4)
    for number in range(4):
        by_host(f"down {number}").trip()
    for number in range(500):
        by_host(number)
    assert [by_host(f"down {number}").state for number in range(4)] == ["open"] * 4
    watch = weakref.ref(by_host("down 0"))
    by_host("down 0").reset()
    for number in range(500):
        by_host(number)
    gc.collect()
    assert watch() is None


def test_what_is_not_closed_is_bounded_too():
    by_host = group(max_keys=4)
    for number in range(500):
        by_host(number).trip()
    gc.collect()
    assert by_host.stats().keys <= 8
    assert by_host(499).state == "open"


def test_threads_that_want_the_same_key_get_the_same():
    by_host = group(max_keys=1)
    found, together = [], threading.Barrier(8)

    def work():
        together.wait(20)
        found.append([by_host(number) for number in range(50)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for breakers in zip(*found, strict=True):
        assert len(set(map(id, breakers))) == 1


def test_the_group_is_listed_once_and_its_breakers_are_not():
    by_host = group(name="payment hosts")
    by_host("a").trip()
    by_host("b")
    listed = [snapshot for snapshot in perfkit.stats() if "payment hosts" in snapshot.name]
    assert [snapshot.name for snapshot in listed if snapshot.part == "resilience"] == ["payment hosts"]
    stats = by_host.stats()
    assert (stats.keys, stats.open, stats.half_open, stats.opened) == (2, ("a",), (), 1)
    assert repr(by_host) == "<KeyedBreakers 'payment hosts': keys=2>"


def test_half_open_ones_are_told():
    clock = FakeClock()
    by_host = group(timer=clock)
    by_host("a").trip()
    clock.advance(30)
    with by_host("a"):
        assert by_host.stats().half_open == ("a",)


@pytest.mark.parametrize("key", [[], {}, ([],)])
def test_a_key_without_a_hash_is_refused(key):
    with pytest.raises(TypeError, match="a breaker's key must be hashable, such as a host's name, not"):
        group()(key)


def test_bad_options_are_refused_when_it_is_made():
    with pytest.raises(ValueError, match="max_keys must be a whole number from 1"):
        CircuitBreaker.per_key(0)
    with pytest.raises(ValueError, match="probes must be"):
        CircuitBreaker.per_key(probes=0)
    with pytest.raises(TypeError, match="probs"):
        CircuitBreaker.per_key(probs=1)


def test_a_group_is_no_block():
    with (
        pytest.raises(TypeError, match=r"write `with breakers\(key\):`"),
        perfkit.CircuitBreaker.per_key(max_keys=5, consecutive=1),
    ):
        pass
