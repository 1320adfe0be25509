"""Batches and trips against a naive model: every mail has one delivery, in its place, whatever happens on the way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.pooling.smtp_errand import MAX_TRIES, Letter, SessionEnds
from perfkit.pooling.smtp_errors import DeliveryRefused, DeliveryUnknown, MailConnectionLost
from perfkit.pooling.smtp_replies import Reply
from perfkit.pooling.smtp_trip import Batch, Trip

GOOD, BAD = Reply(250, "taken"), Reply(550, "no")


def letter(number=0):
    return Letter("a@x.org", ("b@x.org",), f"<{number}@x.org>", b"", 0, is_8bit=False, needs_utf8=False)


class Session:
    server = "x.org:25"

    def __init__(self, is_fresh=False, was_stale=False):
        self.is_fresh, self.was_stale = is_fresh, was_stale


class Log:
    def __init__(self):
        self.begun, self.ended = [], []

    def begin(self, errand):
        self.begun.append(errand)

    def end(self, errand):
        self.ended.append(errand)


class BatchLog(Log):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def end(self, errand):
        super().end(errand)
        self.batch.done(errand)


@given(st.integers(0, 20), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_mail_has_one_delivery_in_its_place(mails, carriers, rng):
    batch = Batch(carriers)
    log = BatchLog(batch)
    trips, given_, told = [], 0, []
    while given_ < mails or not batch.is_over:
        if given_ < mails and batch.has_room and rng.random() < 0.6:
            trips += [Trip(batch.take, log)] if batch.add(letter(given_)) else []
            given_ += 1
        elif trips:
            carry_one(rng.choice(trips), rng)
        assert len(trips) <= carriers
        assert batch.has_room or given_ - len(batch.deliveries()) >= carriers
        told += batch.news()
    assert [delivery.message_id for delivery in batch.deliveries()] == [f"<{number}@x.org>" for number in range(mails)]
    assert sorted(map(id, told)) == sorted(map(id, batch.deliveries()))
    assert len(log.begun) == len(log.ended) == mails


def carry_one(trip, rng):
    if not trip.wants_connection():
        return
    errand = trip.take()
    errand.begin()
    what = rng.choice(["taken", "refused", "dies before", "dies after"])
    if what in ("taken", "refused"):
        errand.hear_recipient("b@x.org", GOOD)
        errand.conclude(GOOD if what == "taken" else BAD, "x.org")
        trip.look()
    else:
        errand.is_out = what == "dies after"
        trip.session_ended(MailConnectionLost("gone"), Session())


def test_a_mail_is_tried_so_often_and_no_oftener():
    batch, log = Batch(1), Log()
    assert batch.add(letter())
    trip = Trip(batch.take, log)
    for _ in range(MAX_TRIES):
        assert trip.wants_connection()
        trip.take().begin()
        trip.session_ended(MailConnectionLost("gone"), Session())
    assert not trip.wants_connection()
    [errand] = log.ended
    assert isinstance(errand.delivery.error, MailConnectionLost)


@pytest.mark.parametrize(("fresh", "again"), [(True, False), (False, True)])
def test_a_new_connection_that_does_not_answer_is_not_tried_again(fresh, again):
    batch = Batch(1)
    batch.add(letter())
    trip = Trip(batch.take, Log())
    trip.take().begin()
    trip.session_ended(TimeoutError("late"), Session(is_fresh=fresh))
    assert trip.wants_connection() == again


def test_a_server_that_always_ends_the_session_has_refused():
    batch, log = Batch(1), Log()
    batch.add(letter())
    trip = Trip(batch.take, log)
    while trip.wants_connection():
        trip.take().begin()
        trip.session_ended(SessionEnds(Reply(421, "busy")), Session())
    assert isinstance(log.ended[0].delivery.error, DeliveryRefused)
    assert log.ended[0].delivery.error.code == 421


def test_mails_go_again_in_their_order_and_before_others():
    batch = Batch(3)
    for number in range(5):
        batch.add(letter(number))
    trip = Trip(batch.take, Log())
    for errand in (trip.take(), trip.take(), trip.take()):
        errand.begin()
    trip.session_ended(MailConnectionLost("gone"), Session())
    assert [trip.take().place for _ in range(5)] == [0, 1, 2, 3, 4]


def two_under_way():
    """Return a trip whose session has one mail's content, and the envelope of the next."""
    batch, log = Batch(1), Log()
    batch.add(letter(1))
    batch.add(letter(2))
    trip = Trip(batch.take, log)
    first, second = trip.take(), trip.take()
    first.begin(is_first=True)
    second.begin(is_first=False)
    return trip, log, first, second


@pytest.mark.parametrize("is_out", [False, True], ids=["before", "after"])
def test_a_cut_is_no_try_of_the_mail_behind(is_out):
    trip, _, first, second = two_under_way()
    first.is_out = is_out
    trip.session_ended(TimeoutError("late"), Session(is_fresh=True))
    assert first.delivery.error is not None
    assert (second.tries, second.delivery) == (0, None)
    assert trip.take() is second


def test_a_cut_after_an_answer_to_the_mail_behind_is_a_try_of_it():
    trip, _, first, second = two_under_way()
    first.conclude(GOOD, "x.org")
    second.is_at_stake = True
    trip.session_ended(MailConnectionLost("gone"), Session())
    assert (first.tries, second.tries) == (0, 1)


def test_a_connection_that_was_dead_before_is_no_try():
    batch = Batch(1)
    batch.add(letter())
    trip = Trip(batch.take, Log())
    for _ in range(MAX_TRIES + 1):
        errand = trip.take()
        errand.begin()
        trip.session_ended(MailConnectionLost("gone"), Session(was_stale=True))
    assert (errand.tries, errand.sessions, errand.delivery) == (0, MAX_TRIES + 1, None)


def test_who_is_interrupted_is_told_of_what_was_taken():
    _, _, first, _ = two_under_way()
    first.hear_recipient("b@x.org", GOOD)
    first.conclude(GOOD, "x.org")
    error = KeyboardInterrupt()
    first.broken_off(error, "x.org:25")
    [note] = error.__notes__
    assert "x.org:25 had taken mail <1@x.org> by then (250 taken)" in note


def test_an_account_of_many():
    batch = Batch(1)
    trip = Trip(batch.take, BatchLog(batch))
    assert batch.account("x.org:25") == ""
    for number in range(4):
        batch.add(letter(number))
    first, refused, _ = trip.take(), trip.take(), trip.take()
    for errand, said in ((first, GOOD), (refused, BAD)):
        errand.hear_recipient("b@x.org", GOOD)
        errand.conclude(said, "x.org")
    trip.look()
    batch.stop()
    assert batch.account("x.org:25") == (
        "send_many was broken off when x.org:25 had taken 1 of its mails; these may have been delivered or not: "
        "<2@x.org>; the others were not delivered. progress= tells of each"
    )


def test_who_is_interrupted_is_told_of_what_nobody_knows():
    batch, log = Batch(1), Log()
    batch.add(letter(1))
    batch.add(letter(2))
    trip = Trip(batch.take, log)
    first, second = trip.take(), trip.take()
    first.begin()
    second.begin()
    first.is_out = True
    error = KeyboardInterrupt()
    trip.broken_off(error, Session.server)
    assert isinstance(first.delivery.error, DeliveryUnknown)
    assert isinstance(second.delivery.error, MailConnectionLost)
    [note] = error.__notes__
    assert "<1@x.org>" in note
    assert log.ended == [first, second]


def test_without_a_connection_the_others_carry_on_and_the_last_fails_all():
    batch, error = Batch(2), OSError("no way there")
    wanted = [batch.add(letter(number)) for number in range(4)]
    assert wanted.count(True) == 2
    one = Trip(batch.take, Log())
    assert one.wants_connection()
    batch.leave(one.unload(), error)
    assert batch.deliveries() == []
    assert batch.has_waiting
    batch.leave([], error)
    assert not batch.add(letter(4))
    assert batch.is_over
    errors = [delivery.error for delivery in batch.deliveries()]
    assert [str(each) for each in errors] == ["no way there"] * 5
    errors[0].add_note("of the first")
    assert not any(hasattr(each, "__notes__") for each in errors[1:])


def test_who_stops_leaves_what_waits():
    batch = Batch(1)
    for number in range(3):
        batch.add(letter(number))
    errand = batch.take()
    batch.stop()
    assert not batch.is_over
    errand.fail(OSError("x"))
    batch.done(errand)
    assert batch.is_over
    assert batch.may_go
    assert len(batch.deliveries()) == 1
