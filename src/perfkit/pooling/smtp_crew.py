"""The threads that carry the mails of one `SMTPPool.send_many`."""

from __future__ import annotations

import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

from perfkit.pooling.smtp_errand import stopped_by
from perfkit.pooling.smtp_message import prepare_nth
from perfkit.pooling.smtp_trip import CrewBase, Trip, not_sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfkit.pooling.smtp_errand import Errand
    from perfkit.pooling.smtp_message import Mail

__all__ = ["Crew"]


class Crew(CrewBase):
    """Threads that carry the mails of one `send_many`."""

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        with self._changed:
            self.batch.stop()
            self._changed.notify_all()
        if error is None or isinstance(error, Exception):  # an interrupt waits for nobody
            for thread in self._threads:
                thread.join()

    def give_account(self, error: BaseException) -> None:
        """Have what ends `send_many` early say what has become of the mails."""
        with self._changed:
            said = self.batch.account(self._server)
        if said:
            error.add_note(said)

    def give(self, message: Mail) -> None:
        """Have a mail sent; wait until there is room for the next."""
        try:
            letter = prepare_nth(message, self.batch.given)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this mail's alone)
            with self._changed:
                self.batch.add_failed(not_sent(message, error))
        else:
            with self._changed:
                is_wanted = self.batch.add(letter)
                self._changed.notify_all()
            if is_wanted:
                self._start()
        self._tell_until(lambda: self.batch.has_room)

    def finish(self) -> None:
        """No more mails come; wait for what becomes of the rest."""
        with self._changed:
            self.batch.complete()
            self._changed.notify_all()
        self._tell_until(lambda: self.batch.is_over)

    def _tell_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, and tell the caller of what has become known meanwhile."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: is_so() or (self._progress is not None and self.batch.has_news))
                news = self.batch.news()
                is_enough = is_so()
            if self._progress is not None:
                for delivery in news:
                    self._progress(delivery)
            if is_enough:
                return

    def _start(self) -> None:
        thread = threading.Thread(target=copy_context().run, args=(self._work,), name="perfkit-smtp", daemon=True)
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads are to be had
            self._threads.remove(thread)
            self._leave([], OSError(f"no thread to be had for sending mail: {error}"))

    def _work(self) -> None:
        trip = Trip(self._next, self)
        try:
            while self._waits_for_mail():
                self._carry(trip)
        except BaseException as error:  # noqa: BLE001 (it goes to the mails that are left)
            trip.broken_off(error, self._server)
            self._leave(trip.unload(), stopped_by(error))
        else:
            self._leave([], None)

    def _waits_for_mail(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self.batch.has_waiting or self.batch.may_go)
            return self.batch.has_waiting

    def _next(self) -> Errand | None:
        with self._changed:
            return self.batch.take()

    def _leave(self, errands: list[Errand], error: Exception | None) -> None:
        with self._changed:
            self.batch.leave(errands, error)
            self._changed.notify_all()

    def end(self, errand: Errand) -> None:
        """A mail has its delivery; a trip tells of it."""
        with self._changed:
            self.batch.done(errand)
            self._changed.notify_all()
