"""The tasks that carry the mails of one `AsyncSMTPPool.send_many`."""

from __future__ import annotations

import asyncio
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
    """Tasks that carry the mails of one `send_many`."""

    def _begin(self) -> None:
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Crew:
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        self.batch.stop()
        self._changed.set()
        is_broken_off = error is not None and not isinstance(error, Exception)
        if is_broken_off:
            self._break_off()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        except asyncio.CancelledError:
            self._break_off()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if not is_broken_off:
                raise

    def give_account(self, error: BaseException) -> None:
        """Have what ends `send_many` early say what has become of the mails."""
        if said := self.batch.account(self._server):
            error.add_note(said)

    def _break_off(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def give(self, message: Mail) -> None:
        """Have a mail sent; wait until there is room for the next."""
        try:
            letter = prepare_nth(message, self.batch.given)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this mail's alone)
            self.batch.add_failed(not_sent(message, error))
        else:
            if self.batch.add(letter):
                self._tasks.append(asyncio.create_task(self._work(), name="perfkit-smtp"))
            self._changed.set()
        await self._tell_until(lambda: self.batch.has_room)

    async def finish(self) -> None:
        """No more mails come; wait for what becomes of the rest."""
        self.batch.complete()
        self._changed.set()
        await self._tell_until(lambda: self.batch.is_over)

    async def _tell_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so, and tell the caller of what has become known meanwhile."""
        while not self._told_and(is_so):
            await self._change()

    def _told_and(self, is_so: Callable[[], bool]) -> bool:
        for delivery in self.batch.news():
            if self._progress is not None:
                self._progress(delivery)
        return is_so()

    async def _change(self) -> None:
        """Wait until something has changed. Who waits looks first, and nobody comes in between: this is one loop."""
        self._changed.clear()
        await self._changed.wait()

    async def _work(self) -> None:
        trip = Trip(self.batch.take, self)
        try:
            while await self._waits_for_mail():
                await self._carry(trip)
        except BaseException as error:
            trip.broken_off(error, self._server)
            self.batch.leave(trip.unload(), stopped_by(error))
            if not isinstance(error, Exception):
                raise
        else:
            self.batch.leave([], None)
        finally:
            self._changed.set()

    async def _waits_for_mail(self) -> bool:
        while not self.batch.has_waiting and not self.batch.may_go:
            await self._change()
        return self.batch.has_waiting

    def end(self, errand: Errand) -> None:
        """A mail has its delivery; a trip tells of it."""
        self.batch.done(errand)
        self._changed.set()
